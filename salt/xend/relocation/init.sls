{#- Part of highstate: the file has the relocation settings, and the running xend has the file. -#}
{%- from "xend/map.jinja" import host, settings, wrong with context %}

{%- if wrong %}

{%- set text = "Nothing was changed. In the pillar, " ~ wrong | join("; ") ~ ". Each Xen host stands under "
               ~ "xend:relocation:hosts, as a line 'minion id: IPv4 address'; pillar.example explains it." %}

xend-relocation-config:
  test.fail_without_changes:
    {#- Twice: old Salts know no comment here, and under test=True it is Salt's own. #}
    - name: {{ text | json }}
    - comment: {{ text | json }}

{%- else %}

xend-relocation-config:
  xend.relocation:
  {%- for name in settings if host.get(name) is not none %}
    - {{ name }}: {{ host[name] | json }}
  {%- endfor %}

xend-relocation-applied:
  xend.applied:
    - restart: {{ host.restart | json }}
  {%- if host.get("restart_accept") is not none %}
    - accept: {{ host.restart_accept | json }}
  {%- endif %}
    - watch:
      - xend: xend-relocation-config

{%- endif %}
