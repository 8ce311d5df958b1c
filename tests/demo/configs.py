"""
Two configuration files as hosts have them before Salt comes: one in the style of the file shipped with
Xen 3.0.3 (relocation off), one in that of Xen 4.1 (relocation on, only the host itself admitted).
"""

XEN_3_0_3 = r"""# -*- sh -*-

#
# What xend does on this host. Lines that are commented out show what it does by itself.
#

#(logfile /var/log/xen/xend.log)
#(loglevel DEBUG)

# Interfaces over which xend takes orders.
#(xend-http-server no)
#(xend-unix-server no)
(xend-unix-path /var/lib/xend/xend-socket)

# Taking guests from other hosts. Their memory crosses the network in the clear, so this is off.
#(xend-relocation-server no)

# The port for that.
#(xend-relocation-port 8002)

# The address for that; an empty one means every address of the host.
#(xend-relocation-address '')

# Who may send guests: patterns for names and addresses; empty means anybody. For example:
#  (xend-relocation-hosts-allow '^localhost$ ^.*\.example\.org$')
#(xend-relocation-hosts-allow '')

# How guests get at the network.
(network-script network-bridge)
(vif-script vif-bridge)

# Memory, in MB, that stays with domain 0.
(dom0-min-mem 196)

# Processors of domain 0; 0 means all.
(dom0-cpus 0)
"""

XEN_4_1 = r"""# -*- sh -*-

#
# Configuration of xend, for a host whose guests are bridged to the network.
#

# An entry that is commented out shows its default.

#(logfile /var/log/xen/xend.log)
#(loglevel DEBUG)

#(xend-http-server no)
#(xend-unix-server no)
#(xend-tcp-xmlrpc-server no)
#(xend-unix-xmlrpc-server yes)
(xend-relocation-server yes)
#(xend-relocation-ssl-server no)
#(xend-udev-event-server no)

# The port on which guests arrive.
#(xend-relocation-port 8002)

# The same over TLS, with the files that it needs.
#(xend-relocation-ssl-port 8003)
#(xend-relocation-server-ssl-key-file   relocation.key)
#(xend-relocation-server-ssl-cert-file  relocation.crt)
#(xend-relocation-ssl no)

# The address on which guests arrive. The name of an interface (eth0, say) will do as well.
#(xend-relocation-address '')

# Hosts that may send guests here, as regular expressions separated by a space, matched with the
# name and the address of the host. With none, any host may.
#
# An example:
#  (xend-relocation-hosts-allow '^localhost$ ^xen[0-9]\\.example\\.org$')
#
#(xend-relocation-hosts-allow '')
(xend-relocation-hosts-allow '^localhost$ ^localhost\\.localdomain$')

(network-script network-bridge)
(vif-script vif-bridge)

# The least memory, in MB, that domain 0 keeps when it gives some to guests.
(dom0-min-mem 196)
(enable-dom0-ballooning yes)
(total_available_memory 0)
(dom0-cpus 0)
(vncpasswd '')
"""
