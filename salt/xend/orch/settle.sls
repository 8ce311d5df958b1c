{#- Run by xend.orch.migrate on the target, then on the source, once the guest runs on the target. -#}
{%- set migrate = pillar.xend.migrate %}

{%- if opts.id == migrate.target %}

the file of the guest is here:
  xen_guest.present:
    - name: {{ migrate.domain | json }}
    - file: {{ migrate.file | json }}

{%- else %}

the file of the guest is not here any more:
  xen_guest.absent:
    - name: {{ migrate.domain | json }}
    - file: {{ migrate.file | json }}
    - sent: true

{%- endif %}
