{#- Run by xend.orch.migrate on the target, which verifies: its source cannot tell. #}
the guest is here:
  xm.arrived: {{ pillar.xend.step | json }}
