{#- Run by xend.orch.evacuate and xend.orch.restore on the host that a guest leaves, once its target takes it: the last
    check, the transfer, and the end of what was kept of guests that have left before and arrived. #}
{%- from "xend/orch/say.jinja" import forgotten with context %}
{{ forgotten(pillar.xend.forget) }}
the guest can leave:
  xm.can_send: {{ pillar.xend.leave | json }}
the guest is sent:
  xm.sent: {{ (pillar.xend.send + [{"require": [{"xm": "the guest can leave"}]}]) | json }}
