"""What xend knows and does about the domains of its host, as `xm` asks for it.

Here: looking domains up, listing, pausing, renaming, creating. Moving a domain is in migration.py
(away) and relocation.py (here); xend's life as a process is in xend.py.
"""

import threading

from tests.lab import (
    block,
    description,
    device_model,
    hotplug,
    hypervisor,
    managed,
    memory,
    options,
    stream,
    sxp,
    xm_info,
)
from tests.lab.layout import BALLOON_RETRIES

MIGRATING = "migrating-"
DOM0_NAMES = ("Domain-0", "0", description.DOM0_UUID)
# xend asks for this much at once when a domain is built, and for the rest later.
SHELL_KIB = 16384
# From when on xend stops and starts guests with itself, and from when on it reads auto_power_on.
AUTOSTART_SINCE, POWER_ON_SINCE = (3, 1), (3, 4)


class XendError(Exception):
    """xend refuses. `kind` is how Python 2 names the exception's class on the wire."""

    kind = "<class 'xen.xend.XendError.XendError'>"
    label = "XendError"


class VmError(XendError):
    """A domain cannot be made or found."""

    kind = "<class 'xen.xend.XendError.VmError'>"
    label = "VmError"


class NoDomain(Exception):
    """There is no such domain; xm ends with its own exit code then."""


