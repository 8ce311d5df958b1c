{#- Find what migrations that broke have left over the fleet, and repair what is safe:

      salt-run state.orchestrate xend.orch.recover test=True
      salt-run state.orchestrate xend.orch.recover

    Options, in the pillar xend:recover: hosts (a list of minion ids, whose pillar says which hosts there are;
    default: all with the grain virtual_subtype:Xen Dom0), wait (seconds to wait for transfers that go on, default
    10), remove_lost (names or uuids of guests that are lost, when that is settled: also remove their paused copies,
    and the notes that they were sent), resume (names of guests that are suspended on their source: let them go on,
    because it is known that they have not run elsewhere since), restore (names of guests that xend has lost and of
    which their source has a safety copy: bring them back there, because that is known of them). With domain, uuid,
    ran, who, source and target it says where that guest is, as xend.orch.migrate wants to know after a failure. With
    look it repairs nothing, as it looks once more by itself after repairs. -#}
{%- from "xend/orch/say.jinja" import again, prepare, repairs, sayings with context %}
{%- set plan = {} %}
{%- do prepare(plan, "xend.recovery", salt["pillar.get"]("xend:recover", {}), strict=false) %}
{{ repairs("what was left is mended", plan, "xend.orch.repair") }}
{{ sayings(plan) }}
{{ again(plan, "xend.orch.recover") }}
