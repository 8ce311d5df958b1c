{#- Run by xend.orch.migrate on the target, before anything moves. #}
there is room for the guest:
  xm.can_receive: {{ pillar.xend.step | json }}
