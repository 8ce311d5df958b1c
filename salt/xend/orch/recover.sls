{#- Find what migrations that broke have left over the fleet, and repair what is safe:

      salt-run state.orchestrate xend.orch.recover test=True
      salt-run state.orchestrate xend.orch.recover

    Options, in the pillar xend:recover: hosts (a list of minion ids; default: all minions with the grain
    virtual_subtype:Xen Dom0), wait (seconds to wait for transfers that go on, default 10), remove_lost
    (names or uuids of guests that are lost, when that is settled: also remove their paused copies, and the notes that
    they were sent), resume (names of guests that are suspended on their source: let them go on, because it is
    known that they have not run elsewhere since). With domain, uuid, ran, who, source and target it says where
    that guest is, as xend.orch.migrate wants to know after a failure. -#}
{%- set given = salt["pillar.get"]("xend:recover", {}) %}
{%- set recover = {} %}
{%- do recover.update(given if given is mapping else {}) %}
{%- set known = ["hosts", "wait", "remove_lost", "resume", "domain", "uuid", "ran", "who", "source", "target"] %}
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

the pillar says what to recover:
  test.fail_without_changes:
    {#- Twice, because under test=True Salt puts a comment of its own there. #}
    - name: {{ text | json }}
    - comment: {{ text | json }}

{%- else %}

{%- set pair = [recover.source, recover.target] if recover.get("source") else none %}
{%- set hosts = pair or recover.get("hosts") %}
{%- set question = {"wait": recover.get("wait", 10)} %}
{%- if pair %}{% do question.update({"domain": recover.domain, "uuid": recover.get("uuid")}) %}{% endif %}
{%- set reports = {} %}
{%- set answering = [] %}
{%- set judged = {"findings": none, "before": none} %}
{%- macro ask(tgt, tgt_type) %}
{%-   set seen = salt["saltutil.cmd"](tgt, "xm.copies", kwarg=question, tgt_type=tgt_type) %}
{%-   for host in (tgt if tgt_type == "list" else seen) %}
{%-     set report = seen.get(host, {}).get("ret") %}
{%-     if report is mapping %}
{%-       do reports.update({host: report}) %}
{%-     else %}
{%-       do reports.update({host: {"problem": report or "its minion does not answer"}}) %}
{%-     endif %}
{%-     if host in answering %}{% do answering.remove(host) %}{% endif %}
{%-     if report is mapping %}{% do answering.append(host) %}{% endif %}
{%-   endfor %}
{%- endmacro %}
{%- set asked = {"name": recover.domain, "uuid": recover.get("uuid"), "ran": recover.get("ran", false),
                 "source": recover.source, "target": recover.target} if pair else none %}
{#- The decision table is a utility of the minions; whoever answers can be asked for it, but rather one that
    knows of guests that were sent: an older one has not been synced. -#}
{%- macro judge() %}
{%-   do judged.update({"findings": none}) %}
{%-   set able = [] %}
{%-   for host in answering if reports[host].sent is defined %}{% do able.append(host) %}{% endfor %}
{%-   for host in (able or answering)[:1] %}
{%-     do judged.update({"findings": salt["saltutil.cmd"](host, "xm.findings", tgt_type="list",
                              arg=[reports, asked] + ([judged.before] if able and judged.before else []))
                              .get(host, {}).get("ret")}) %}
{%-   endfor %}
{%- endmacro %}
{%- do ask(hosts or "virtual_subtype:Xen Dom0", "list" if hosts else "grain") %}
{%- do judge() %}
{#- A host that was not asked may hold another copy of a guest: nothing is certain then, except that a guest
    which runs on one of its two hosts, with nothing left on the other, is where it shall be. -#}
{%- set clear = pair and judged.findings is iterable and judged.findings is not string
                and judged.findings[0].outcome in ["moved", "unharmed"] %}
{%- set others = [] %}
{%- for host in answering %}
{%-   for other in reports[host].declared if other not in reports and other not in others %}
{%-     do others.append(other) %}
{%-   endfor %}
{%- endfor %}
{%- if others and not clear %}
{%-   do ask(others, "list") %}
{%-   do judge() %}
{%- endif %}
{#- Nothing is called lost at first sight: hosts are not asked at the very same moment. -#}
{%- if judged.findings is iterable and judged.findings is not string and judged.findings is not mapping
      and judged.findings | selectattr("lost") | list %}
{%-   do judged.update({"before": judged.findings}) %}
{%-   do ask(answering | list, "list") %}
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
{%- set silent = [] %}
{%- for host in reports if host not in answering %}{% do silent.append(host) %}{% endfor %}

{%- macro says(id, text, good) %}
{{ id | json }}:
  test.{{ "succeed" if good else "fail" }}_without_changes:
    - name: {{ text | json }}
    - comment: {{ text | json }}
{%- endmacro %}

{%- if findings is not iterable or findings is string or findings is mapping %}

{%- set nobody %}
{%-   if not reports %}no minion with the grain virtual_subtype:Xen Dom0 answers; name them in xend:recover:hosts
{%-   else %}no host could say what it holds ({{ (silent + ([findings] if findings is string else [])) | join(", ") }}). Nobody can tell where
 {{ recover.get("domain", "any guest") }} is: start nothing, look with `xm list` on every host
{%-   endif %}
{%- endset %}
{{ says("no host answers", nobody | replace("\n", ""), false) }}

{%- else %}

{%- set names = findings | map(attribute="name") | list %}
{%- for found in findings %}
{%-   set safe = [] %}
{%-   set who = found.name if names.count(found.name) == 1 else found.name ~ " (" ~ found.uuid ~ ")" %}
{%-   set remove_lost, resume = recover.get("remove_lost") or [], recover.get("resume") or [] %}
{%-   set wanted = {"remove": remove_lost, "forget": remove_lost, "resume": resume, "rename": resume} %}
{%-   for repair in found.repairs
        if not repair.only_if_asked or found.name in wanted[repair.do] or found.uuid in wanted[repair.do] %}
{%-     do safe.append(who ~ ": " ~ repair.do ~ " " ~ repair.listed ~ " on " ~ repair.host) %}

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
{%-   set good = found.outcome == "moved" or safe and not pair and safe | length == found.repairs | length %}
{%-   set comment = ("found before the steps above: " if safe else "") ~ found.comment %}
{{ says(who ~ ": " ~ found.outcome, comment, good) }}
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
