{#- Empty a host: move its guests to the others, where they fit:

      salt-run state.orchestrate xend.orch.evacuate pillar='{"xend": {"evacuate": {"source": "xen1"}}}'

    Options: targets (minion ids; default: all other hosts of the pillar), domains (names; default: all guests that
    are there), parallel (how many at once, default 2; one at a time to each target), partial (default false: nothing moves
    when a guest fits nowhere; true: the others move), order (largest, the default, smallest, or names that go first),
    spare_mib (left free on each target); and for each move those of xend.orch.migrate. Until xend.orch.restore fills
    it again, the host takes no guests. The same run again goes on with what is left. With test=True the plan is shown,
    and nothing is changed. pillar.example explains them. -#}
{%- from "xend/orch/say.jinja" import moved, planned, prepare, step, steps with context %}
{%- set plan, ready = {}, "relocation is configured and works on all hosts" %}
{%- do prepare(plan, "xend.evacuation", salt["pillar.get"]("xend:evacuate", {})) %}
{%- set source = plan.get("source", "") %}
{%- call steps("the hosts are ready for emptying " ~ source) %}
{{ step(ready, plan.get("configures"), "xend.relocation", timeout=none, only=plan.get("configures")) }}
{#- It does not wait for a guest that a former run is still sending. #}
{{ step(source ~ " takes no guests", [source], "xend.orch.close", plan.get("closes"), [ready],
        only=plan.get("closes"), waits=false) }}
{%- endcall %}
{{ planned("what is planned" ~ (" for " ~ source if source else ""), plan) }}
{#- It looks itself whether it may begin, and its last word is there whatever went wrong. #}
{{ moved("the guests of " ~ source, "xend.evacuate_moves", plan.get("moves")) }}
