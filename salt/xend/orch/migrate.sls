{#- Move one running guest between two minions:

      salt-run state.orchestrate xend.orch.migrate \
        pillar='{"xend": {"migrate": {"domain": "web01", "source": "xen1", "target": "xen2"}}}'

    Options beside these three: live (default true), port, ssl, node, timeout (seconds for the transfer),
    settle (seconds that the target may take to complete it; default: as long as its xend needs), accept
    (differences of the hosts that are accepted: cpu, version, storage, devices; and managed). With test=True
    all is checked and nothing is moved. pillar.example explains them. -#}
{%- from "xend/orch/say.jinja" import ask, says with context %}
{%- set given = salt["pillar.get"]("xend:migrate", {}) %}
{%- set migrate = {} %}
{%- do migrate.update(given if given is mapping else {}) %}
{%- set needed = ["domain", "source", "target"] %}
{%- set known = needed + ["live", "port", "ssl", "node", "timeout", "settle", "accept"] %}
{%- set wrong = [] %}
{%- for key in needed %}
{%-   if not migrate.get(key) %}{% do wrong.append(key ~ " is missing") %}
{%-   elif migrate[key] is not string %}{% do wrong.append(key ~ " is no text") %}{% endif %}
{%- endfor %}
{%- for key in migrate if key not in known %}{% do wrong.append(key ~ " is no option") %}{% endfor %}
{%- for key in needed if migrate.get(key) is string
      and migrate[key] | regex_search("([\\x00-\\x1f\\x7f-\\x9f\\u2028\\u2029\\ufffd-\\uffff])") %}
{%-   do wrong.append(key ~ ": " ~ migrate[key] | tojson ~ " has characters that no name may have") %}
{%- endfor %}
{%- if not wrong and migrate.source == migrate.target %}
{%-   do wrong.append("source and target are the same host, " ~ migrate.target) %}
{%- endif %}

{#- What both ends hold now. Only read, so it may be done while rendering, also under test=True. -#}
{%- set hosts = [migrate.get("source"), migrate.get("target")] %}
{%- set reports = {} %}
{%- if not wrong %}
{%-   set asked_at = none | strftime("%s.%f") | float %}
{%-   do ask(reports, hosts, "list", "xm.report", [migrate.domain], {}) %}
{%-   set answered_s = (none | strftime("%s.%f") | float) - asked_at %}
{%- endif %}
{%- set silent, heard, held, remedies = [], [], [], [] %}
{%- for host in hosts if reports.get(host) %}
{%-   do (heard if "domain" in reports[host] else silent).append(host) %}
{%-   if reports[host].get("remedy") %}{% do remedies.append(reports[host].remedy) %}{% endif %}
{%-   if reports[host].get("domain") %}{% do held.append(" " ~ migrate.domain ~ " is on " ~ host ~ ".") %}{% endif %}
{%- endfor %}
{%- if not wrong and not silent %}
{%-   set asked = {} %}
{%-   for key in known[3:] if migrate.get(key) is not none %}{% do asked.update({key: migrate[key]}) %}{% endfor %}
{%-   set fine = salt["saltutil.cmd"](migrate.source, "xm.check_options", kwarg=asked, tgt_type="list")
                .get(migrate.source, {}).get("ret") %}
{%-   if fine is not sameas true %}
{%-     do wrong.append((fine or migrate.source ~ " does not answer") | replace("ERROR: ", "")) %}
{%-   endif %}
{%- endif %}

{%- if wrong %}

{%- set text = "Nothing was moved." ~ held | join ~ " In the pillar xend:migrate, " ~ wrong | join("; ")
               ~ ". Needed are " ~ needed | join(", ") ~ "; known are also " ~ known[3:] | join(", ") ~ "." %}
{{ says("the pillar says what to migrate", text, false) }}

{%- elif silent %}

{%- set why = {"who": silent | join(", "), "do": remedies | join(". ")} %}
{%- for host in heard %}
{%-   set said = salt["saltutil.cmd"](host, "xm.unheard", arg=[reports], tgt_type="list").get(host, {}).get("ret") %}
{%-   if said is mapping %}{% do why.update(said) %}{% endif %}
{%- endfor %}
{{ says(hosts | join(" and ") ~ " answer", "Nothing was moved." ~ held | join ~ " No answer from " ~ why.who ~ ". "
        ~ why.do, false) }}

{%- else %}

{%- set left = reports[migrate.source] %}
{%- set there = reports[migrate.target] %}
{%- if not left.domain and there.domain and there.file is mapping %}
{#-   It has moved before, but an interrupted run may have left its file behind. -#}
{%-   do left.update({"file": salt["saltutil.cmd"](migrate.source, "xen_guest.find",
                              arg=[migrate.domain, there.domain.uuid], tgt_type="list")
                              .get(migrate.source, {}).get("ret")}) %}
{%- endif %}
{#- What a host has told goes on as JSON in ASCII, which xm.told reads: there are characters that YAML does not
    take, or alters. -#}
{%- do migrate.update({"left": dict(left.get("view") or {"copy": "unknown", "problem": none}, host=migrate.source)
                               | tojson,
                       "there": (none if left.domain else there.get("view")) | tojson,
                       "description": left.domain | tojson, "from": left.host | tojson,
                       "file": left.file | tojson, "problem": left.problem | tojson,
                       "asked": {"time": there.host.time,
                                 "apart_s": [0, answered_s - [left.seconds | default(0), there.seconds | default(0)]
                                                | min] | max} if there.host else none,
                       "who": "migration from " ~ migrate.source ~ ", begun "
                              ~ (none | strftime("%Y-%m-%d %H:%M:%S.%f"))}) %}
{%- if left.domain and left.domain.disks %}
{#-   Whether the disks are the same storage on both: the source puts markers next to them, the target looks
      for those. They are gone again before anything is decided. What cannot be told is not proved. -#}
{%-   set marked = salt["saltutil.cmd"](migrate.source, "xm.mark_disks", arg=[migrate.domain], timeout=60,
                                         tgt_type="list").get(migrate.source, {}).get("ret") %}
{%-   set same = salt["saltutil.cmd"](migrate.target, "xm.same_disks", arg=[marked, migrate.source],
                                       timeout=60, tgt_type="list").get(migrate.target, {}).get("ret")
                 if marked is mapping else marked %}
{%-   if marked is mapping %}
{%-     do salt["saltutil.cmd"](migrate.source, "xm.unmark_disks", arg=[marked], tgt_type="list") %}
{%-   endif %}
{%-   if same is string or same is mapping or same is not iterable %}
{%-     set same = [["unproved", "whether the disks are the same storage on both hosts could not be told ("
                     ~ (same or "no answer") ~ "); who knows that they are says accept: [storage]"]] %}
{%-   endif %}
{%-   do migrate.update({"storage": same | tojson}) %}
{%- endif %}
{%- set follows = left.file is mapping and left.file.path %}
{%- if opts.get("test") %}
{#-   The door of the target cannot be asked while the settings that open it are still to be applied. -#}
{%-   set plan = salt["saltutil.cmd"](migrate.target, "state.sls", arg=["xend.relocation"],
                                       kwarg={"test": True}, tgt_type="list") %}
{%-   set planned = plan.get(migrate.target, {}).get("ret", {}) %}
{%-   if planned is mapping %}
{%-     do migrate.update({"ask": not planned.values() | selectattr("result", "none") | list}) %}
{%-   endif %}
{%- endif %}

{#- Names are quoted, so that nothing in them can be read as YAML. Each step waits for its turn when the
    minion is running other states. -#}
{%- set ready = "relocation is configured and works on both hosts" %}
{%- set leave = migrate.domain ~ " can leave " ~ migrate.source %}
{%- set room = migrate.target ~ " can take " ~ migrate.domain %}
{%- set send = migrate.domain ~ " is sent from " ~ migrate.source ~ " to " ~ migrate.target %}
{%- set arrive = migrate.domain ~ " runs on " ~ migrate.target %}
{%- macro step(id, host, sls, require, data=migrate, timeout=60) %}
{{ id | json }}:
  salt.state:
    - tgt: {{ [host] | json }}
    - tgt_type: list
    - queue: true
    - sls: {{ sls }}
    - pillar: {{ {"xend": {"migrate": data}} | json }}
    - timeout: {{ timeout }}
    - require:
  {%- for other in require %}
      - salt: {{ other | json }}
  {%- endfor %}
{%- endmacro %}

{{ ready | json }}:
  salt.state:
    - tgt: {{ hosts | json }}
    - tgt_type: list
    - queue: true
    - sls: xend.relocation

{#- Both are asked whatever the other says: an operator wants to know all that is wrong at once. -#}
{{ step(leave, migrate.source, "xend.orch.leave", [ready]) }}
{{ step(room, migrate.target, "xend.orch.receive", [ready]) }}
{{ step(send, migrate.source, "xend.orch.move", [leave, room]) }}
{#- Until then the minion is not even asked whether it is still at it: xend waits 100 s for devices. -#}
{{ step(arrive, migrate.target, "xend.orch.move", [send], timeout=180) }}

{#- A guest of the same name with another uuid that runs there says nothing of the one that is managed here. -#}
{%- if left.get("stays_managed") and left.stays_managed == (left.domain or there.domain or {}).get("uuid")
      and "managed" in (migrate.get("accept") or []) %}
{{ step("xend on " ~ migrate.source ~ " does not manage " ~ migrate.domain ~ " any more", migrate.source,
        "xend.orch.unmanage", [arrive], {"domain": migrate.domain, "uuid": left.stays_managed}) }}
{%- endif %}

{%- if left.domain and reports[migrate.target].announces %}
{{ step(migrate.domain ~ " is announced on " ~ migrate.target, migrate.target, "xend.orch.announce", [arrive]) }}
{%- endif %}
{%- if follows %}
{%-   set home = migrate.domain ~ " is at home on " ~ migrate.target %}
{{ step(home, migrate.target, "xend.orch.settle", [arrive]) }}
{{ step(migrate.domain ~ " is not at home on " ~ migrate.source ~ " any more", migrate.source,
        "xend.orch.settle", [home]) }}
{%- endif %}

{%- if not opts.get("test") %}
{#- Without requisites: whatever became of the steps above, what both hosts hold now is the truth. #}

{{ ("where " ~ migrate.domain ~ " is now") | json }}:
  salt.runner:
    - name: state.orchestrate
    - kwarg:
        mods: xend.orch.recover
        pillar: {{ {"xend": {"recover": {
            "domain": migrate.domain, "uuid": (left.domain or {}).get("uuid"),
            "ran": (left.domain or {}).get("runs", false), "who": migrate.who,
            "source": migrate.source, "target": migrate.target}}} | json }}
    - order: last

{%- endif %}
{%- endif %}
