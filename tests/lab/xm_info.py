"""The tables behind `xm info`, `xm info -c` and `xm create`, which most xm calls never need.

Here: facts about the simulated machine, the constants that xend lists, and a small reader of
domain files. No talking to xend.
"""

from pathlib import Path

from tests.lab import sxp

INFO_BEFORE_MEMORY = (
    ("release", "5.10.0-32-amd64"),
    ("version", "#1 SMP Debian 5.10.223-1 (2024-08-10)"),
    ("machine", "x86_64"),
    ("nr_cpus", "1"),
    ("nr_nodes", "1"),
    ("cores_per_socket", "1"),
    ("threads_per_core", "1"),
    ("cpu_mhz", "2600"),
    ("hw_caps", "078bf3fd:2193fbfd:00000000:00000000:80002001:00000000:00000005:00000000"),
    ("virt_caps", "hvm"),
)
INFO_AFTER_VERSION = (
    ("xen_caps", "xen-3.0-x86_64 xen-3.0-x86_32p hvm-3.0-x86_32 hvm-3.0-x86_32p hvm-3.0-x86_64 "),
    ("xen_scheduler", "credit"),
    ("xen_pagesize", "4096"),
    ("platform_params", "virt_start=0xffff800000000000"),
    ("xen_changeset", ""),
    ("xen_commandline", "dom0_mem=1024M"),
    ("cc_compiler", "gcc (Debian 10.2.1-6) 10.2.1 20210110"),
    ("cc_compile_by", ""),
    ("cc_compile_domain", "(none)"),
    ("cc_compile_date", "Mon Nov 23 00:14:19 UTC 2026"),
)
# What the tools say of themselves, from which version on; older ones than these print no such line.
CONFIG_FORMATS = (((3, 0, 3), "2"), ((3, 0, 4), "3"), ((3, 1), "4"))
INFO_NUMA = (
    ("cpu_topology", "\ncpu:    core    socket     node\n  0:       0        0        0"),
    ("numa_info", "none"),
)
# Which of all these xend has as numbers.
NUMBERS = (
    "nr_cpus",
    "nr_nodes",
    "cores_per_socket",
    "threads_per_core",
    "cpu_mhz",
    "total_memory",
    "free_memory",
    "free_cpus",
    "xen_major",
    "xen_minor",
    "xen_pagesize",
    "xend_config_format",
)
# Lines of `xm info` that only newer tools print.
INFO_SINCE = {"virt_caps": (3, 4), "free_cpus": (4, 0), "xen_commandline": (3, 3)}
CONSTANTS_BEFORE = (
    ("__doc__", "Default path to the config file."),
    ("__module__", "xen.xend.XendOptions"),
    ("block_script_dir", "/etc/xen/scripts"),
)
CONSTANTS_AFTER = (
    ("config_default", "/etc/xen/xend-config.sxp"),
    ("config_path", "/etc/xen/xend-config.sxp"),
    ("config_var", "XEND_CONFIG"),
    ("device_create_timeout_default", "100"),
    ("device_destroy_timeout_default", "100"),
    ("dom0_min_mem_default", "0"),
    ("dom0_vcpus_default", "0"),
    ("external_migration_tool_default", ""),
    ("logfile_default", "/var/log/xen/xend.log"),
    ("loglevel_default", "DEBUG"),
    ("network_script_dir", "/etc/xen/scripts"),
    ("pci_dev_assign_strict_check_default", "True"),
    ("qemu_dm_logrotate_count", "10"),
    ("reserved_memory_default", "0"),
    ("vif_script", "vif-bridge"),
    ("vncpasswd_default", "None"),
    ("xen_api_server_default", "[['unix']]"),
    ("xend_address_default", ""),
    ("xend_domains_path_default", "/var/lib/xend/domains"),
    ("xend_http_server_default", "no"),
    ("xend_port_default", "8000"),
    ("xend_pscsi_device_mask", "['*']"),
    ("xend_relocation_address_default", ""),
    ("xend_relocation_hosts_allow_default", ""),
    ("xend_relocation_port_default", "8002"),
    ("xend_relocation_server_default", "no"),
    ("xend_relocation_ssl_port_default", "8003"),
    ("xend_relocation_ssl_server_default", "no"),
    ("xend_security_path_default", "/var/lib/xend/security"),
    ("xend_state_path_default", "/var/lib/xend/state"),
    ("xend_storage_path_default", "/var/lib/xend/storage"),
    ("xend_tcp_xmlrpc_server_address_default", "localhost"),
    ("xend_tcp_xmlrpc_server_default", "no"),
    ("xend_tcp_xmlrpc_server_port_default", "8006"),
    ("xend_udev_event_server_default", "no"),
    ("xend_unix_path_default", "/var/lib/xend/xend-socket"),
    ("xend_unix_server_default", "no"),
    ("xend_unix_xmlrpc_server_default", "yes"),
    ("xend_vnc_listen_default", "127.0.0.1"),
    ("xend_vnc_tls", "0"),
    ("xend_vnc_x509_cert_dir", "/etc/xen/vnc"),
    ("xend_vnc_x509_verify", "0"),
    ("xsm_module_default", "dummy"),
)


