{#- Run by xend.orch.migrate on the target, once the guest runs there. -#}
{%- set migrate = pillar.xend.migrate %}

the guest is announced:
  xen_guest.announced:
    - name: {{ migrate.domain | json }}
    - domain: {{ migrate.description | json }}
