{#- The inverse of xend.firewall: none of its rules are left; the ports are as open as xend has them. -#}
{%- from "xend/firewall/rules.jinja" import chain, present, save with context %}

{%- if present.chain %}

{%- for port in present.ports %}

xend-firewall-no-longer-port-{{ port }}:
  iptables.delete:
    - chain: INPUT
    - proto: tcp
    - dport: {{ port }}
    - jump: {{ chain }}
    - save: {{ save | json }}
    - require_in:
      - iptables: xend-firewall-chain
{%- endfor %}

{#- With the rules that are in it. #}
xend-firewall-chain:
  iptables.chain_absent:
    - name: {{ chain }}

{%- endif %}
