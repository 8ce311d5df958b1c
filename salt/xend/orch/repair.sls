{#- Run by xend.orch.recover on the host that has the copy. -#}
{%- set repair = pillar.xend.repair %}

what was left is cleaned up:
  xm.repaired:
    - name: {{ repair.name | json }}
    - do: {{ repair.do | json }}
    - listed: {{ repair.listed | json }}
    - uuid: {{ repair.uuid | json }}
    - domid: {{ repair.domid | json }}
  {%- if repair.note is defined %}
    - note: {{ repair.note | json }}
  {%- endif %}
