"""
One look at a host: what xend says that it has, at one moment; and the one way to the xm command.

xend answers one question with the table, the states and the descriptions of all its domains. It is asked over
its socket, as xm does; where that is off, `xm list --long` prints the same answer. Whether anybody was left
out, their number tells. Whatever asks what is on a host selects from that picture. What a copy of a guest is
called is decided in xm_copies, and nothing here knows Salt, whose functions are handed in.
"""

from __future__ import absolute_import

import contextlib
import errno
import os
import re
import time

# Old machines are slow, and xend may be busy.
ANSWER_S = 120

# What lists all domains: xend from 3.1 on, and before (server.XMLRPCServer; xm list --long asks the same);
# and what lists only their names, which xend knows also of those that it cannot describe.
QUESTIONS = (("xend.domains_with_state", (True, "all", 1)), ("xend.domains", (1,)))
NAMES = (("xend.domains_with_state", (False, "all", 0)), ("xend.domains", (0,)))

# A line of the table of xm: it ends with the time.
LISTED = re.compile(r"\s\d+\.\d[ \t]*$", re.MULTILINE)

# How often it is looked again when xend has more domains than it describes: one may just have come.
LOOKS = 3

# How xm prints bytes that are no ASCII, which the parser of xend misreads (see xm_output.misread) and that of
# octal numbers does not.
HEXADECIMAL = re.compile(br"(?<!\\)((?:\\\\)*)\\x([0-9a-f]{2})")

# What stands for bytes that were no text.
REPLACED = b"\xef\xbf\xbd" if str is bytes else b"\xef\xbf\xbd".decode("utf-8")

# How wide xm prints a description.
WIDTH = 80

# How long xend waits for a device of a guest (device-create-timeout from 4.0 on, up to 3.4 it is a constant),
# and how long it may need to destroy the guest when none comes.
DEVICES_S = 100
SLACK_S = 20

# How long a relay may take to end that was told to, or has heard all.
RELAY_S = 5

# How long it is waited between two looks at a guest that is under way, first and later: most have moved soon.
FIRST_S, POLL_S = 0.05, 0.5

PROC_LISTS = ("xc_save", "xc_restore", "sources", "targets")
PROC_FLAGS = ("sends", "receives")


def host(name, salt, error, utility):
    """
    This host.

    name
        what it is called, its minion id
    salt
        functions by name: `config.get`, `cmd.run_all` and those of the module xend
    error
        the class of the errors that are raised, with a text
    utility
        a function from the name of another utility to that utility

    Returns an object; see its class.
    """
    return Host(name, salt, error, utility)


def moment(name, salt, error, utility):
    """
    The same, for whoever asks about many guests at once: xend is asked once for each thing, so that all that
    is said is of one moment.
    """
    return Moment(name, salt, error, utility)


def pauses():
    """
    Wait, each time that the next one is asked for, longer than the last time; without end.
    """
    pause_s = FIRST_S
    while True:
        time.sleep(pause_s)
        yield pause_s
        pause_s = min(POLL_S, pause_s * 1.5)


def clock_s():
    """
    Seconds since some moment, on a clock that nobody sets (Python 2 has no time.monotonic).
    """
    return os.times()[4]