def host(name, version, total_mib, free_mib, overrides, show_numa=False):
    """Return what xend tells of the host as [key, value] pairs; xm prints all but the first one.

    overrides -- key to text, for hosts whose processor or hypervisor differs
    """
    major, minor, *rest = version.split(".")
    rows = [
        ("system", "Linux"),
        ("host", name),
        *INFO_BEFORE_MEMORY,
        ("total_memory", str(total_mib)),
        ("free_memory", str(free_mib)),
        ("free_cpus", "0"),
        *(INFO_NUMA if show_numa else ()),
        ("xen_major", major),
        ("xen_minor", minor),
        ("xen_extra", "." + (rest[0] if rest else "0")),
        *INFO_AFTER_VERSION,
    ]
    key = sxp.version_key(version)
    formats = [value for since, value in CONFIG_FORMATS if key >= since]
    rows += [("xend_config_format", value) for value in formats[-1:]]
    rows = [
        [name, overrides.get(name, value)]
        for name, value in rows
        if key >= INFO_SINCE.get(name, key)
    ]
    return [
        [name, int(value) if name in NUMBERS and value.isdigit() else value] for name, value in rows
    ]


def configuration(path, version):
    """Return the lines of `xm info -c` as (key, value) pairs: the file as xm reads it now."""
    try:
        with open(path, "rb") as source:
            forms = sxp.decode(sxp.parse(source.read(), version))
    except FileNotFoundError:
        forms = []
    settings = []
    for form in forms:
        if isinstance(form, list) and len(form) > 1 and isinstance(form[0], str):
            settings.append((form[0], form[1]))
    return [*CONSTANTS_BEFORE, *settings, *CONSTANTS_AFTER]


def domain_file(path):
    """Return the settings of the domain file at `path`, which is executed, as xm does it.

    Without a name the guest is called like the file.
    """
    settings = {
        "name": "",
        "memory": 128,
        "vcpus": 1,
        "disk": [],
        "vif": [],
        "kernel": "",
        "builder": "linux",
    }
    found = {}

    def execfile(other):
        # In the encoding of bytes, so that nothing in it can be wrong.
        text = Path(other).read_bytes().decode("latin-1")
        exec(compile(text, str(other), "exec"), {"execfile": execfile}, found)

    execfile(path)
    kinds = (str, list, int, float)
    settings.update(
        (key, restored(value)) for key, value in found.items() if isinstance(value, kinds)
    )
    settings["name"] = str(settings["name"] or Path(path).name)
    return settings


def to_create(settings):
    """Return what xm sends to xend to have a guest made with these settings of a domain file."""
    out = [
        "vm",
        ["name", settings["name"]],
        ["memory", settings["memory"]],
        ["vcpus", settings["vcpus"]],
    ]
    if settings.get("uuid"):
        out.append(["uuid", settings["uuid"]])
    out.append(["image", [settings["builder"], ["kernel", settings["kernel"]]]])
    for disk in settings["disk"]:
        keys = ("uname", "dev", "mode")
        out.append(["device", ["vbd", *map(list, zip(keys, disk.split(","), strict=False))]])
    for card in settings["vif"]:
        parts = [part.strip().partition("=") for part in card.split(",")]
        out.append(["device", ["vif", *([key, value] for key, equals, value in parts if equals)]])
    return out


def restored(value):
    """Return text that was read byte by byte as what it is, also in lists."""
    if isinstance(value, list):
        return [restored(item) for item in value]
    return sxp.decode_text(value.encode("latin-1")) if isinstance(value, str) else value
