{#- Part of highstate: the file has the relocation settings, and the running xend has the file. -#}
{%- from "xend/map.jinja" import host, settings with context %}

{%- if host.server and not host.get("address") %}

xend-relocation-config:
  test.fail_without_changes:
    - name: >-
        {{ grains.id }} has no address in the pillar xend:relocation:hosts, so it is not known where
        its xend shall listen. Nothing was changed. Add the line
        "{{ grains.id }}: <IPv4 address of this host>" there.

{%- else %}

xend-relocation-config:
  xend.relocation:
  {%- for name in settings if host.get(name) is not none %}
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

{%- endif %}
