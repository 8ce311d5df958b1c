"""xend as processes: the control command, the watchdog, the daemon and its socket for xm.

Here: starting, stopping, surviving and being asked. What may be asked is in rpc_server.py, what the daemon
then does in domains.py and migration.py, the relocation port in relocation.py.
"""

import gc
import json
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path

from tests.lab import options, sxp
from tests.lab.domains import Domains, XendError, load_options
from tests.lab.layout import WATCH_S, Layout, process_start, wait_until
from tests.lab.log import Log, traceback
from tests.lab.relocation import Relocation, StartError

STARTED, REFUSED = b"0", b"1"
NOT_RUNNING = 3
STOP_LIMIT_S = 60.0
MAX_RESTARTS = 100
QUEUE = 5
SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
READ_FRAMES = (
    ("server/SrvDaemon.py", 26, "<module>", "import relocate"),
    ("XendOptions.py", 458, "set_config", "config = sxp.parse(fin)"),
)
START_FRAMES = (("server/SrvDaemon.py", 339, "run", "relocate.listenRelocation()"),)
SERVER_FRAMES = (("server/SrvDaemon.py", 340, "run", "servers = SrvServer.create()"),)


class Daemon:
    """The xend child: everything that dies when it is killed."""

    def __init__(self, layout, config):
        self.layout = layout
        self.log = Log(layout)
        self.domains = Domains(layout, config, self.log)
        self.relocation = Relocation(self.domains)
        self.server = None

    def run(self, status):
        """Serve until told to stop; `status` is the pipe that tells the starter how it went."""
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        self.layout.register("xend")
        self.layout.pidfile.write_text(str(os.getpid()))
        self.log.console(
            "Xend started at %s." % time.strftime("%a %b %d %H:%M:%S %Y", time.gmtime())
        )
        self.log.info("SrvDaemon:332", "Xend Daemon started")
        self.log.info("SrvDaemon:336", "Xend changeset: .")
        frames = START_FRAMES
        try:
            self.relocation.open()
            frames = SERVER_FRAMES
            is_on = self.domains.config.get("xend-unix-xmlrpc-server")
        except (StartError, options.OptionError) as error:
            self.log.failure(
                "SrvDaemon:349",
                "Exception starting xend (%s)" % error.message,
                "%s: %s" % (error.kind, error.message),
                *frames,
            )
            self.log.console("Exception starting xend: %s" % error.message)
            self.layout.deregister()
            self.report(status, REFUSED)
            return 1
        is_served = is_on or self.layout.is_private
        # The port is open seconds before xm is served, so a peer may come in first.
        self.layout.pause("servers")
        self.recreate()
        if is_served:
            self.serve()
        self.report(status, STARTED)
        self.domains.autostart()
        self.watch(is_served)
        return self.stop()

    @staticmethod
    def report(status, word):
        if status is not None:
            try:
                os.write(status, word)
            except BrokenPipeError:
                # Whoever started xend has not waited for it.
                pass
            os.close(status)

    def recreate(self):
        known = [{"domid": 0, "uuid": "00000000-0000-0000-0000-000000000000"}]
        for domain in known + self.domains.hypervisor.domains():
            self.log.info(
                "XendDomainInfo:171",
                "Recreating domain %d, UUID %s. at /local/domain/%d"
                % (domain["domid"], domain["uuid"], domain["domid"]),
            )
            self.log.debug("XendDomain:476", "Adding Domain: %d" % domain["domid"])

    def serve(self):
        """Open the socket, and answer there; between the two, whoever asks has to wait."""
        from tests.lab import rpc_server

        path = Path(self.layout.socket)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.parent.chmod(0o700)
        path.unlink(missing_ok=True)
        self.server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.server.bind(str(path))
        self.server.listen(QUEUE)
        self.log.info(
            "XMLRPCServer:161",
            "Opening Unix domain socket XML-RPC server on /var/run/xend/xmlrpc.sock.",
        )
        self.layout.pause("answer")
        methods = rpc_server.Methods(self.domains)
        arguments = (self.server, rpc_server.serve, methods)
        threading.Thread(target=self.accept, args=arguments, daemon=True).start()

    def close_server(self):
        """Stop being asked; as with the real one, the socket's file stays."""
        if self.server is not None:
            # Closing alone would leave a thread in `accept`, and the kernel would go on listening.
            self.server.shutdown(socket.SHUT_RDWR)
            self.server.close()

    def accept(self, server, serve, methods):
        while True:
            try:
                connection, _peer = server.accept()
            except OSError:
                return
            arguments = (connection, serve, methods)
            threading.Thread(target=self.answer, args=arguments, daemon=True).start()

    @staticmethod
    def answer(connection, serve, methods):
        with connection:
            try:
                serve(connection, methods)
            except Exception:
                # Whoever asked is gone, though what it asked for is done all the same; or it has asked for
                # something that xend cannot even read, and hears nothing.
                pass

    def watch(self, is_served):
        """Return when xend is told to stop, or when nobody can want it any more."""
        while True:
            got = signal.sigtimedwait(SIGNALS, WATCH_S)
            # Where the process was stopped and goes on, Python says that it got signal 0.
            if got and got.si_signo in SIGNALS - {signal.SIGHUP}:
                return
            if got and got.si_signo == signal.SIGHUP:
                # A reload opens the servers for xm anew and leaves the relocation port alone.
                self.close_server()
                if is_served:
                    self.serve()
                self.domains.autostart()
            if self.layout.abandoned() or not self.layout.root.exists():
                os._exit(0)

    def stop(self):
        """End as xend does when it is told to; return its exit code."""
        self.log.debug("SrvServer:77", "SrvServer.cleanup()")
        self.log.debug("XMLRPCServer:251", "XMLRPCServer.cleanup()")
        self.close_server()
        code = 0
        try:
            self.domains.cleanup()
        except XendError as error:
            # The signal's handler runs in the midst of xend's start, so to speak.
            self.log.failure(
                "SrvDaemon:353",
                "Exception starting xend (%s)" % error,
                "%s: %s" % (error.label, error),
                ("server/SrvDaemon.py", 346, "run", "servers.start(status)"),
            )
            code = 1
        if self.layout.pidfile.exists() and self.layout.pidfile.read_text() == str(os.getpid()):
            self.layout.pidfile.unlink(missing_ok=True)
        self.layout.deregister()
        return code


