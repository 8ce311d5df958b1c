{#- Run by xend.orch.migrate on the target, once the guest runs there. #}
the guest is announced:
  xen_guest.announced: {{ pillar.xend.step | json }}
