{#- Run by xend.orch.migrate on the source, before anything moves. #}
the guest can leave:
  xm.can_send: {{ pillar.xend.step | json }}
