"""The `xm` command of a simulated host: reads the configuration, asks xend, prints like the real.

Here: options, texts, columns and exit codes. It must start fast, so it imports next to nothing;
everything it says about domains comes from xend over its socket, by the methods of xend that the real xm
of the version asks (xm/main.py, migrate.py, create.py). Each run is noted in CALLS.
"""

import os
import sys

from tests.lab import rpc_client, sxp

FAILED = 1
INVALID_DOMAIN = 3
# Below a host's folder: a line for each run, a list of its arguments as Python writes it.
CALLS = "control/xm-calls"
DEPRECATION = "WARNING: xend/xm is deprecated.\n"
COMMON_COMMANDS = (
    "console",
    "vncviewer",
    "create",
    "new",
    "delete",
    "destroy",
    "dump-core",
    "help",
    "list",
    "mem-set",
    "migrate",
    "pause",
    "reboot",
    "reset",
    "restore",
    "resume",
    "save",
    "shell",
    "shutdown",
    "start",
    "suspend",
    "top",
    "unpause",
    "uptime",
    "usb-add",
    "usb-del",
    "domstate",
    "vcpu-set",
)
# The client and xend are the same installation, so that xm fails where xend would.
TRACEBACK = """Traceback (most recent call last):
  File "/usr/sbin/xm", line 5, in <module>
    from xen.xm import main
  File "/usr/lib/python2.7/site-packages/xen/xend/XendOptions.py", line 458, in set_config
    config = sxp.parse(fin)
"""

# option: (letter, takes a value, first and last version, usage lines)
MIGRATE_OPTIONS = {
    "help": ("h", False, (3, 0), None, "-h, --help           Print this help.\n"),
    "live": ("l", False, (3, 0), None, "-l, --live           Use live migration.\n"),
    "port": (
        "p",
        True,
        (3, 0),
        None,
        "-p=portnum, --port=portnum\n                     Use specified port for migration.\n",
    ),
    "resource": (
        "r",
        True,
        (3, 0),
        (3, 2),
        "-r=MBIT, --resource=MBIT\n"
        "                     Set level of resource usage for migration.\n",
    ),
    "node": (
        "n",
        True,
        (3, 3),
        None,
        "-n=nodenum, --node=nodenum\n                     Use specified NUMA node on target.\n",
    ),
    "ssl": ("s", False, (3, 3), None, "-s, --ssl            Use ssl connection for migration.\n"),
    "change_home_server": (
        "c",
        False,
        (4, 0),
        None,
        "-c, --change_home_server\n                     Change home server for managed domains.\n",
    ),
}
# command: (arguments, what it does), for its usage text
USAGES = {
    "list": ("[options] [Domain, ...]", "List information about all/some domains."),
    "migrate": ("<Domain> <Host>", "Migrate a domain to another machine."),
    "pause": ("<Domain>", "Pause execution of a domain."),
    "unpause": ("<Domain>", "Unpause a paused domain."),
    "destroy": ("<Domain>", "Terminate a domain immediately."),
    "delete": ("<DomainName>", "Remove a domain from Xend domain management."),
    "rename": ("<Domain> <NewDomainName>", "Rename a domain."),
    "create": ("<ConfigFile> [options] [vars]", "Create a domain based on <ConfigFile>."),
    "save": ("[-c] <Domain> <CheckpointFile>", "Save a domain state to restore later."),
    "restore": ("<CheckpointFile> [-p]", "Restore a domain from a saved state."),
    "domid": ("<DomainName>", "Convert a domain name to domain id."),
    "domname": ("<DomId>", "Convert a domain id to domain name."),
    "domstate": ("<DomainName>", "get the state of a domain"),
    "uptime": ("[-s] [Domain]", "Print uptime for all/some domains."),
    "vcpu-list": ("[Domain, ...]", "List the VCPUs for all/some domains."),
    "network-list": ("<Domain> [-l|--long]", "List virtual network interfaces for a domain."),
    "block-list": ("<Domain> [--long]", "List virtual block devices for a domain."),
    "info": ("[-c|--config]", "Get information about Xen host."),
}


