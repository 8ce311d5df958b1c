{#- Run by xend.orch.migrate on the target, once the guest runs there. #}
the file of the guest is here:
  xen_guest.present: {{ pillar.xend.step | json }}
