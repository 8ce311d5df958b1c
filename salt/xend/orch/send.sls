{#- Run by xend.orch.migrate on the source. #}
the guest is sent:
  xm.sent: {{ pillar.xend.step | json }}
