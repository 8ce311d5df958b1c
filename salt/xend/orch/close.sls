{#- Run by xend.orch.evacuate on the host that is to be emptied, before the first guest leaves it. #}
the host takes no guests:
  xm.host_closed: {{ pillar.xend.step | json }}
