{#- Move one running guest between two minions:

      salt-run state.orchestrate xend.orch.migrate \
        pillar='{"xend": {"migrate": {"domain": "web01", "source": "xen1", "target": "xen2"}}}'

    Options beside these three: live (default true), port, ssl, node, timeout (seconds for the transfer), settle
    (seconds that the target may take to complete it; default: as long as its xend needs), accept (differences of the
    hosts that are accepted: cpu, version, storage, devices; and managed); of the copy from which a guest is brought
    back that xend has lost: safety_copy (auto, required, off), safety_folder, safety_delay_s, relay; rate_mib_s. With
    test=True all is checked and nothing is moved. pillar.example explains them. -#}
{%- from "xend/orch/say.jinja" import could, last_word, prepare, sayings, step, steps with context %}
{%- set plan = {} %}
{%- do prepare(plan, "xend.migration", salt["pillar.get"]("xend:migrate", {})) %}
{%- if plan.stop %}
{{ sayings(plan) }}
{%- else %}

{%- set guest, source, target = plan.domain, plan.source, plan.target %}
{%- set ready = "relocation is configured and works on both hosts" %}
{%- set leave, room = guest ~ " can leave " ~ source, target ~ " can take " ~ guest %}
{%- set send, arrive = guest ~ " is sent from " ~ source ~ " to " ~ target, guest ~ " runs on " ~ target %}
{%- set home = guest ~ " is at home on " ~ target %}

{%- call steps(guest ~ " moves from " ~ source ~ " to " ~ target, tells=false) %}
{{ step(ready, [source, target], "xend.relocation", timeout=none, only=plan.configures) }}
{#- Both are asked whatever the other says: an operator wants to know all that is wrong at once. The source is
    asked second, as it removes the markers that the target looks for. #}
{{ step(room, [target], "xend.orch.receive", plan.steps.receive, [ready]) }}
{{ step(leave, [source], "xend.orch.leave", plan.steps.leave) }}
{{ step(send, [source], "xend.orch.send", plan.steps.send, [leave, room]) }}
{#- Until then the minion is not even asked whether it is still at it: xend waits 100 s for devices. #}
{{ step(arrive, [target], "xend.orch.arrive", plan.steps.arrive, [send], timeout=180) }}
{{ step("xend on " ~ source ~ " does not manage " ~ guest ~ " any more", [source], "xend.orch.unmanage",
        plan.steps.unmanage, [arrive], only=plan.unmanages) }}
{{ step(guest ~ " is announced on " ~ target, [target], "xend.orch.announce",
        plan.steps.announce, [arrive], only=plan.announces) }}
{{ step(home, [target], "xend.orch.settle", plan.steps.settle, [arrive], only=plan.follows) }}
{{ step(guest ~ " is not at home on " ~ source ~ " any more", [source], "xend.orch.vacate",
        plan.steps.vacate, [home], only=plan.follows) }}
{%- endcall %}
{#- Whatever became of the steps above, what both hosts hold now is the truth. #}
{%- if opts.get("test") %}
{%- set later = "" if plan.knocks else "; whether " ~ target ~ " lets " ~ source ~ " in was not asked, as its settings "
                ~ "are still to be applied" %}
{{ could("whether " ~ guest ~ " can be moved", "Nothing was changed. Nothing is in the way of moving " ~ guest
         ~ " from " ~ source ~ " to " ~ target ~ later) }}
{%- else %}
{{ last_word("where " ~ guest ~ " is now", "xend.outcome", {"given": plan.look}) }}
{%- endif %}
{%- endif %}
