{#- Run by xend.orch.migrate on the source, once the guest runs on the target. #}
xend does not manage the guest here any more:
  xm.unmanaged: {{ pillar.xend.step | json }}
