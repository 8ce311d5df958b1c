{#- Run by xend.orch.migrate on the source, once the guest runs on the target. -#}
{%- set migrate = pillar.xend.migrate %}

xend does not manage the guest here any more:
  xm.unmanaged:
    - name: {{ migrate.domain | json }}
    - uuid: {{ migrate.uuid | json }}
