{#- The inverse of xend.relocation: xend listens for no guests, and its firewall rules are gone. -#}
{%- from "xend/map.jinja" import host with context %}

include:
  - xend.firewall.clean

xend-relocation-config:
  xend.relocation:
    - server: false
    - ssl_server: false
  {%- if host.get("backup") %}
    - backup: {{ host.backup | json }}
  {%- endif %}

xend-relocation-applied:
  xend.applied:
    - restart: {{ host.restart | json }}
  {%- if host.get("restart_accept") is not none %}
    - accept: {{ host.restart_accept | json }}
  {%- endif %}
    - watch:
      - xend: xend-relocation-config