class Domains:
    """xend's domains on one host; `config` are the options that this xend has started with."""

    def __init__(self, layout, config, log):
        self.layout = layout
        self.config = config
        self.log = log
        self.hypervisor = hypervisor.Hypervisor(layout)
        self.managed = managed.Managed(layout)
        self.key = sxp.version_key(layout.version)
        # Domains that are being built: xend lists them, the hypervisor does not know them yet.
        self.pending = {}
        # Connections of migrations that wedged; xend forgets to close them.
        self.leaked = []
        self.lock = threading.Lock()

    # looking up

    def find(self, name):
        """Return the domain with this name, else id, else uuid; raise NoDomain, XendError."""
        for key in ("xend_name", "domid", "uuid"):
            for domain in self.hypervisor.domains():
                if str(name) == str(domain[key]):
                    return domain
        self.find_managed(name)
        raise XendError("Domain is not running")

    def find_managed(self, name):
        """Return the description of the managed domain with this name or uuid; raise NoDomain."""
        for uuid, config in self.managed.all().items():
            if str(name) in (sxp.child_value(config, "name"), uuid):
                return config
        raise NoDomain(str(name))

    def check_name_is_free(self, name, uuid=None):
        """Raise VmError when another domain than that with `uuid` is called `name` already."""
        with self.lock:
            known = [(row["name"], row["uuid"], row["domid"]) for row in self.pending.values()]
        known += [
            (domain["xend_name"], domain["uuid"], domain["domid"])
            for domain in self.hypervisor.domains()
        ]
        running = [other for _name, other, _domid in known]
        known += [
            (sxp.child_value(config, "name"), other, None)
            for other, config in self.managed.all().items()
            if other not in running
        ]
        for other_name, other, domid in known:
            # Before 3.1 a name was a name; since then a second copy of the same domain passes.
            if other_name == name and (other != uuid or self.key < (3, 1)):
                where = "" if domid is None else " as domain %d" % domid
                raise VmError("VM name '%s' already exists%s" % (name, where))

    def refuse_dom0(self, name, verb):
        if str(name) in DOM0_NAMES:
            raise XendError("Cannot %s privileged domain %s" % (verb, name))

    # what xm asks for

    def all_described(self, state="all"):
        """Return the descriptions of all domains, or of those in a state: running, paused, halted."""
        # By name, Domain-0 too: a guest called "Alpha" stands before it.
        known = sorted(self._known(), key=lambda row: row["name"])
        return [self._typed(row) for row in known if state in ("all", row["power"])]

    def described(self, name):
        """Return the description of the domain with this name, else id, else uuid; raise NoDomain."""
        known = self._known()
        for key in ("name", "domid", "uuid"):
            for row in known:
                if name == str(row[key]):
                    return self._typed(row)
        raise NoDomain(name)

    def vcpu_info(self, name):
        """Return what xend knows of the VCPUs of a domain, for `xm vcpu-list`; raise NoDomain."""
        found = self.described(name)
        count, online = (sxp.child_value(found, key, 0) for key in ("vcpus", "online_vcpus"))
        letters = sxp.child_value(found, "state", "")
        out = [item for item in found if item == "domain" or item[0] in ("domid", "name")]
        out.append(["vcpu_count", count])
        for number in range(count):
            figures = {
                "number": number,
                "online": int(number < online),
                "blocked": int("b" in letters),
                "running": int("r" in letters),
                "cpu_time": sxp.child_value(found, "cpu_time", 0.0) / count,
                "cpu": 0,
                "cpumap": [0],
            }
            out.append(["vcpu"] + [[key, value] for key, value in figures.items()])
        return out

    def _typed(self, row):
        return description.typed(row["described"], self.layout.version)

    def _known(self):
        """Return a dict for each domain: name, domid, uuid, power, described."""
        running = self.hypervisor.domains()
        known = [self._dom0_row()] + [self._row(domain) for domain in running]
        with self.lock:
            coming = list(self.pending.values())
        known += [row for row in coming if row["domid"] not in [one["domid"] for one in running]]
        present = {row["uuid"] for row in known}
        return known + [
            {
                "name": sxp.child_value(config, "name"),
                "domid": "",
                "uuid": uuid,
                "power": "halted",
                "described": description.shown(config),
            }
            for uuid, config in self.managed.all().items()
            if uuid not in present
        ]

    def _dom0_row(self):
        dom0 = self.hypervisor.dom0()
        memory_mib = dom0["kib"] // hypervisor.KIB_PER_MIB
        return {
            "name": "Domain-0",
            "domid": 0,
            "uuid": description.DOM0_UUID,
            "power": "running",
            "described": description.dom0(memory_mib, 1, dom0["cpu_time"], self.layout.version),
        }

    def _row(self, domain):
        faults = self.layout.faults()
        letters = hypervisor.state_letters(domain)
        whose = (True, domain["name"])
        if faults.get("no-state") in whose:
            letters = "?" * len(letters)
        found = {
            "name": domain["xend_name"],
            "domid": domain["domid"],
            "uuid": domain["uuid"],
            "power": "paused" if domain["paused"] else "running",
            "described": description.shown(description.live(domain, letters)),
        }
        if faults.get("no-name") in whose:
            found["name"] = "??"
            found["described"] = [
                item
                for item in found["described"]
                if item == "domain" or item[0] in ("domid", "uuid")
            ]
        return found

    def announce(self, domid, config):
        """List a domain that is only about to be built, with the figures that came with it."""
        row = {
            "name": sxp.child_value(config, "name"),
            "domid": domid,
            "uuid": sxp.child_value(config, "uuid"),
            "power": "running",
            "described": description.coming(config, domid),
        }
        with self.lock:
            self.pending[domid] = row

    def unannounce(self, domid):
        with self.lock:
            self.pending.pop(domid, None)

    def info(self, show_numa=False):
        """Return what `xm info` is made of, as pairs; `show_numa`: as well what it asks for with -n."""
        spec = self.layout.spec
        free_mib = max(0, self.hypervisor.free_kib() // hypervisor.KIB_PER_MIB)
        return xm_info.host(
            self.layout.name,
            self.layout.version,
            spec["memory_mib"],
            free_mib,
            spec["info"],
            show_numa,
        )

    def pause(self, name):
        self.refuse_dom0(name, "pause")
        domain = self.find(name)
        self.hypervisor.pause(domain["domid"])
        self.log.info(
            "XendDomain:1259", "Domain %s (%d) paused." % (domain["xend_name"], domain["domid"])
        )

    def unpause(self, name):
        self.refuse_dom0(name, "unpause")
        domain = self.find(name)
        self.hypervisor.unpause(domain["domid"])
        self.log.info(
            "XendDomain:1275", "Domain %s (%d) unpaused." % (domain["xend_name"], domain["domid"])
        )

    def destroy(self, name):
        self.refuse_dom0(name, "destroy")
        self.destroy_domain(self.find(name)["domid"])

    def delete(self, name):
        """Forget a managed domain that does not run; raise NoDomain, XendError."""
        if any(str(name) in (row["xend_name"], row["uuid"]) for row in self.hypervisor.domains()):
            raise XendError("Domain is not halted.")
        config = self.find_managed(name)
        self.managed.forget(sxp.child_value(config, "uuid"))

    def rename(self, name, new_name):
        self.refuse_dom0(name, "rename")
        domain = self.find(name)
        self.check_name_is_free(new_name, domain["uuid"])
        self.hypervisor.update(domain["domid"], xend_name=new_name, name=new_name)

    def create(self, settings):
        """Build a domain from what xm has made of a domain file, and leave it paused; return its id."""
        values = {item[0]: item[1] for item in settings[1:]}
        self.check_name_is_free(values["name"])
        given = [item[1] for item in settings[1:] if item[0] == "device"]
        config = description.build(
            values["name"],
            values.get("uuid") or hypervisor.new_uuid(),
            int(values["memory"]),
            int(values["vcpus"]),
            "hvm" if values["image"][0] == "hvm" else "linux",
            [",".join(value for _key, value in items) for kind, *items in given if kind == "vbd"],
            [",".join("=".join(item) for item in items) for kind, *items in given if kind == "vif"],
            self.layout.version,
            {},
        )
        line = ("XendDomainInfo:105", "XendDomainInfo.create(%r)" % (config,))
        return self.build(config, line, paused=True)

    def build(self, config, line, paused=False):
        """Build and start a domain from its description, with this line of the log; return its id."""
        name, uuid, memory_mib, vcpus = [
            sxp.child_value(config, key) for key in ("name", "uuid", "memory", "vcpus")
        ]
        needed_kib = memory.domain_kib(config, self.layout.version)
        self.balloon(needed_kib + self.tables_kib(config, restoring=False))
        domid = self.hypervisor.reserve_domid()
        self.log.debug(*line)
        self.hypervisor.create(
            domid,
            name,
            uuid,
            int(memory_mib),
            int(vcpus),
            self.layout.spec["pages"],
            config,
            kib=needed_kib,
        )
        block.take_all(self.layout, self.hypervisor, domid)
        hotplug.run(self.layout, config, domid, self.config.get("vif-script"))
        device_model.start(self.layout, domid, config, self.config.get("vnc-listen"))
        self.layout.pause("boot")
        self.hypervisor.boot(domid)
        if not paused:
            self.hypervisor.unpause(domid)
        return domid

    def save(self, name, path):
        """Write a domain to an image and destroy it here."""
        self.refuse_dom0(name, "save")
        domain = self.find(name)
        self.hypervisor.suspend(domain["domid"])
        with open(path, "wb") as file:
            file.write(self.image(domain))
        self.destroy_domain(domain["domid"])

    def image(self, domain):
        """Return what is saved of a domain that stands still."""
        described = description.to_send(domain, self.layout.version)
        return stream.image(described, self.hypervisor, domain)

    # what moving a domain needs too

    def balloon(self, need_kib):
        """See that `need_kib` are free, shrinking Domain-0 if it may shrink; raise VmError."""
        dom0_kib = self.hypervisor.dom0()["kib"]
        least_kib = dom0_kib
        if self.key < (4, 0) or self.config.get("enable-dom0-ballooning"):
            least_kib = min(dom0_kib, self.config.get("dom0-min-mem") * hypervisor.KIB_PER_MIB)
        for retries in range(BALLOON_RETRIES, 0, -1):
            free_kib = self.hypervisor.free_kib()
            if free_kib >= need_kib:
                # 4.4 says so when it builds a domain, and never when it asks again.
                if need_kib == SHELL_KIB:
                    self.log.debug(
                        "balloon:187", "Balloon: %d KiB free; need %d; done." % (free_kib, need_kib)
                    )
                return
            # dom0-min-mem 0 means that Domain-0 must keep what it has.
            if least_kib and free_kib + dom0_kib - least_kib >= need_kib:
                self.hypervisor.balloon_dom0(need_kib - free_kib)
                continue
            self.log.debug(
                "balloon:193",
                "Balloon: %d KiB free; 0 to scrub; need %d; retries: %d."
                % (free_kib, need_kib, retries),
            )
            self.layout.pause("balloon-step")
        if not least_kib:
            raise VmError(
                "Not enough free memory and dom0_min_mem is 0, so I cannot release any more.  "
                "I need %d KiB but only have %d." % (need_kib, free_kib)
            )
        raise VmError(
            "I need %d KiB, but dom0_min_mem is %d and shrinking to %d KiB would leave only "
            "%d KiB free." % (need_kib, least_kib, least_kib, free_kib + dom0_kib - least_kib)
        )

    def tables_kib(self, config, restoring):
        """Return what is wanted free for the tables of this host's IOMMU; nobody takes it yet."""
        virt_caps = dict(self.info()).get("virt_caps", "")
        return memory.tables_kib(config, self.layout.version, virt_caps, restoring)

    def destroy_domain(self, domid):
        """Take a domain and its devices away, with the log lines of xend."""
        self.log.debug("XendDomainInfo:3082", "XendDomainInfo.destroy: domid=%d" % domid)
        domain = self.hypervisor.domain(domid)
        if domain and domain["uuid"] in self.managed:
            self.managed.save(description.live(domain, ""))
        self.hypervisor.destroy(domid)
        self.log.debug("XendDomainInfo:2412", "No device model")
        self.log.debug("XendDomainInfo:2414", "Releasing devices")
        for number, device in enumerate(devices(domain["config"]) if domain else []):
            kind = device[0]
            self.log.debug("XendDomainInfo:2420", "Removing %s/%d" % (kind, number))
            self.log.debug(
                "XendDomainInfo:1278",
                "XendDomainInfo.destroyDevice: deviceClass = %s, device = %s/%d"
                % (kind, kind, number),
            )

    # what xend does by itself at its start and its end

    def autostart(self):
        """Start the managed domains that want it; those that run, or were suspended, are left alone.

        The first that cannot be started ends the round (XendDomain.autostart_domains, and
        SrvServer.start, which calls it).
        """
        if self.key < AUTOSTART_SINCE:
            return
        # One that is dying is none for xend (XendDomain._init_domains).
        running = [d["xend_name"] for d in self.hypervisor.domains() if not d["dying"]]
        wanted = [
            config
            for uuid, config in self.managed.all().items()
            if sxp.child_value(config, "name") not in running
            and not self.managed.checkpoint(uuid).exists()
            and self.starts_with_xend(config)
        ]
        try:
            for config in wanted:
                self.check_name_is_free(
                    sxp.child_value(config, "name"), sxp.child_value(config, "uuid")
                )
                self.build(config, ("XendDomainInfo:2504", "XendDomainInfo.constructDomain"))
        except Exception as error:
            # Whatever it is, xend goes on; for instance where a domain is destroyed while it is built.
            self.log.failure(
                "SrvServer:160",
                "Failed while autostarting domains",
                "%s: %s" % (getattr(error, "label", type(error).__name__), error),
                ("server/SrvServer.py", 158, "start", "xenddomain().autostart_domains()"),
                ("XendDomain.py", 636, "autostart_domains", "self.domain_start(dom_uuid, False)"),
            )

    def starts_with_xend(self, config):
        """Whether a start of xend starts the halted domain with this description."""
        power_on = (
            sxp.child_value(config, "auto_power_on", "") if self.key >= POWER_ON_SINCE else ""
        )
        # xend's own idea of a boolean: `no` and `false` are true.
        return sxp.child_value(config, "on_xend_start") == "start" or power_on not in (
            "",
            "0",
            "False",
        )

    def cleanup(self):
        """Do at the end of xend what each running domain wants; raise XendError before 3.2.

        From 3.2 on, a domain that cannot be suspended does not keep xend from the others
        (XendDomain.cleanup_domains).
        """
        if self.key < AUTOSTART_SINCE:
            return
        self.log.debug("XendDomain:644", "cleanup_domains")
        for domain in self.hypervisor.domains():
            if not hypervisor.is_running(domain):
                continue
            name, action = domain["xend_name"], sxp.child_value(domain["config"], "on_xend_stop")
            if action == "shutdown":
                self.log.debug("XendDomain:655", "Shutting down domain: %s" % name)
                self.log.debug("XendDomainInfo:526", "XendDomainInfo.shutdown(poweroff)")
                self.power_off(domain)
            elif action == "suspend":
                try:
                    self.suspend(domain)
                except XendError as error:
                    if self.key < (3, 2):
                        raise
                    self.log.failure(
                        "XendDomain:663",
                        "Domain %s failed to suspend." % name,
                        "%s: %s" % (error.label, error),
                        (
                            "XendDomain.py",
                            658,
                            "cleanup_domains",
                            "self.domain_suspend(dom.getName())",
                        ),
                        ("XendDomain.py", 919, "domain_suspend", '"support.")'),
                    )
            elif self.key >= (3, 2):
                self.log.debug("XendDomain:660", "Domain %s continues to run." % name)

    def power_off(self, domain):
        """Let a guest shut itself down; on_poweroff is destroy."""
        self.hypervisor.note("shut down", domain)
        if domain["uuid"] in self.managed:
            self.managed.save(description.live(domain, ""))
        self.hypervisor.destroy(domain["domid"])

    def suspend(self, domain):
        """Save a managed domain beside its description; raise XendError for any other one."""
        if domain["uuid"] not in self.managed:
            raise XendError("Domain is not managed by Xend lifecycle support.")
        self.managed.checkpoint(domain["uuid"]).write_bytes(self.image(domain))
        self.managed.save(description.live(domain, ""))
        self.hypervisor.suspend(domain["domid"])
        self.hypervisor.destroy(domain["domid"])


def devices(config):
    """Return the device lists of a description, such as ["vbd", …]."""
    return [
        item[1]
        for item in config[1:]
        if isinstance(item, list) and item and item[0] == "device" and len(item) > 1
    ]


def load_options(layout, path=None):
    """Read the configuration as xend does at its start; raise sxp.ParseError, OSError."""
    try:
        data = open(path or layout.config, "rb").read()
    except FileNotFoundError:
        data = None
    return options.Options(data, layout.version)
