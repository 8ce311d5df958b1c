{#- Run by xend.orch.migrate on the source, before anything moves. -#}
{%- set migrate = pillar.xend.migrate %}

the guest can leave:
  xm.can_send:
    - name: {{ migrate.domain | json }}
    - target: {{ migrate.target | json }}
  {%- for option in ["live", "port", "ssl", "node", "ask", "accept", "there"] if migrate.get(option) is not none %}
    - {{ option }}: {{ migrate[option] | json }}
  {%- endfor %}