class Failure(Exception):
    """xm ends with `code` after saying `message`; `usage` asks for the command's usage too."""

    def __init__(self, message, code=FAILED, usage=False, blank=False):
        super().__init__(message)
        self.message = message
        self.code = code
        self.usage = usage
        self.blank = blank


class Client:
    """One `xm` call on one host: `host` has the config path, version, socket and directories."""

    def __init__(self, config, version, socket, lab, root):
        self.config = config
        self.version = sxp.version_key(version)
        self.version_text = version
        self.socket = socket
        self.lab = lab
        self.root = root
        self.out = []

    def write(self, text):
        self.out.append(text)

    def line(self, text):
        self.out.append(text + "\n")

    def flush(self):
        sys.stdout.write("".join(self.out))
        self.out = []
        sys.stdout.flush()

    # asking xend

    def call(self, method, *arguments):
        """Return what xend's `method` returns; raise Failure as xm fails."""
        method = "xend." + method
        try:
            try:
                return rpc_client.call(self.socket, method, *arguments)
            except rpc_client.NoAnswer:
                # The client library tries once more when the server went away in mid-call.
                return rpc_client.call(self.socket, method, *arguments)
        except rpc_client.NoAnswer:
            raise Failure(
                "Unable to connect to xend: Connection reset by peer. Is xend running?"
            ) from None
        except rpc_client.Fault as fault:
            if fault.code == INVALID_DOMAIN:
                raise Failure("Domain '%s' does not exist." % fault.text, fault.code) from None
            raise Failure(fault.text, usage=True) from None
        except OSError as error:
            raise Failure(
                "Unable to connect to xend: %s. Is xend running?" % error.strerror
            ) from None
        except rpc_client.Unreadable as error:
            self.line("Unexpected error: <class 'xml.parsers.expat.ExpatError'>")
            self.line("")
            self.line("Please report to xen-devel@lists.xen.org")
            raise Failure("xml.parsers.expat.ExpatError: %s" % error) from None

    def domain(self, name, *full):
        """Return the description of one domain; since 3.1 xm may say how much of it is wanted."""
        return self.call("domain", name, *(full if self.is_modern else ()))

    def domains(self, names, state="all"):
        """Return the descriptions of these domains, or of all in this state (main.getDomains)."""
        if names:
            return [self.domain(name, 0) for name in names]
        if self.is_modern:
            return self.call("domains_with_state", True, state, 0)
        return self.call("domains", 1)

    @property
    def is_modern(self):
        return self.version >= (3, 1)

    def figures(self, domain):
        """Return what the table shows of a description (main.parse_doms_info)."""

        def value(key, default):
            return sxp.child_value(domain, key, default)

        unknown = "" if self.is_modern else "??"
        return {
            "domid": value("domid", "" if self.is_modern else -1),
            "name": value("name", "??"),
            "memory": value("memory", 0),
            "vcpus": value("online_vcpus", value("vcpus", 0) if self.is_modern else 0),
            "state": value("state", unknown),
            "cpu_time": value("cpu_time", 0.0),
        }

    # texts

    def usage(self, command):
        arguments, purpose = USAGES[command]
        text = "Usage: xm %s %s\n\n%s\n\n" % (command, arguments, purpose)
        if command == "migrate":
            text += "Options:\n\n%s\n" % "".join(
                option[4] for option in self.migrate_options().values()
            )
        return text

    def commands(self):
        with open(self.lab + "/xm_commands.tsv") as table:
            return dict(line.rstrip("\n").split("\t") for line in table)

    def overview(self, names, title, last):
        import textwrap

        known = self.commands()
        text = (
            "Usage: xm <subcommand> [args]\n\n"
            "Control, list, and manipulate Xen guest instances.\n\n%s\n\n" % title
        )
        for name in names:
            first, *rest = textwrap.wrap(known[name], 48)
            text += " %-20s %-50s\n" % (name, first)
            text += "".join(" " * 22 + line + "\n" for line in rest)
        return text + (
            "\n<Domain> can either be the Domain Name or Id.\n"
            "For more help on 'xm' see the xm(1) man page.\n"
            "For more help on 'xm create' see the xmdomain.cfg(5)  man page.\n\n" + last
        )

    def short_help(self):
        return self.overview(
            COMMON_COMMANDS,
            "Common 'xm' commands:",
            "For a complete list of subcommands run 'xm help'.\n",
        )

    def long_help(self):
        return self.overview(
            [name for name in self.commands() if name != "help"], "xm full list of subcommands:", ""
        )

    # commands

    def run(self, arguments):
        """Do what `arguments` ask for; return the exit code."""
        if self.version >= (4, 4):
            sys.stderr.write(DEPRECATION)
        if not arguments:
            self.write(self.short_help())
            return FAILED
        command, rest = arguments[0], arguments[1:]
        function = COMMANDS.get(command)
        if function is None:
            self.write(self.short_help())
            self.flush()
            sys.stderr.write("Error: Subcommand %s not found!\n" % command)
            return FAILED
        try:
            return function(self, rest) or 0
        except Failure as failure:
            if failure.usage:
                self.write(self.usage(command) + ("\n" if failure.blank else ""))
            self.flush()
            sys.stderr.write("Error: %s\n" % failure.message)
            return failure.code

    def help(self, _arguments):
        self.write(self.long_help())

    def exactly(self, arguments, count):
        if len(arguments) != count:
            raise Failure("Invalid number of arguments", usage=True, blank=True)

    def list(self, arguments):
        long = False
        names = []
        state = "all"
        for argument in arguments:
            if argument in ("-l", "--long"):
                long = True
            elif argument.startswith("--state=") and self.is_modern:
                state = argument.partition("=")[2]
            elif argument.startswith("-"):
                raise Failure("option %s not recognized" % argument, usage=True)
            else:
                names.append(argument)
        domains = self.domains(names, state)
        if long:
            for domain in domains:
                self.line(sxp.pretty(domain))
            return
        head, row = self.table()
        self.line(head)
        for domain in domains:
            self.line(row % self.figures(domain))

    def table(self):
        """Return the head of the table and the form of a row (main.xm_brief_list)."""
        names = ("Name", "ID", "Mem", "VCPUs", "State", "Time(s)")
        if self.version < (3, 1):
            names = names[:2] + ("Mem(MiB)",) + names[3:]
            widths = ("3", "8", "5", "5", "9")
        elif self.version < (3, 2):
            widths = ("3", "5", "5", "10", "9")
        else:
            widths = ("5", "5", "5", "10", "9")
        head = "%%-40s %%%ss %%%ss %%%ss %%%ss %%%ss" % widths % names
        row = "%%(name)-40s %%(domid)%ss %%(memory)%sd %%(vcpus)%sd %%(state)%ss %%(cpu_time)8.1f"
        return head, row % widths[:4]

    def domid(self, arguments):
        self.exactly(arguments, 1)
        self.line(str(sxp.child_value(self.domain(arguments[0]), "domid")))

    def domname(self, arguments):
        self.exactly(arguments, 1)
        self.line(sxp.child_value(self.domain(arguments[0]), "name"))

    def domstate(self, arguments):
        self.exactly(arguments, 1)
        letters = sxp.child_value(self.domain(arguments[0], 0), "state", "")
        for letter, word in (("p", "paused"), ("s", "shutdown"), ("r", "running")):
            if letter in letters:
                self.line(word)
                return
        self.line("idle")

    def uptime(self, arguments):
        names = [argument for argument in arguments if not argument.startswith("-")]
        domains = self.domains(names)
        self.line("%-33s %4s %s " % ("Name", "ID", "Uptime"))
        for domain in domains:
            figures = self.figures(domain)
            minutes, seconds = divmod(self.uptime_s(domain, figures["domid"]), 60)
            hours, minutes = divmod(minutes, 60)
            days, hours = divmod(hours, 24)
            text = "%2d:%02d:%02d" % (hours, minutes, seconds)
            if days:
                text = "%d day%s, %s" % (days, "s" if days > 1 else "", text)
            self.line("%-33s %4s %s" % (figures["name"], figures["domid"], text))

    def uptime_s(self, domain, domid):
        """Return the seconds since a domain was first started, on whatever host that was."""
        if domid == "":
            return 0
        if domid == 0:
            with open(self.root + "/proc/uptime") as uptime:
                return round(float(uptime.read().split()[0]))
        import time

        return max(0, round(time.time() - float(sxp.child_value(domain, "start_time"))))

    def vcpu_list(self, arguments):
        row = "%-32s %5s %5s %5s %5s %9s %s"
        known = (
            ("domains_with_state", False, "all", False) if self.is_modern else ("domains", False)
        )
        names = arguments or self.call(*known)
        domains = [self.call("domain.getVCPUInfo", name) for name in names]
        self.line(row % ("Name", "ID", "VCPU", "CPU", "State", "Time(s)", "CPU Affinity"))
        for domain in domains:
            for vcpu in domain[1:]:
                if vcpu[0] != "vcpu":
                    continue
                number, online, blocked, running, cpu_time, cpu = [item[1] for item in vcpu[1:7]]
                self.line(
                    row
                    % (
                        sxp.child_value(domain, "name"),
                        sxp.child_value(domain, "domid", ""),
                        number,
                        cpu if online else "-",
                        ("r" if running else "-") + ("b" if blocked else "-") + "-"
                        if online
                        else "--p",
                        "%.1f" % cpu_time,
                        "any cpu",
                    )
                )

    def devices_of(kind):
        def command(self, arguments):
            names = [argument for argument in arguments if not argument.startswith("-")]
            self.exactly(names, 1)
            self.call("domain.getDeviceSxprs", names[0], kind)

        return command

    network_list = devices_of("vif")
    block_list = devices_of("vbd")

    def info(self, arguments):
        if arguments and arguments[0] in ("-c", "--config"):
            from tests.lab import xm_info

            for key, value in xm_info.configuration(self.config, self.version_text):
                self.line("%-38s: %s" % (key, value))
            return
        told = self.call("node.info", *([0] if self.has_flags else []))
        for key, value in told[1:]:
            self.line("%-23s: %s" % (key, value))

    @property
    def has_flags(self):
        """Whether xm tells xend more than xm says itself: pause flags, and not to show NUMA nodes."""
        return self.version >= (4, 1)

    def act(method, flag=None):
        def command(self, arguments):
            self.exactly(arguments, 1)
            self.call(method, arguments[0])
            if flag is not None and self.has_flags:
                self.call("domain.setpauseflag", arguments[0], flag)

        return command

    pause = act("domain.pause", True)
    unpause = act("domain.unpause", False)
    destroy = act("domain.destroy")
    delete = act("domain.delete")

    def rename(self, arguments):
        self.exactly(arguments, 2)
        self.call("domain.setName", *arguments)

    def create(self, arguments):
        paused = quiet = False
        path = None
        for argument in arguments:
            if argument in ("-p", "--paused"):
                paused = True
            elif argument in ("-q", "--quiet"):
                quiet = True
            elif argument not in ("-f", "--defconfig") and path is None:
                path = argument
        if path is None:
            raise Failure("Invalid number of arguments", usage=True, blank=True)
        if not quiet:
            self.line('Using config file "%s".' % path)
            self.flush()
        from tests.lab import xm_info

        try:
            settings = xm_info.domain_file(path)
        except Exception as error:
            # Whatever the file does wrong.
            raise Failure("%s" % error, usage=False) from None
        made = self.call("domain.create", xm_info.to_create(settings))
        name, domid = sxp.child_value(made, "name"), sxp.child_value(made, "domid")
        self.call("domain.waitForDevices", domid)
        if not paused:
            self.call("domain.unpause", domid)
        if not quiet:
            self.line("Started domain %s (id=%d)" % (name, domid))

    def save(self, arguments):
        self.exactly(arguments, 2)
        name, path = arguments[0], os.path.abspath(arguments[1])
        self.call("domain.save", name, path, *([False] if self.is_modern else []))

    def restore(self, arguments):
        paused = self.is_modern and any(word in ("-p", "--paused") for word in arguments)
        words = [word for word in arguments if not (self.is_modern and word in ("-p", "--paused"))]
        self.exactly(words, 1)
        path = os.path.abspath(words[0])
        if not os.access(path, os.R_OK):
            raise Failure("xm restore: Unable to read file %s" % path)
        self.call("domain.restore", path, *([paused] if self.is_modern else []))

    def migrate_options(self):
        version = self.version[:2]
        return {
            name: option
            for name, option in MIGRATE_OPTIONS.items()
            if option[2] <= version and (option[3] is None or version <= option[3])
        }

    def migrate(self, arguments):
        values, words = self.parse_options(arguments, self.migrate_options())
        if values.get("help"):
            self.write(self.usage("migrate"))
            return FAILED
        numbers = {}
        for name, default in (("port", 0), ("node", -1), ("resource", 0)):
            text = values.get(name, default)
            try:
                numbers[name] = int(text)
            except ValueError:
                raise Failure("Invalid value: %s" % text) from None
        self.exactly(words, 2)
        live = int(bool(values.get("live")))
        if self.version < (3, 3):
            further = [numbers["resource"], numbers["port"]]
        else:
            further = [numbers["port"], numbers["node"], 1 if values.get("ssl") else None]
        if self.version >= (4, 0):
            further.append(int(bool(values.get("change_home_server"))))
        self.call("domain.migrate", words[0], words[1], live, *further)

    @staticmethod
    def parse_options(arguments, options):
        """Return ({option: value}, words); options may stand behind the words, as in xm."""
        letters = {option[0]: name for name, option in options.items()}
        values, words, waiting = {}, [], list(arguments)
        while waiting:
            argument = waiting.pop(0)
            if argument.startswith("--") and len(argument) > 2:
                name, given, value = argument[2:].partition("=")
                matching = [option for option in options if option.startswith(name)]
                if len(matching) != 1:
                    raise Failure("option --%s not recognized" % name, usage=True)
                name = matching[0]
            elif argument.startswith("-") and len(argument) > 1:
                name = letters.get(argument[1])
                if name is None:
                    raise Failure("option -%s not recognized" % argument[1], usage=True)
                value = argument[2:]
                given = bool(value)
                if given and not options[name][1]:
                    waiting.insert(0, "-" + value)
            else:
                words.append(argument)
                continue
            if not options[name][1]:
                values[name] = True
            elif given:
                values[name] = value
            elif waiting:
                values[name] = waiting.pop(0)
            else:
                raise Failure("option --%s requires argument" % name, usage=True)
        return values, words


