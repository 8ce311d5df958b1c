{#- Run by xend.orch.migrate on the target, before anything moves. -#}
{%- set migrate = pillar.xend.migrate %}

there is room for the guest:
  xm.can_receive:
    - name: {{ migrate.domain | json }}
    - domain: {{ migrate.description | json }}
