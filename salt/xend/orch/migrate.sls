{#- Move one running guest between two minions:

      salt-run state.orchestrate xend.orch.migrate \
        pillar='{"xend": {"migrate": {"domain": "web01", "source": "xen1", "target": "xen2"}}}'

    Options beside these three: live (default true), port, ssl, node, timeout (seconds for the transfer),
    settle (seconds that the target may take to complete it). With test=True all is checked and nothing
    is moved. pillar.example explains them. -#}
{%- set given = salt["pillar.get"]("xend:migrate", {}) %}
{%- set migrate = {} %}
{%- do migrate.update(given if given is mapping else {}) %}
{%- set needed = ["domain", "source", "target"] %}
{%- set known = needed + ["live", "port", "ssl", "node", "timeout", "settle"] %}
{%- set wrong = [] %}
{%- for key in needed %}
{%-   if not migrate.get(key) %}{% do wrong.append(key ~ " is missing") %}
{%-   elif migrate[key] is not string %}{% do wrong.append(key ~ " is no text") %}{% endif %}
{%- endfor %}
{%- for key in migrate if key not in known %}{% do wrong.append(key ~ " is no option") %}{% endfor %}
{%- if not wrong and migrate.source == migrate.target %}
{%-   do wrong.append("source and target are the same host, " ~ migrate.target) %}
{%- endif %}

{#- What both ends hold now. Only read, so it may be done while rendering, also under test=True. -#}
{%- set hosts = [migrate.get("source"), migrate.get("target")] %}
{%- set reports = {} %}
{%- if not wrong %}
{%-   set seen = salt["saltutil.cmd"](hosts, "xm.domain", arg=[migrate.domain], tgt_type="list") %}
{%-   for host in hosts %}
{%-     if "ret" in seen.get(host, {}) %}{% do reports.update({host: seen[host].ret}) %}
{%-     else %}{% do wrong.append(host ~ " does not answer: it must be the id of a minion that runs") %}{% endif %}
{%-   endfor %}
{%- endif %}

{%- if wrong %}

{%- set held = [] %}
{%- for host in hosts if reports.get(host) is mapping %}
{%-   do held.append(migrate.domain ~ " is on " ~ host ~ ". ") %}
{%- endfor %}
{%- set text = "Nothing was moved. " ~ held | join ~ "In the pillar xend:migrate, " ~ wrong | join("; ")
               ~ ". Needed are " ~ needed | join(", ") ~ "; known are also " ~ known[3:] | join(", ") ~ "." %}

the pillar says what to migrate:
  test.fail_without_changes:
    {#- Twice, because under test=True Salt puts a comment of its own there. #}
    - name: {{ text | json }}
    - comment: {{ text | json }}

{%- else %}

{%- do migrate.update({"description": reports[migrate.source], "there": reports[migrate.target]}) %}
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
{%- set room = migrate.target ~ " can take " ~ migrate.domain %}
{%- set send = migrate.domain ~ " is sent from " ~ migrate.source ~ " to " ~ migrate.target %}
{%- set arrive = migrate.domain ~ " runs on " ~ migrate.target %}

{{ ready | json }}:
  salt.state:
    - tgt: {{ hosts | json }}
    - tgt_type: list
    - queue: true
    - sls: xend.relocation

{{ room | json }}:
  salt.state:
    - tgt: {{ [migrate.target] | json }}
    - tgt_type: list
    - queue: true
    - sls: xend.orch.receive
    - pillar: {{ {"xend": {"migrate": migrate}} | json }}
    - require:
      - salt: {{ ready | json }}

{{ send | json }}:
  salt.state:
    - tgt: {{ [migrate.source] | json }}
    - tgt_type: list
    - queue: true
    - sls: xend.orch.move
    - pillar: {{ {"xend": {"migrate": migrate}} | json }}
    - timeout: 60
    - require:
      - salt: {{ room | json }}

{{ arrive | json }}:
  salt.state:
    - tgt: {{ [migrate.target] | json }}
    - tgt_type: list
    - queue: true
    - sls: xend.orch.move
    - pillar: {{ {"xend": {"migrate": migrate}} | json }}
    - timeout: 60
    - require:
      - salt: {{ send | json }}

{%- if not opts.get("test") %}

{{ ("where " ~ migrate.domain ~ " is after the failure") | json }}:
  salt.state:
    - tgt: {{ hosts | json }}
    - tgt_type: list
    - queue: true
    - sls: xend.orch.move
    - pillar: {{ {"xend": {"migrate": dict(migrate, failed=True)}} | json }}
    - onfail:
      - salt: {{ send | json }}
      - salt: {{ arrive | json }}

{%- endif %}
{%- endif %}
