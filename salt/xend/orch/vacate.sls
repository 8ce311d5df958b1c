{#- Run by xend.orch.migrate on the source, once the target has the file of the guest. #}
the file of the guest is not here any more:
  xen_guest.absent: {{ pillar.xend.step | json }}
