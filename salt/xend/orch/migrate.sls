{#- Move one running guest between two minions:

      salt-run state.orchestrate xend.orch.migrate \
        pillar='{"xend": {"migrate": {"domain": "web01", "source": "xen1", "target": "xen2"}}}'

    Options beside these three: live (default true), port, ssl, node, timeout (seconds for the transfer),
    settle (seconds that the target may take to complete it; default: as long as its xend needs), accept
    (differences of the hosts that are accepted: cpu, version, storage, devices; and managed). With test=True
    all is checked and nothing is moved. pillar.example explains them. -#}
{%- from "xend/orch/say.jinja" import prepare, says, step with context %}
{%- set plan = {} %}
{%- do prepare(plan, "xend.migration", salt["pillar.get"]("xend:migrate", {})) %}

{%- if plan.stop %}

{{ says(plan.stop.id, plan.stop.text, false) }}

{%- else %}

{%- set source, target = [plan.source], [plan.target] %}
{%- set migrate = {"migrate": plan.step} %}
{%- set ready = "relocation is configured and works on both hosts" %}
{%- set leave = plan.domain ~ " can leave " ~ plan.source %}
{%- set room = plan.target ~ " can take " ~ plan.domain %}
{%- set send = plan.domain ~ " is sent from " ~ plan.source ~ " to " ~ plan.target %}
{%- set arrive = plan.domain ~ " runs on " ~ plan.target %}
{%- set home = plan.domain ~ " is at home on " ~ plan.target %}

{{ step(ready, source + target, "xend.relocation", timeout=none) }}
{#- Both are asked whatever the other says: an operator wants to know all that is wrong at once. -#}
{{ step(leave, source, "xend.orch.leave", migrate, [ready]) }}
{{ step(room, target, "xend.orch.receive", migrate, [ready]) }}
{{ step(send, source, "xend.orch.move", migrate, [leave, room]) }}
{#- Until then the minion is not even asked whether it is still at it: xend waits 100 s for devices. -#}
{{ step(arrive, target, "xend.orch.move", migrate, [send], timeout=180) }}
{%- if plan.unmanages %}
{{ step("xend on " ~ plan.source ~ " does not manage " ~ plan.domain ~ " any more", source, "xend.orch.unmanage",
        {"migrate": {"domain": plan.domain, "uuid": plan.unmanages}}, [arrive]) }}
{%- endif %}
{%- if plan.announces %}
{{ step(plan.domain ~ " is announced on " ~ plan.target, target, "xend.orch.announce", migrate, [arrive]) }}
{%- endif %}
{%- if plan.follows %}
{{ step(home, target, "xend.orch.settle", migrate, [arrive]) }}
{{ step(plan.domain ~ " is not at home on " ~ plan.source ~ " any more", source, "xend.orch.settle", migrate, [home]) }}
{%- endif %}

{%- if not opts.get("test") %}
{#- Without requisites: whatever became of the steps above, what both hosts hold now is the truth. #}

{{ ("where " ~ plan.domain ~ " is now") | json }}:
  salt.runner:
    - name: state.orchestrate
    - kwarg:
        mods: xend.orch.recover
        pillar: {{ {"xend": {"recover": plan.look}} | json }}
    - order: last

{%- endif %}
{%- endif %}
