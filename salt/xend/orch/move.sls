{#- Run by xend.orch.migrate on the source, which sends the guest, then on the target, which verifies. -#}
{%- set migrate = pillar.xend.migrate %}

the guest is moved:
  xm.migrated:
    - name: {{ migrate.domain | json }}
    - source: {{ migrate.source | json }}
    - target: {{ migrate.target | json }}
    - domain: {{ migrate.description | json }}
    # The last step looks at both hosts, and says what to do.
    - brief: true
  {%- for option in ["live", "port", "ssl", "node", "timeout", "settle", "ask", "accept"]
      if migrate.get(option) is not none %}
    - {{ option }}: {{ migrate[option] | json }}
  {%- endfor %}
