"""xen.lowlevel.xc and xen.lowlevel.xs of a simulated host: what its Python gives to root.

Here: the few calls that look at guests, and repair a suspended one, behind xend's back. Domains
themselves are in hypervisor.py.
"""

import errno
import os

from tests.lab import hypervisor
from tests.lab.layout import Layout

PYTHON = """#!/bin/sh
PYTHONPATH=%(packages)s:%(source)s PYTHONPYCACHEPREFIX=%(cache)s exec %(python)s "$@"
"""
PACKAGES = "usr/lib/python2.7/site-packages"
# From xen/sched.h.
SHUTDOWN_SUSPEND = 2
MODULE = """from tests.lab import lowlevel

Error = lowlevel.Error


class %(name)s(lowlevel.%(base)s):
    root = %(root)r
"""


class Error(Exception):
    """The call failed: (errno, text), as both of the real modules raise it."""


class _Host:
    root = None

    def __init__(self):
        self.hypervisor = hypervisor.Hypervisor(Layout(self.root))

    def _domain(self, domid):
        domain = self.hypervisor.domain(domid)
        if domain is None:
            raise Error(errno.ESRCH, os.strerror(errno.ESRCH))
        return domain


class Control(_Host):
    """xen.lowlevel.xc.xc"""

    def domain_getinfo(self, first_dom=0, max_doms=1024):
        """Return what the hypervisor knows of guests from id `first_dom` on; raise Error for none.

        So the first of them is another domain when there is no `first_dom`.
        """
        later = [one for one in self.hypervisor.domains() if one["domid"] >= first_dom]
        if not later:
            raise Error(errno.ESRCH, os.strerror(errno.ESRCH))
        return [
            {
                "domid": domain["domid"],
                "dying": int(domain["dying"]),
                "shutdown": int(domain["suspended"]),
                "paused": int(domain["paused"]),
                "running": int(hypervisor.is_running(domain)),
                # Whether one that stands still has suspended itself or ended shows nowhere else.
                "shutdown_reason": int(domain["suspended"])
                and domain.get("shutdown_reason", SHUTDOWN_SUSPEND),
            }
            for domain in later[:max_doms]
        ]

    def domain_resume(self, domid, fast):
        """Let a suspended domain run again; raise Error when it is not suspended.

        Only `fast`, and only with a kernel that has the note SUSPEND_CANCEL, it works afterwards: any
        other wants its devices made anew, which xend does and this call does not.
        """
        domain = self._domain(domid)
        if not domain["suspended"]:
            raise Error(errno.EINVAL, os.strerror(errno.EINVAL))
        self.hypervisor.resume(domid, works=bool(fast) and hypervisor.can_cancel(domain))


class Store(_Host):
    """xen.lowlevel.xs.xs"""

    def read(self, transaction, path):
        """Return what xend has written of a running domain; None where there is nothing.

        Only the two nodes from which xend knows a domain again: /local/domain/ID/vm, and its name.
        """
        for domain in self.hypervisor.domains():
            vm = "/vm/%s" % domain["uuid"]
            if path == "/local/domain/%d/vm" % domain["domid"]:
                return vm
            if path == vm + "/name":
                return domain["xend_name"]
        return None

    def resume_domain(self, domid):
        """Tell xenstored that a domain is not shut down any more; raise Error when it has none."""
        self._domain(domid)


def install(layout, python, source, cache):
    """Put the Python of xend's installation into the host's file system."""
    folder = layout.root / PACKAGES / "xen/lowlevel"
    folder.mkdir(parents=True)
    for package in (folder, folder.parent):
        (package / "__init__.py").touch()
    for name, base in (("xc", "Control"), ("xs", "Store")):
        words = {"name": name, "base": base, "root": str(layout.root)}
        (folder / (name + ".py")).write_text(MODULE % words)
    layout.python.parent.mkdir(parents=True)
    layout.python.write_text(
        PYTHON
        % {
            "packages": layout.root / PACKAGES,
            "source": source,
            "cache": cache,
            "python": python,
        }
    )
    layout.python.chmod(0o755)
