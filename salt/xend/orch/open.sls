{#- Run by xend.orch.restore on the host that gets its guests back, before the first one comes. #}
the host takes guests:
  xm.host_opened: {{ pillar.xend.step | json }}
