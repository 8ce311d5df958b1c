{#- Only the peers reach the relocation ports. Opt-in: without xend:firewall in the pillar, nothing. -#}
{%- from "xend/firewall/rules.jinja" import asked, chain, ports, present, save, sources, wrong with context %}

{%- if asked and wrong %}

xend-firewall:
  test.fail_without_changes:
    - name: {{ ("The firewall was not changed. " ~ wrong) | json }}

{%- elif asked %}

xend-firewall-chain:
  iptables.chain_present:
    - name: {{ chain }}

{#- A guest that is on its way still arrives when its sender is no peer any more. -#}
{%- set admitted = [{"match": "state", "connstate": "ESTABLISHED"}] %}
{%- for source in sources %}{% do admitted.append({"source": source}) %}{% endfor %}
{%- for rule in admitted %}

xend-firewall-accept-{{ rule.source | default("established") }}:
  iptables.insert:
    - chain: {{ chain }}
    - position: 1
    {%- for name, value in rule | dictsort %}
    - {{ name }}: {{ value | json }}
    {%- endfor %}
    - jump: ACCEPT
    - save: {{ save | json }}
    - require:
      - iptables: xend-firewall-chain
{%- endfor %}

{#- Behind all that is inserted at the top. #}
xend-firewall-drop-others:
  iptables.append:
    - chain: {{ chain }}
    - jump: DROP
    - save: {{ save | json }}
    - require:
      - iptables: xend-firewall-chain

{%- for port in ports %}

xend-firewall-port-{{ port }}:
  iptables.insert:
    - chain: INPUT
    - position: 1
    - proto: tcp
    - dport: {{ port }}
    - jump: {{ chain }}
    - save: {{ save | json }}
    - require:
      - iptables: xend-firewall-drop-others
{%- endfor %}

{%- for source in present.sources if source not in sources %}

xend-firewall-no-longer-{{ source }}:
  iptables.delete:
    - chain: {{ chain }}
    - source: {{ source }}
    - jump: ACCEPT
    - save: {{ save | json }}
{%- endfor %}

{%- for port in present.ports if port not in ports %}

xend-firewall-no-longer-port-{{ port }}:
  iptables.delete:
    - chain: INPUT
    - proto: tcp
    - dport: {{ port }}
    - jump: {{ chain }}
    - save: {{ save | json }}
{%- endfor %}

{%- endif %}
