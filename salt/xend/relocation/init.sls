{#- Part of highstate: the file has the relocation settings, and the running xend has the file. Where the pillar
    asks for a firewall, no door is opened before it stands; closing one waits for nothing. -#}
{%- from "xend/map.jinja" import settings, unsynced with context %}
{%- set is_guarded = settings.ports and settings.firewall.asked %}

{%- if unsynced or settings.wrong %}

{%- set text = "Nothing was changed. " ~ (unsynced or "In the pillar, " ~ settings.wrong | join("; ")
               ~ ". Each Xen host stands under xend:relocation:hosts, as a line 'minion id: IPv4 address'; "
               ~ "pillar.example explains it.") %}

xend-relocation-config:
  test.fail_without_changes:
    {#- Twice: old Salts know no comment here, and under test=True it is Salt's own. #}
    - name: {{ text | json }}
    - comment: {{ text | json }}

{%- else %}
{%- if is_guarded %}

include:
  - xend.firewall

{#- Looks for itself, whatever has become of the states that make the rules. #}
xend-relocation-guarded:
  xend.guarded:
    - ports: {{ settings.ports | json }}
    - sources: {{ settings.firewall.sources | json }}
{%- endif %}

xend-relocation-config:
  xend.relocation:
  {%- for name, value in settings.relocation | dictsort %}
    - {{ name }}: {{ value | json }}
  {%- endfor %}
  {%- if is_guarded %}
    - require:
      - sls: xend.firewall
      - xend: xend-relocation-guarded
  {%- endif %}

xend-relocation-applied:
  xend.applied:
    - restart: {{ settings.restart | json }}
  {%- if settings.restart_accept is not none %}
    - accept: {{ settings.restart_accept | json }}
  {%- endif %}
    - watch:
      - xend: xend-relocation-config

{%- endif %}
