{#- An example: every Xen host that Salt knows as one gets what the pillar says for it.
    Salt's grain virtual_subtype says "Xen Dom0" on the host's own domain. -#}
base:
  "virtual_subtype:Xen Dom0":
    - match: grain
    - xend
