"""A simulated Xen fleet on one machine: hosts with a hypervisor, xend, xm and a relocation port.

Start at `fleet.Fleet`. Nothing here may import the product: the lab judges it independently.
"""
