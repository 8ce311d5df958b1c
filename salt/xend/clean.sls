{#- The inverse of xend: this host takes no guests, and when that is so, its firewall rules are gone. What the file
    says besides, guests, and what is kept of them stay. -#}
include:
  - xend.relocation.clean