COMMANDS = {
    "help": Client.help,
    "list": Client.list,
    "info": Client.info,
    "migrate": Client.migrate,
    "domid": Client.domid,
    "domname": Client.domname,
    "domstate": Client.domstate,
    "uptime": Client.uptime,
    "vcpu-list": Client.vcpu_list,
    "pause": Client.pause,
    "unpause": Client.unpause,
    "destroy": Client.destroy,
    "delete": Client.delete,
    "rename": Client.rename,
    "create": Client.create,
    "save": Client.save,
    "restore": Client.restore,
    "network-list": Client.network_list,
    "block-list": Client.block_list,
}


def broken_configuration(config, version):
    """Return what every command prints when the file at `config` is unreadable, else None."""
    try:
        with open(config, "rb") as source:
            sxp.parse(source.read(), version)
    except FileNotFoundError:
        sys.stderr.write("xend [ERROR] Config file does not exist: %s\n" % config)
    except OSError as error:
        return (
            "xend [ERROR] Reading config file %s: %s\n" % (config, error),
            "IOError: %s" % error,
        )
    except sxp.ParseError as error:
        kind = "xen.xend.sxp.ParseError" if error.kind == "ParseError" else error.kind
        return (
            "xend [ERROR] Reading config file %s: %s\n" % (config, error.message),
            "%s: %s" % (kind, error.message),
        )
    return None


def note(root, arguments):
    """Add a run to CALLS, at once, as others may do at the same moment."""
    calls = os.open(os.path.join(root, CALLS), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(calls, ("%r\n" % (arguments,)).encode())
    os.close(calls)


def main(arguments, config, version, socket, lab, root):
    """Run xm with `arguments`; return the exit code.

    config -- path of xend-config.sxp
    version -- xend's version
    socket -- path of xend's socket
    lab -- directory of this package
    root -- the host's directory
    """
    import _signal

    note(root, arguments)
    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
    # Bytes of any kind, whatever the locale.
    sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")
    broken = broken_configuration(config, version)
    if broken:
        sys.stderr.write(broken[0] + TRACEBACK + broken[1] + "\n")
        return FAILED
    client = Client(config, version, socket, lab, root)
    code = client.run(arguments)
    client.flush()
    return code
