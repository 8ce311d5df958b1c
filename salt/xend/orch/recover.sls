{#- Find what migrations that broke have left over the fleet, and repair what is safe:

      salt-run state.orchestrate xend.orch.recover test=True
      salt-run state.orchestrate xend.orch.recover

    Options, in the pillar xend:recover: hosts (a list of minion ids; default: all minions with the grain
    virtual_subtype:Xen Dom0), wait (seconds to wait for transfers that go on, default 10), remove_lost
    (names or uuids of guests that are lost, when that is settled: also remove their paused copies, and the notes that
    they were sent), resume (names of guests that are suspended on their source: let them go on, because it is
    known that they have not run elsewhere since). With domain, uuid, ran, who, source and target it says where
    that guest is, as xend.orch.migrate wants to know after a failure. With look it repairs nothing, as it looks once
    more by itself after repairs. -#}
{%- from "xend/orch/say.jinja" import ask, says with context %}
{%- set given = salt["pillar.get"]("xend:recover", {}) %}
{%- set recover = {} %}
{%- do recover.update(given if given is mapping else {}) %}
{%- set known = ["hosts", "wait", "remove_lost", "resume", "domain", "uuid", "ran", "who", "source", "target",
                 "look"] %}
{%- set wrong = [] %}
{%- for key in recover if key not in known %}{% do wrong.append(key ~ " is no option") %}{% endfor %}
{%- for key in ["hosts", "remove_lost", "resume"] if recover.get(key) is not none %}
{%-   if recover[key] is string or recover[key] is mapping or recover[key] is not iterable %}
{%-     do wrong.append(key ~ " is no list of names") %}
{%-   endif %}
{%- endfor %}

{%- if wrong %}

{%- set text = "Nothing was done. In the pillar xend:recover, " ~ wrong | join("; ") ~ ". Known are "
               ~ known[:4] | join(", ") ~ "." %}
{{ says("the pillar says what to recover", text, false) }}

{%- else %}

{%- set pair = [recover.source, recover.target] if recover.get("source") else none %}
{%- set hosts = pair or recover.get("hosts") %}
{%- set question = {"wait": recover.get("wait", 10)} %}
{%- if pair %}{% do question.update({"domain": recover.domain, "uuid": recover.get("uuid")}) %}{% endif %}
{%- set reports = {} %}
{%- set answering, able, silent = [], [], [] %}
{%- set judged = {"findings": none, "before": none} %}
{%- macro look(tgt, tgt_type) %}
{%-   do ask(reports, tgt, tgt_type, "xm.copies", [], question) %}
{%-   for kind in [answering, able, silent] %}{% do kind.clear() %}{% endfor %}
{%-   for host, said in reports.items() %}
{%-     do (silent if said.copies is not defined or said.copies is none else answering).append(host) %}
{%-     if said.sent is defined %}{% do able.append(host) %}{% endif %}
{%-   endfor %}
{%- endmacro %}
{%- set asked = {"name": recover.domain, "uuid": recover.get("uuid"), "ran": recover.get("ran", false),
                 "source": recover.source, "target": recover.target} if pair else none %}
{#- The decision table is a utility of the minions; whoever answers can be asked for it, but rather one that
    knows of guests that were sent: an older one has not been synced. -#}
{%- macro judge() %}
{%-   do judged.update({"findings": none}) %}
{%-   for host in (able or answering)[:1] %}
{%-     do judged.update({"findings": salt["saltutil.cmd"](host, "xm.findings", tgt_type="list",
                              arg=[reports, asked] + ([judged.before] if able and judged.before else []))
                              .get(host, {}).get("ret")}) %}
{%-   endfor %}
{%- endmacro %}
{%- do look(hosts or "virtual_subtype:Xen Dom0", "list" if hosts else "grain") %}
{%- do judge() %}
{#- A host that was not asked may hold another copy of a guest: nothing is certain then, except that a guest
    which runs on one of its two hosts, with nothing left on the other, is where it shall be. -#}
{%- set clear = pair and judged.findings is iterable and judged.findings is not string
                and judged.findings[0].outcome in ["moved", "unharmed"] %}
{%- set others = [] %}
{%- for host in able or answering %}
{%-   for other in reports[host].declared if other not in reports and other not in others %}
{%-     do others.append(other) %}
{%-   endfor %}
{%- endfor %}
{%- if others and not clear %}
{%-   do look(others, "list") %}
{%-   do judge() %}
{%- endif %}
{#- Nothing is called lost at first sight: hosts are not asked at the very same moment. -#}
{%- if judged.findings is iterable and judged.findings is not string and judged.findings is not mapping
      and judged.findings | selectattr("lost") | list %}
{%-   do judged.update({"before": judged.findings}) %}
{%-   do look(answering | list, "list") %}
{%-   do judge() %}
{%- endif %}
{%- set findings = judged.findings %}
{%- if pair and recover.get("who") and findings is iterable and findings is not string
      and findings[0].outcome not in ["going_on", "unknown"] %}
{#-   The target need not keep its xend for this guest any longer, and the source need not keep in mind that it
      was sent when it was seen to run there. -#}
{%-   do salt["saltutil.cmd"](recover.target, "xend.release", arg=[recover.domain],
                              kwarg={"who": recover.who}, tgt_type="list") %}
{%-   for made in findings[0].get("settled") or [] %}
{%-     do salt["saltutil.cmd"](made.host, "xm.forget", arg=[recover.domain, made.uuid, made.note],
                                tgt_type="list") %}
{%-   endfor %}
{%- endif %}
{%- if findings is not iterable or findings is string or findings is mapping %}

{%- set problems, remedies = [], [] %}
{%- for host, said in reports | dictsort if said.get("problem") %}
{%-   do problems.append(host ~ ": " ~ said.problem) %}
{%-   if said.get("remedy") %}{% do remedies.append(said.remedy) %}{% endif %}
{%- endfor %}
{%- if findings is string %}{% do problems.append(findings) %}{% endif %}
{%- set nobody = "no host could say what it holds (" ~ problems | join("; ") ~ "). Nobody can tell where "
                 ~ recover.get("domain", "any guest") ~ " is: start nothing, look with `xm list` on every host. "
                 ~ remedies | join(". ") %}
{{ says("no host answers", nobody if reports else "no minion with the grain virtual_subtype:Xen Dom0 answers; "
        ~ "start the minions (`service salt-minion start` on the hosts), or name them in xend:recover:hosts", false) }}

{%- else %}

{%- set names = findings | map(attribute="name") | list %}
{%- set mended = [] %}
{%- for found in findings %}
{%-   set safe = [] %}
{%-   set who = found.name if names.count(found.name) == 1 else found.name ~ " (" ~ found.uuid ~ ")" %}
{%-   set remove_lost, resume = recover.get("remove_lost") or [], recover.get("resume") or [] %}
{%-   set wanted = {"remove": remove_lost, "forget": remove_lost, "resume": resume, "rename": resume} %}
{%-   for repair in found.repairs
        if not recover.get("look") and (not repair.only_if_asked or found.name in wanted[repair.do]
                                        or found.uuid in wanted[repair.do]) %}
{%-     if repair.do != "forget" %}{% do mended.append(repair) %}{% endif %}
{%-     do safe.append(who ~ ": " ~ repair.do ~ " " ~ repair.listed ~ " on " ~ repair.host) %}

{{ safe[-1] | json }}:
  salt.state:
    - tgt: {{ [repair.host] | json }}
    - tgt_type: list
    - queue: true
    - sls: xend.orch.repair
    - pillar: {{ {"xend": {"repair": dict(repair, asked=found.name in wanted.get(repair.do, [])
                                                  or found.uuid in wanted.get(repair.do, []))}} | json }}
    - timeout: 60
{%-     if safe | length > 1 %}
    - require:
      - salt: {{ safe[-2] | json }}
{%-     endif %}
{%-   endfor %}
{%-   set good = found.outcome == "moved" or safe and not pair and safe | length == found.repairs | length %}
{#-   What is to be done about it is done by the steps above; where it runs is as true after them. -#}
{%-   set is_over = safe and not opts.get("test") and found.outcome not in ["moved", "unharmed"] %}
{%-   set comment = "found before the steps above: " ~ found.facts if is_over else found.comment %}
{{ says(who ~ ": " ~ found.outcome, comment, good) }}
{%- endfor %}

{%- if mended and not opts.get("test") %}

{{ ("what is there after these steps" if not pair else "where " ~ recover.domain ~ " is after these steps") | json }}:
  salt.runner:
    - name: state.orchestrate
    - kwarg:
        mods: xend.orch.recover
        pillar: {{ {"xend": {"recover": dict(recover, look=true)}} | json }}
    - order: last
{%- endif %}

{%- if not findings and not silent %}
{{ says("nothing is left over", "no migration has left anything on " ~ answering | sort | join(", "), true) }}
{%- endif %}
{%- if silent and not pair %}
{%-   set why = salt["saltutil.cmd"]((able or answering)[0], "xm.unheard", arg=[reports], tgt_type="list")
                .get((able or answering)[0], {}).get("ret") %}
{%-   set why = why if why is mapping else {"who": silent | sort | join(", "), "do": ""} %}
{{ says("some hosts do not answer", "what they hold is not known: " ~ why.who ~ ". A guest is safe to be started only "
        ~ "when these were looked at as well" ~ (". " ~ why.do if why.do else "") ~ ". Then look again with "
        ~ "`salt-run state.orchestrate xend.orch.recover`", false) }}
{%- endif %}
{%- endif %}
{%- endif %}
