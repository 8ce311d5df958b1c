{#- Run by xend.orch.recover on the host that has the copy, which believes other hosts about themselves only, and
    the operator when he has asked for this step. -#}
{%- set repair = pillar.xend.repair %}

what was left is cleaned up:
  xm.repaired:
    - name: {{ repair.name | json }}
    - do: {{ repair.do | json }}
    - listed: {{ repair.listed | json }}
    - uuid: {{ repair.uuid | json }}
    - domid: {{ repair.domid | json }}
    - claims: {{ (repair.claims or {}) | json }}
    - asked: {{ (repair.asked or false) | json }}
  {%- if repair.note is defined %}
    - note: {{ repair.note | json }}
  {%- endif %}
