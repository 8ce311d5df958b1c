{#- All that the pillar says for this host: who may send it guests, and the firewall that keeps the others out. -#}
include:
  - xend.firewall
  - xend.relocation
