{#- Find what migrations that broke have left over the fleet, and repair what is safe:

      salt-run state.orchestrate xend.orch.recover test=True
      salt-run state.orchestrate xend.orch.recover

    Options, in the pillar xend:recover: hosts (a list of minion ids; default: all minions with the grain
    virtual_subtype:Xen Dom0), wait (seconds to wait for transfers that go on, default 10), remove_lost
    (true: also remove the paused copy of a guest that is lost; default false), resume (true: let a guest
    that is suspended on its source go on, because it is known that it has not run elsewhere since; default
    false). With domain, uuid, source and
    target it says where that guest is, as xend.orch.migrate wants to know after a failure. -#}
{%- set given = salt["pillar.get"]("xend:recover", {}) %}
{%- set recover = {} %}
{%- do recover.update(given if given is mapping else {}) %}
{%- set known = ["hosts", "wait", "remove_lost", "resume", "domain", "uuid", "source", "target"] %}
{%- set wrong = [] %}
{%- for key in recover if key not in known %}{% do wrong.append(key ~ " is no option") %}{% endfor %}
{%- for key in ["remove_lost", "resume"] if recover.get(key, false) is not boolean %}
{%-   do wrong.append(key ~ " is neither true nor false (text in quotes is no boolean)") %}
{%- endfor %}
{%- if recover.get("hosts") is string or recover.get("hosts") is mapping %}
{%-   do wrong.append("hosts is no list") %}
{%- endif %}

{%- if wrong %}

{%- set text = "Nothing was done. In the pillar xend:recover, " ~ wrong | join("; ") ~ ". Known are "
               ~ known | join(", ") ~ "." %}

the pillar says what to recover:
  test.fail_without_changes:
    {#- Twice, because under test=True Salt puts a comment of its own there. #}
    - name: {{ text | json }}
    - comment: {{ text | json }}

{%- else %}

{%- set pair = [recover.source, recover.target] if recover.get("source") else none %}
{%- set hosts = pair or recover.get("hosts") %}
{%- set question = {"wait": recover.get("wait", 10)} %}
{%- if pair %}
{%-   do question.update({"domain": recover.domain}) %}
{#-   It has kept its xend for a guest that does not come any more. -#}
{%-   do salt["saltutil.cmd"](recover.target, "xend.release", arg=[recover.domain], tgt_type="list") %}
{%- endif %}
{%- set seen = salt["saltutil.cmd"](hosts or "virtual_subtype:Xen Dom0", "xm.copies", kwarg=question,
                                    tgt_type="list" if hosts else "grain") %}
{%- set reports = {} %}
{%- set answering = [] %}
{%- for host in hosts or seen %}
{%-   set report = seen.get(host, {}).get("ret") %}
{%-   if report is mapping %}
{%-     do reports.update({host: report}) %}
{%-     do answering.append(host) %}
{%-   else %}
{%-     do reports.update({host: {"problem": report or "its minion does not answer"}}) %}
{%-   endif %}
{%- endfor %}
{%- if not hosts %}
{#-   A host that is silent may hold the other copy of a guest: nothing is certain then. -#}
{%-   for host in answering %}
{%-     for other in reports[host].declared if other not in reports %}
{%-       do reports.update({other: {"problem": "its minion does not answer"}}) %}
{%-     endfor %}
{%-   endfor %}
{%- endif %}
{%- set silent = [] %}
{%- for host in reports if host not in answering %}{% do silent.append(host) %}{% endfor %}

{%- set findings = none %}
{%- if answering %}
{%-   set asked = {"name": recover.domain, "uuid": recover.get("uuid"), "source": recover.source,
                   "target": recover.target} if pair else none %}
{#-   The decision table is a utility of the minions; whoever answers can be asked for it. -#}
{%-   set findings = salt["saltutil.cmd"](answering[:1], "xm.findings", arg=[reports, asked],
                                           tgt_type="list").get(answering[0], {}).get("ret") %}
{%- endif %}

{%- macro says(id, text, good) %}
{{ id | json }}:
  test.{{ "succeed" if good else "fail" }}_without_changes:
    - name: {{ text | json }}
    - comment: {{ text | json }}
{%- endmacro %}

{%- if findings is none or findings is string or findings is mapping %}

{%- set nobody %}
{%-   if not reports %}no minion with the grain virtual_subtype:Xen Dom0 answers; name them in xend:recover:hosts
{%-   else %}no host could say what it holds ({{ silent | join(", ") }} {{ findings or "" }}). Nobody can tell where
 {{ recover.get("domain", "any guest") }} is: start nothing, look with `xm list` on every host
{%-   endif %}
{%- endset %}
{{ says("no host answers", nobody | replace("\n", ""), false) }}

{%- else %}

{%- for found in findings %}
{%-   set safe = [] %}
{%-   for repair in found.repairs
          if not repair.only_if_asked or recover.get("remove_lost" if repair.do == "remove" else "resume") %}
{%-     do safe.append(found.name ~ ": " ~ repair.do ~ " " ~ repair.listed ~ " on " ~ repair.host) %}

{{ safe[-1] | json }}:
  salt.state:
    - tgt: {{ [repair.host] | json }}
    - tgt_type: list
    - queue: true
    - sls: xend.orch.repair
    - pillar: {{ {"xend": {"repair": repair}} | json }}
    - timeout: 60
{%-     if safe | length > 1 %}
    - require:
      - salt: {{ safe[-2] | json }}
{%-     endif %}
{%-   endfor %}
{%-   set good = found.outcome == "moved" or safe and not pair %}
{%-   set comment = ("found before the steps above: " if safe else "") ~ found.comment %}
{{ says(found.name ~ ": " ~ found.outcome, comment, good) }}
{%-   if safe %}
    - require:
      - salt: {{ safe[-1] | json }}
{%-   endif %}
{%- endfor %}

{%- if not findings and not silent %}
{{ says("nothing is left over", "no migration has left anything on " ~ answering | sort | join(", "), true) }}
{%- endif %}
{%- if silent and not pair %}
{{ says("some hosts do not answer", "what they hold is not known: " ~ silent | sort | join(", ")
        ~ ". A guest is safe to be started only when these were looked at as well", false) }}
{%- endif %}
{%- endif %}
{%- endif %}
