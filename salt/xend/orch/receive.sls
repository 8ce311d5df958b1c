{#- Run by xend.orch.migrate on the target, before anything moves. -#}
{%- set migrate = pillar.xend.migrate %}

there is room for the guest:
  xm.can_receive:
    - name: {{ migrate.domain | json }}
    - domain: {{ migrate.description | json }}
    - source: {{ migrate.from | json }}
    # From now on until the first byte arrives nobody shall restart xend; then the transfer itself is seen.
    - reserve: 300
    - who: {{ migrate.who | json }}
  {%- for option in ["storage", "file", "accept", "problem", "asked", "left"] if migrate.get(option) is not none %}
    - {{ option }}: {{ migrate[option] | json }}
  {%- endfor %}
