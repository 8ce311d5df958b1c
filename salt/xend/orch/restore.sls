{#- Fill a host again that xend.orch.evacuate has emptied: bring back the guests that it has taken away, as far as they
    run where it has taken them:

      salt-run state.orchestrate xend.orch.restore pillar='{"xend": {"restore": {"host": "xen1"}}}'

    Options: domains (names; default: all), parallel (as for xend.orch.evacuate; to the host itself they come one at a
    time), and for each move those of xend.orch.migrate. What has moved on since, is gone or was deleted is said. With
    test=True nothing is changed. -#}
{%- from "xend/orch/say.jinja" import moved, planned, prepare, step, steps with context %}
{%- set plan, opened = {}, "the host takes guests" %}
{%- do prepare(plan, "xend.restoration", salt["pillar.get"]("xend:restore", {})) %}
{%- set host = plan.get("host", "") %}
{%- call steps("the hosts are ready for filling " ~ host) %}
{{ step(opened, [host], "xend.orch.open", plan.get("opens"), only=plan.get("opens")) }}
{{ step("relocation is configured and works on all hosts", plan.get("configures"), "xend.relocation",
        after=[opened], timeout=none, only=plan.get("configures")) }}
{%- endcall %}
{{ planned("what is planned" ~ (" for " ~ host if host else ""), plan) }}
{#- Whatever became of the steps above, its last word is there. #}
{{ moved("the guests of " ~ host, "xend.restore_moves", plan.get("moves")) }}
