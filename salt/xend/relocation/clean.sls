{#- The inverse of xend.relocation: xend listens for no guests, and then its firewall rules are gone. -#}
{%- from "xend/map.jinja" import settings, unsynced with context %}
{%- from "xend/firewall/rules.jinja" import present with context %}

{%- if unsynced %}

xend-relocation-config:
  test.fail_without_changes:
    - name: {{ ("Nothing was changed. " ~ unsynced) | json }}
    - comment: {{ ("Nothing was changed. " ~ unsynced) | json }}

{%- else %}

include:
  - xend.firewall.clean

xend-relocation-config:
  xend.relocation:
    - server: false
    - ssl_server: false
  {%- if settings.relocation.get("backup") %}
    - backup: {{ settings.relocation.get("backup") | json }}
  {%- endif %}

xend-relocation-applied:
  xend.applied:
    - restart: {{ settings.restart | json }}
  {%- if settings.restart_accept is not none %}
    - accept: {{ settings.restart_accept | json }}
  {%- endif %}
    - watch:
      - xend: xend-relocation-config
  {%- if present.chain %}
    {#- While a xend could not be made to close its door, the guard stays. #}
    - require_in:
      - sls: xend.firewall.clean
  {%- endif %}

{%- endif %}
