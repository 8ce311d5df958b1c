{#- Run by xend.orch.migrate on the target, then on the source, once the guest runs on the target. -#}
{%- set migrate = pillar.xend.migrate %}
{%- set file = migrate.get("file") or {} %}

{%- if opts.id == migrate.target %}

the guest is announced:
  xen_guest.announced:
    - name: {{ migrate.domain | json }}
    - domain: {{ migrate.description | json }}

{%- if file.get("path") %}

the file of the guest is here:
  xen_guest.present:
    - name: {{ migrate.domain | json }}
    - file: {{ file | json }}

{%- endif %}
{%- elif file.get("path") %}

the file of the guest is not here any more:
  xen_guest.absent:
    - name: {{ migrate.domain | json }}
    - file: {{ file | json }}

{%- endif %}