class Host(object):
    """
    What a host can be asked, and told by way of xm.
    """

    def __init__(self, name, salt, error, utility):
        self.name, self.salt, self.error, self.utility = name, salt, error, utility

    def option(self, name):
        """
        An option, from the configuration of the minion or the pillar, see xend_settings.
        """
        given, option = self.utility("xend_text").given, self.utility("xend_settings").option
        return given(self.error, option, name, self.salt["config.get"], self.name)

    def path(self, path):
        """
        Where a path of the host is for this process.
        """
        return self.option("root") + path

    def content(self, path):
        """
        What stands in a file of the host, as text; None when it cannot be read.
        """
        try:
            with open(self.path(path)) as stream:
                return stream.read()
        except EnvironmentError:
            return None

    # Commands

    def run(self, command):
        """
        Run a command (a list), of which Salt logs nothing. Returns what `cmd.run_all` does.
        """
        try:
            return self.salt["cmd.run_all"](
                command,
                env={"LC_ALL": "C"},
                python_shell=False,
                ignore_retcode=True,
                timeout=ANSWER_S,
                # xm prints the passwords of guests, and at any other level Salt logs what a command prints.
                output_loglevel="quiet",
            )
        except self.error as exc:
            # What else Salt says may have the whole environment of the minion in it.
            why = self.utility("xend_secrets").reason(str(exc))
            raise self.error("%s cannot be run: %s" % (command[0], why))

    def xm(self, arguments):
        """
        Run xm. Returns None, or what it said went wrong.
        """
        result = self.run([self.option("xm")] + arguments)
        return None if result["retcode"] == 0 else "xm %s: %s" % (arguments[0], self.said(result))

    def said(self, result):
        """
        What xm said went wrong. On failure it prints its usage on stdout and one `Error:` line on stderr.
        """
        lines = re.findall(r"^Error: (.*)$", result["stderr"], re.MULTILINE) or [
            line
            for line in result["stderr"].splitlines() or result["stdout"].splitlines()
            if line.strip() and not line.startswith("WARNING: ")
        ]
        if lines:
            return self.utility("xend_secrets").masked(lines[-1])
        return "exit code %s and no message" % result["retcode"]

    # Asking xend

    def _answer(self, questions, arguments):
        """
        What xend says to the first of these questions that it knows, and None; or None, and what xm prints
        when it is called with these arguments.
        """
        ask = self.utility("xend_rpc").ask
        for method, parameters in questions:
            try:
                return ask(self.option("socket"), method, parameters, ANSWER_S), None
            except (EnvironmentError, ValueError) as exc:
                if getattr(exc, "errno", None) == errno.ETIMEDOUT:
                    # xm would wait as well.
                    raise self.no_answer("%s within %d s" % (exc.strerror, ANSWER_S))
                if not getattr(exc, "is_unknown_method", False):
                    # From 3.1 on the question of older ones shows only what runs.
                    break
        result = self.run([self.option("xm")] + arguments)
        if result["retcode"]:
            exc = self.no_answer("xm %s: %s" % (arguments[0], self.said(result)))
            # xm has no other way to say that it could not read xend's file, which it does first.
            exc.cannot_parse = "ParseError" in result["stderr"]
            raise exc
        return None, result["stdout"]

    def escapes(self, reference):
        """
        Whether xm prints bytes that are no ASCII in the description of a domain as numbers; True when it
        prints nothing.
        """
        result = self.run([self.option("xm"), "list", "--long", reference])
        text = result["stdout"]
        text = text if isinstance(text, bytes) else text.encode("utf-8")
        return bool(result["retcode"] or HEXADECIMAL.search(text))

    def no_answer(self, problem, remedy=None):
        """
        The error for a question that got no answer. `problem` is what was said instead, `remedy` what is to
        be done about it, by default to see to xend.
        """
        if remedy is None:
            # Not by xend.status, which reads xend's file, and may have asked for that very question.
            service = None if self.process() else self.salt["xend.service"]()
            remedy = self.utility("xm_fleet").to_start(self.name, service)
        between = " " if problem.endswith((".", "?")) else ". "
        exc = self.error(problem + between + remedy)
        exc.problem, exc.remedy = problem, remedy
        return exc

    def silence(self, exc):
        """
        What a report says instead of what it could not see, because of this error.
        """
        return {
            "problem": getattr(exc, "problem", str(exc)),
            "remedy": getattr(exc, "remedy", ""),
            "xend": self.process() is not None,
        }

    def process(self):
        """
        The process of xend, as `xend_host.process` returns it; None when there is none.
        """
        return self.utility("xend_host").process(self.option("pidfile"))

    def info(self):
        """
        What `xm info` prints, as a dict; whole numbers are ints.
        """
        answer, text = self._answer([("xend.node.info", ())], ["info"])
        output = self.utility("xm_output")
        return output.info(text) if answer is None else output.node(answer)

    def tools_version(self):
        """
        The version of xend and xm, a tuple of ints; (0, 0) when nothing tells.
        """
        return self.utility("xm_output").tools_version(self.info()) or (0, 0)

    def look(self):
        """
        The picture of this host, a `Look`. Raises an error when not all that xend says is understood, or when
        it does not describe all that it has: from 3.3 on it leaves out what it fails to describe, without a
        word (server.XMLRPCServer.domains_with_state), and that guest would be gone.
        """
        began = clock_s()
        for _ in range(LOOKS):
            look = self._look()
            count = self._count()
            if count <= len(look.rows):
                return look
            if clock_s() - began > ANSWER_S:
                break
        raise self.error(
            "xend lists %d domains and describes %d of them: nobody can say which guests are not here; "
            "xend.log says why" % (count, len(look.rows))
        )

    def _count(self):
        """
        How many domains xend has, whether it can describe them or not.
        """
        answer, text = self._answer(NAMES, ["list"])
        if answer is None:
            return len(LISTED.findall(text))
        if not isinstance(answer, list):
            raise self.error("xm list: it is not understood")
        return len(answer)

    def _look(self):
        before = self.transfers()
        answer, text = self._answer(QUESTIONS, ["list", "--long"])
        try:
            forms = self._printed(text) if answer is None else _as_read(answer)
            rows = self.utility("xm_output").rows(forms)
        except ValueError as exc:
            if hasattr(exc, "without"):
                exc = exc.without(self.utility("xend_secrets").piece)
            raise self.error("xm list --long: %s" % exc.args[0])
        return Look(self, rows, _either(before, self.transfers()))

    def view(self, name, uuid=None, domid=None):
        """
        What this host holds of one guest, as `Look.view` returns it; whatever goes wrong is `problem` there.
        """
        try:
            return self.look().view(name, uuid, domid)
        except self.error as exc:
            return dict(self.unseen(), **self.silence(exc))

    def unseen(self):
        """
        The view of a guest of which nothing is known.
        """
        view = {"copy": "unknown", "problem": None, "remedy": "", "xend": True, "other": None}
        view.update(state=None, domid=None, listed=None, uuid=None, settled=False, near=[])
        return dict(view, devices_s=self.devices_s())

    def watch(self, name, uuid=None, wait_s=0, domid=None):
        """
        The same, looked at for so many seconds while a transfer of it can still be going on here; with
        `seconds`, how long that took.
        """
        began, watched, pause = clock_s(), {}, pauses()
        while True:
            view = self.view(name, uuid, domid)
            view["seconds"] = round(clock_s() - began, 1)
            self.outwait([view], watched)
            if view["settled"] or view["copy"] == "unfinished" or view["seconds"] >= wait_s:
                return view
            next(pause)

    def outwait(self, found, watched):
        """
        Call a copy that has been "arriving" for longer than xend waits for its devices what it is:
        unfinished.

        watched
            since when each domain was seen to arrive, which is kept here
        """
        arriving = [one for one in found if one["copy"] == "arriving"]
        for domid in set(watched) - set([one["domid"] for one in arriving]):
            del watched[domid]
        for one in arriving:
            since = watched.setdefault(one["domid"], clock_s())
            if clock_s() - since > self.gives_up_s():
                one["copy"] = "unfinished"

    def _printed(self, text):
        # Before 2018.3, Salt under Python 2 returns bytes.
        data = text if isinstance(text, bytes) else text.encode("utf-8")
        data = HEXADECIMAL.sub(lambda match: match.group(1) + _octal(match.group(2)), data)
        document = self.utility("xend_sxp").parse(data)
        if document.dropped is not None or document.stopped is not None:
            # What xend's own reader leaves out may be any guest.
            raise ValueError("it ends in the middle of a description")
        return document.forms()

    # Transfers

    def transfers(self):
        """
        What shows of transfers on this host: the ids of the domains that xc_save and xc_restore work for, the
        peers that send to xend and those that it sends to (sources, targets: lists of "address:port"), and
        whether xend itself sends or receives (bool, or None when that cannot be seen). xend keeps a
        connection open until the guest runs on the target (xend 4.4 relocate.op_receive). Over TLS it does
        not: there it closes the connection when all has arrived, before it completes the guest (xend 3.4
        SSLSocketServerConnection.recv2fd), so that no connection proves nothing on a host that listens for
        TLS.
        """
        seen = dict([(key, []) for key in PROC_LISTS] + [(key, None) for key in PROC_FLAGS])
        for helper in self.utility("xend_host").transfers(self.option("root")):
            seen[helper["what"]].append(helper["domid"])
        peers = self.salt["xend.transfers"]()
        if peers is not None:
            sources, targets = peers["sources"], peers["targets"]
            seen.update(receives=bool(sources), sends=bool(targets), sources=sources, targets=targets)
            if not sources and self._listens_for_tls(peers["ports"]):
                seen["receives"] = None
            return seen
        # What xc_save sends, a relay carries on whatever becomes of xend.
        targets = self.utility("xm_way").carried_to(self.relays())
        if targets:
            seen.update(sends=True, targets=targets)
        return seen

    def relays(self):
        """
        What the relays say that carry guests from here now, or may begin to, see `xm_way.relays`.
        """
        return self.utility("xm_way").relays(self.option("kept"), self.utility)

    def _listens_for_tls(self, ports):
        try:
            settings = self.salt["xend.relocation"]()
        except self.error:
            # A file that xend cannot read says nothing about the running one.
            return True
        # The running xend may have another file than the one that is there now.
        return settings["ssl_server"] or settings["ssl_port"] in ports

    def devices_s(self):
        """
        How many seconds xend waits for the devices of a guest, whatever is wrong with its file.
        """
        try:
            value = ("%s" % (self.salt["xend.get"]("device-create-timeout", DEVICES_S),)).strip()
        except self.error:
            return DEVICES_S
        return int(value) if value.isdigit() else DEVICES_S

    def gives_up_s(self):
        """
        After how many seconds a guest whose memory has arrived is completed, or given up by xend.
        """
        return self.devices_s() + SLACK_S

    def other_end(self, copy, seen, name, uuid):
        """
        The host at the other end of a transfer: its minion id, or its address; None when that cannot be told.
        """
        is_sent = self.utility("xm_copies").is_one_of(copy, "departing")
        carried = [one["target"] for one in self.relays() if (one["name"], one["uuid"]) == (name, uuid)]
        if is_sent and carried:
            return carried[-1]
        addresses = set([peer.rpartition(":")[0] for peer in seen["targets" if is_sent else "sources"]])
        try:
            declared = self.salt["xend.declared_hosts"]().items()
            if len(addresses) == 1:
                (address,) = addresses
                return dict([(found["address"], other) for other, found in declared]).get(address, address)
            noted = [made["target"] for made in self.noted() if (made["name"], made["uuid"]) == (name, uuid)]
        except self.error:
            return None
        # Several guests are under way at once, or the connection has ended already.
        return noted[-1] if noted and is_sent else None

    # What xend knows of guests that do not run

    def is_managed(self, uuid):
        """
        Whether xend keeps the configuration of a guest itself (`xm new`; xend 4.4 XendDomain.
        is_domain_managed).
        """
        folder = self.salt["xend.get"]("xend-domains-path", "/var/lib/xend/domains")
        folder = self.utility("xend_text").native("%s/%s" % (folder, uuid))
        return os.path.isdir(self.path(folder))

    def stays_managed(self, uuid):
        """
        Whether xend would go on managing a guest here that was sent elsewhere: xm migrate has
        --change_home_server from Xen 4.0 on, and before 3.0.4 xend manages none.
        """
        tools = self.tools_version() if self.is_managed(uuid) else None
        return tools is not None and (tools < (3, 0) or (3, 0, 4) <= tools < (4, 0))

    # Locks and notes

    @contextlib.contextmanager
    def holding(self, name, who):
        """
        Keep others from moving this guest, and xend from being restarted, while a block lasts, or this
        process. The block gets None, or a sentence that says who holds it.
        """
        held, locks = None, []
        try:
            # Shared: several guests may leave at once.
            for lock, shared in (("relocation", True), ("guest " + name, False)):
                one = self.utility("xend_lock").hold(self.option("kept"), lock, shared=shared, who=who)
                try:
                    one.__enter__()
                except ValueError as exc:
                    held = exc.args[0]
                    break
                except EnvironmentError as exc:
                    raise self._unkept(exc, "nothing can be locked there")
                locks.append(one)
            yield held
        finally:
            for one in reversed(locks):
                one.__exit__(None, None, None)

    def _unkept(self, exc, what):
        return self.error("%s: %s: %s" % (exc.filename or self.option("kept"), what, exc.strerror))

    def keep(self, path, text, what):
        """
        Write a file of what is kept here, as a whole, for root only. Returns its path.
        """
        data = text if isinstance(text, bytes) else text.encode("utf-8")
        try:
            self.utility("xend_lock").private(os.path.dirname(path))
            # It may hold the guest's VNC password.
            self.utility("xend_file").replace(path, data, timeout_s=10)
        except EnvironmentError as exc:
            raise self._unkept(exc, "%s cannot be kept there" % what)
        return path

    def noted(self):
        """
        The notes on guests that were sent from here.
        """
        folder = self.option("kept")
        try:
            if os.path.lexists(folder):
                self.utility("xend_lock").private(folder)
            return self.utility("xm_kept").noted(folder, self.utility)
        except EnvironmentError as exc:
            raise self._unkept(exc, "it cannot be seen which guests were sent from here")

    def reserved(self, now):
        """
        The reservations for guests that are about to come here, at the time NOW, in seconds since 1970.
        """
        try:
            return self.utility("xend_lock").reserved(self.option("kept"), now)
        except EnvironmentError as exc:
            raise self._unkept(exc, "it cannot be seen which guests are expected here")
        except ValueError as exc:
            raise self.error(exc.args[0])

    def safety(self, made):
        """
        What has become of the safety copy of a guest that was sent by this note (see xm_kept.safety).
        """
        said, problem, now = None, None, time.time()
        try:
            said = self._relay(made)
        except (EnvironmentError, ValueError) as exc:
            problem = "what its relay has said cannot be read: %s" % exc
        found = self.utility("xm_kept").safety(made, said, now, problem)
        if found and found["state"] == "complete" and not found["tried"]:
            found["tried"] = self._has_come_back(made, found["sent_at"], now)
        return found

    def _has_come_back(self, made, sent_at, now):
        """
        Whether a guest was completed here since it was sent, by the log of xend: restored, or moved back; or
        started afresh.
        """
        progress, uuid = self.utility("xm_progress"), made["uuid"]
        text = progress.last_part(self.option("log"))
        received_s = progress.received_since(text, uuid, now)
        created_s = progress.created_since(text, made["name"], uuid, now)
        # The log has whole seconds.
        came, began = [
            since_s is not None and sent_at is not None and now - since_s > sent_at - 1
            for since_s in (received_s, created_s)
        ]
        return began or came and progress.completed(text, uuid) is True

    def _relay(self, made):
        return self.utility("xm_relay").status(made["relay"]) if made.get("relay") else None

    def end_relay(self, made):
        """
        See that the relay of a guest that runs, or is given up, ends. One that has sent all ends by itself
        when it has heard the target, or when what it says is removed.
        """
        try:
            if not made.get("relay") or not self.utility("xm_relay").stop(made["relay"]):
                return
            deadline, pause = clock_s() + RELAY_S, pauses()
            while True:
                said = self._relay(made)
                if not said or not said["alive"] or said["phase"] == "sent":
                    return
                if clock_s() > deadline:
                    self.utility("xm_relay").kill(made["relay"])
                    return
                next(pause)
        except (EnvironmentError, ValueError):
            # What cannot be read says of no process that it is the relay.
            return

    def forget(self, name, uuid, note):
        """
        Remove a note, unless it was made anew, and before it what a relay has left: the safety copy, and what
        it has said. Whoever does has the lock of the guest.
        """
        noted = [made for made in self.noted() if (made["name"], made["uuid"]) == (name, uuid)]
        for made in noted:
            if made["id"] == note:
                self.end_relay(made)
        try:
            return self.utility("xm_kept").forget(self.option("kept"), name, uuid, note, self.utility)
        except EnvironmentError as exc:
            raise self._unkept(exc, "the note that %s was sent cannot be removed" % name)

    def is_over(self, made, copies):
        """
        Whether what a note tells of has ended with the guest running here, so that nobody needs the note.

        copies
            what is here, as it was seen before the note was read
        """
        found = [
            one
            for one in copies
            if (one["copy"], one["name"], one["uuid"]) == ("running", made["name"], made["uuid"])
        ]
        process = self.process()
        xend_host = self.utility("xend_host")
        if len(found) != 1 or not process:
            return False
        ends = [xend_host.connecting(process["pid"]), self.transfers()["sends"]]
        now = {
            "domid": found[0]["domid"],
            "xend": xend_host.identity(process["pid"]),
            "up_s": xend_host.uptime_s(),
            "asked": bool(xend_host.migrating_commands(self.option("xm"), self.option("root"))),
            "sends": None if None in ends else any(ends),
        }
        return self.utility("xm_kept").is_over(made, now) and not self._is_held(made["name"])

    def _is_held(self, name):
        """
        Whether a job moves or mends this guest, which may be about to ask xend to send it.
        """
        try:
            with self.holding(name, "") as held:
                return held is not None
        except self.error:
            return True

    def completed(self, uuid):
        """
        Whether xend has completed a guest here when it was received last, by its log; None when that does not
        tell.
        """
        progress = self.utility("xm_progress")
        return progress.completed(progress.last_part(self.option("log")) if uuid else "", uuid)

    def is_created(self, name, uuid):
        """
        Whether xend has started a guest of this name or uuid afresh since that was received here, by its log.
        """
        progress = self.utility("xm_progress")
        return progress.is_created(progress.last_part(self.option("log")) if uuid else "", name, uuid)


