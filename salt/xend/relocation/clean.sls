{#- The inverse of xend.relocation: xend listens for no guests, and its firewall rules are gone. -#}
{%- from "xend/map.jinja" import host with context %}

include:
  - xend.firewall.clean

xend-relocation-config:
  xend.relocation:
    - server: false
    - ssl_server: false
  {%- for name in ["config", "backup"] if host.get(name) is not none %}
    - {{ name }}: {{ host[name] | json }}
  {%- endfor %}

xend-relocation-applied:
  xend.applied:
    - restart: {{ host.restart | json }}
  {%- if host.get("config") %}
    - config: {{ host.config | json }}
  {%- endif %}
    - watch:
      - xend: xend-relocation-config