class Control:
    """The `xend` command of one host."""

    def __init__(self, layout, config_path):
        self.layout = layout
        self.config_path = config_path
        self.config = None

    def pid(self):
        """Return the process id of the running daemon, or None."""
        try:
            pid = int(self.layout.pidfile.read_text())
            note = json.loads((self.layout.processes() / str(pid)).read_text())
        except (FileNotFoundError, ValueError):
            return None
        return pid if process_start(pid) == note["start"] and note["role"] == "xend" else None

    def read_configuration(self):
        """Read the file as every call of the command does; return whether that went well."""
        path = self.config_path
        if not os.path.exists(path):
            sys.stderr.write("xend [ERROR] Config file does not exist: %s\n" % path)
        try:
            self.config = load_options(self.layout, path)
            return True
        except OSError as error:
            message, last = "[Errno %d] %s: '%s'" % (error.errno, error.strerror, path), "IOError: "
        except sxp.ParseError as error:
            message = error.message
            last = "xen.xend.sxp.ParseError: " if error.kind == "ParseError" else error.kind + ": "
        sys.stderr.write("xend [ERROR] Reading config file %s: %s\n" % (path, message))
        sys.stderr.write("\n".join(traceback(last + message, *READ_FRAMES)) + "\n")
        return False

    def start(self):
        if self.pid() is not None:
            return 0
        # xend takes its time between looking for another and being one, and there is no lock: two
        # restarts at once leave two daemons.
        self.layout.pause("load")
        reader, writer = os.pipe()
        intermediate = os.fork()
        if intermediate == 0:
            os.close(reader)
            self.detach()
            if os.fork() == 0:
                os._exit(self.watch_over(writer))
            os._exit(0)
        os.close(writer)
        os.waitpid(intermediate, 0)
        with open(reader, "rb") as status:
            return 0 if status.read(1) == STARTED else 1

    @staticmethod
    def detach():
        os.setsid()
        os.chdir("/")
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
        os.close(null)

    def watch_over(self, status):
        """Be the watchdog: run the daemon, and run it again when a signal killed it.

        Every daemon of a watchdog has the same settings: xend reads its file when it is imported,
        which is before the watchdog forks.
        """
        # What only the daemons need, and all of them.
        from tests.lab import rpc_server  # noqa: F401

        gc.freeze()
        gc.enable()
        log = Log(self.layout)
        self.layout.register("watchdog")
        for _restart in range(MAX_RESTARTS):
            child = os.fork()
            if child == 0:
                code = 1
                try:
                    code = Daemon(self.layout, self.config).run(status)
                finally:
                    # Threads may be in the middle of a migration, which dies with xend.
                    os._exit(code)
            if status is not None:
                os.close(status)
                status = None
            _pid, outcome = os.waitpid(child, 0)
            (self.layout.processes() / str(child)).unlink(missing_ok=True)
            if not self.layout.root.exists() or self.layout.abandoned():
                break
            if os.WIFEXITED(outcome):
                log.info("SrvDaemon:220", "Xend exited with status %d." % os.WEXITSTATUS(outcome))
                break
            log.write(
                "CRITICAL",
                "SrvDaemon:232",
                "Xend died due to signal %d!  Restarting it." % os.WTERMSIG(outcome),
            )
        self.layout.deregister()
        return 0

    def stop(self):
        pid = self.pid()
        if pid is not None:
            started = process_start(pid)
            os.kill(pid, signal.SIGTERM)
            wait_until(lambda: process_start(pid) != started, STOP_LIMIT_S)
        return 0

    def restart(self):
        self.stop()
        return self.start()

    def reload(self):
        pid = self.pid()
        if pid is not None:
            os.kill(pid, signal.SIGHUP)
        return 0

    def status(self):
        return 0 if self.pid() is not None else NOT_RUNNING


COMMANDS = {
    "start": Control.start,
    "stop": Control.stop,
    "restart": Control.restart,
    "reload": Control.reload,
    "status": Control.status,
}


def main(root, arguments):
    """Run `xend` with `arguments` on the host at `root`; return the exit code."""
    layout = Layout(root)
    control = Control(layout, os.environ.get("XEND_CONFIG", str(layout.config)))
    if not control.read_configuration():
        return 1
    if not arguments:
        sys.stdout.write("usage: xend {start|stop|reload|restart|status}\n")
        return 1
    command = COMMANDS.get(arguments[0])
    if command is None:
        sys.stdout.write("not an option: %s\n" % arguments[0])
        return 1
    sys.stdout.flush()
    return command(control)