class Moment(Host):
    """
    A host at one moment: what xend has said of it and of its domains is not asked again.
    """

    def __init__(self, name, salt, error, utility):
        Host.__init__(self, name, salt, error, utility)
        self._said = self._seen = None

    def info(self):
        if self._said is None:
            self._said = Host.info(self)
        return self._said

    def look(self):
        if self._seen is None:
            self._seen = Host.look(self)
        return self._seen


class Look(object):
    """
    What a host has, at one moment: `rows`, its domains as `xm_output.rows` returns them, and `seen`, its
    transfers as `Host.transfers` does.
    """

    def __init__(self, host, rows, seen):
        self.host, self.rows, self.seen = host, rows, seen
        self._output = host.utility("xm_output")
        self._copies = host.utility("xm_copies")

    def guest(self, name):
        """
        The row of the domain under just this name; None when there is none.
        """
        found = [row for row in self.candidates(name) if row["name"] == name]
        return found[0] if found else None

    def candidates(self, name, domid=None):
        """
        The rows of domains that have this name, or had it before they were sent, and this id if one is given.
        xend lets a guest come to a host that holds a dead copy of it, and lists both then: the one that runs
        comes first.
        """
        own = self._copies.plain(name)
        found = [row for row in self.rows if self._copies.plain(row["name"]) == own]
        found = [row for row in found if domid in (None, row["domid"])]
        return sorted(found, key=lambda row: (not self._output.runs(row["state"]), row["name"] == own))

    def copy(self, row, is_other=False):
        """
        What this host holds of a guest, in one word.
        """
        return self._copies.copy(row, self._transferring(row), is_other)

    def _transferring(self, row):
        """
        Whether a transfer of the domain in this row can still be going on: True, False, or None when that
        cannot be seen.
        """
        if row is None or row["domid"] is None:
            return False
        is_new = self._copies.is_new(row)
        helpers, flag = ("xc_restore", "receives") if is_new else ("xc_save", "sends")
        return True if row["domid"] in self.seen[helpers] else self.seen[flag]

    def view(self, name, uuid=None, domid=None):
        """
        What this host holds of one guest: what `xm.where` returns, but for `seconds`; and `settled`, whether
        no transfer of it can be going on.
        """
        view, rows = self.host.unseen(), self.candidates(name, domid)
        if not rows and domid is None:
            rows = [row for row in self.rows if self._output.is_nameless(row)]
            rows = [row for row in rows if not uuid or row["uuid"] in (uuid, None)]
        # A new guest may have taken the name of one that is left over.
        known = [row for row in rows if not uuid or row["uuid"] in (uuid, None)]
        row = (known or rows or [None])[0]
        if row:
            view.update(state=row["state"], domid=row["domid"], listed=row["name"], uuid=row["uuid"])
        if row and self._output.is_nameless(row):
            view["problem"] = "xm list shows domain %s without a name, which may be it" % row["domid"]
            return view
        view["copy"] = self.copy(row, bool(row and uuid and row["uuid"] and row["uuid"] != uuid))
        if row is None:
            view["near"] = self._near(name)
        if self._copies.is_one_of(view["copy"], "departing coming"):
            view["other"] = self.host.other_end(view["copy"], self.seen, name, view["uuid"])
        # What is only about to be listed shows as a connected peer.
        is_moving = self._copies.is_one_of(view["copy"], "departing coming unknown")
        view["settled"] = not is_moving and not (row is None and self.seen["receives"])
        return view

    def _near(self, name):
        legible = self.host.utility("xm_heard").legible
        names = [self._copies.plain(row["name"]) for row in self.rows if row["domid"] != 0]
        # One that no domain may have would not be taken for a name where it is told.
        return self.host.utility("xend_text").nearest(name, [one for one in names if one == legible(one)])

    def copies(self):
        """
        Every guest that this host holds: a list of dicts as in `copies` of `xm.copies`.
        """
        found = []
        for row in self.rows:
            if row["domid"] == 0:
                continue
            nameless = self._output.is_nameless(row)
            if nameless and not row["uuid"]:
                # It may be any guest, which is then not gone.
                raise self.host.error(
                    "xm list shows domain %s without a name, and xend tells no uuid of it: nobody can say "
                    "which guests are not here" % row["domid"]
                )
            one = dict([(key, row[key]) for key in ("uuid", "domid", "state")], listed=row["name"])
            one.update(
                name=self._copies.plain(row["name"]), copy="unknown" if nameless else self.copy(row)
            )
            found.append(one)
        return found

    def migrations(self, now):
        """
        The guests that are on their way from here or to here at the time NOW, in seconds since 1970, as
        `migrations` of `xm.migrations`.
        """
        relays = dict([((one["name"], one["uuid"]), one) for one in self.host.relays()])
        found = []
        for row in self.rows:
            name, copy = self._copies.plain(row["name"]), self.copy(row)
            relay = relays.get((name, row["uuid"])) or {}
            is_about_to_leave = relay and copy == "running" and relay["phase"] not in ("sent", "over")
            is_moving = is_about_to_leave or self._copies.is_one_of(copy, "departing coming")
            # xend knows its name a moment later.
            if not is_moving or self._output.is_nameless(row):
                continue
            one = {"name": name, "uuid": row["uuid"], "copy": copy, "memory_mib": row["memory_mib"]}
            if is_about_to_leave:
                one["other"] = relay["target"]
            else:
                one["other"] = self.host.other_end(copy, self.seen, name, row["uuid"])
            one.update(bytes=relay.get("bytes"), rate_mib_s=relay.get("rate_mib_s"), seconds=None)
            if relay.get("began_at") is not None:
                one["seconds"] = round(max(0, now - relay["began_at"]), 1)
            found.append(one)
        return found

    def describe(self, row):
        """
        What `xm.domain` returns for the domain of this row.
        """
        found = self._output.describe(self._without_passwords(row["form"]))
        found.update(state=row["state"], runs=self._output.runs(row["state"]))
        found["sxp"] = self.host.utility("xend_secrets").text(self.text(row))
        return found

    def _without_passwords(self, form):
        masked = self.host.utility("xend_secrets").masked
        # But for its name, which may be anything, and by which it is found.
        return [part if part[:1] == [b"name"] else masked(part) for part in form]

    def misread(self, row):
        """
        The strings in the description of a domain that another xend would read as other bytes, as they may be
        told; and whether some may not. How xm prints them is how xend writes them for another one.
        """
        told = self._output.misread(self._without_passwords(row["form"]))
        all_of_them = self._output.misread(row["form"])
        runs = row["domid"] is not None
        if all_of_them and runs and not self.host.escapes(self.reference(row)):
            told, all_of_them = [[one for one in some if REPLACED in one] for some in (told, all_of_them)]
        return told, len(all_of_them) > len(told)

    def text(self, row):
        """
        The description of a domain as xm prints it: with passwords, it may not leave this host.
        """
        lines = _lines(row["form"], 0, self.host.utility("xend_sxp").render)
        return (b"\n".join(lines) + b"\n").decode("utf-8", "replace")

    def reference(self, row):
        """
        How to name a domain to xm. A name that begins with a hyphen would be read as an option, and two
        copies of a guest have one name. The id of a domain stays the same as long as it lives here, but a
        guest may be called as the id of another one, and xend looks for a name first (xend 4.2
        XendDomain.domain_lookup_nr).
        """
        names = [other["name"] for other in self.rows]
        name, domid = row["name"], row["domid"]
        if domid is not None and str(domid) not in [other["name"] for other in self.rows if other is not row]:
            return str(domid)
        if names.count(name) == 1 and not name.startswith("-"):
            return name
        raise self.host.error(
            "xm cannot be told which domain is meant by %s, id %s: another domain is called %s; give that "
            "one another name with `xm rename`" % (name, domid, domid)
        )


def _either(one, other):
    """
    What was seen at either of two moments: between them a transfer may have begun or ended.
    """
    both = dict([(key, one[key] + other[key]) for key in PROC_LISTS])
    for key in PROC_FLAGS:
        known = [seen[key] for seen in (one, other)]
        both[key] = True if True in known else (None if None in known else False)
    return both


def _octal(digits):
    return ("\\%03o" % int(digits, 16)).encode("ascii")


def _as_read(value):
    """
    An answer of xend as nested lists of bytes, which is what the parser makes of it when xm has printed it.
    """
    if isinstance(value, (list, tuple)):
        return [_as_read(item) for item in value]
    if not hasattr(value, "upper"):
        value = str(value)
    return value if isinstance(value, bytes) else value.encode("utf-8")


def _lines(form, indent, render):
    """
    A form as lines, broken where they would be too wide, as xm does.
    """
    line = b" " * indent + render(form)
    if len(line) <= WIDTH or not isinstance(form, list):
        return [line]
    lines = []
    for item in form:
        lines += _lines(item, indent + 4, render)
    lines[0] = b" " * indent + b"(" + lines[0].lstrip()
    return lines + [b" " * indent + b")"]
