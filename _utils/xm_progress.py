"""
What xend's log says of transfers: how far one is that the source sends, and whether the target has
completed one. What a relay has carried (see xm_relay) makes the former exact.

Which guest is sent, and who is told, is decided elsewhere. Only Tail, last_part and written read a file, and
nothing knows Salt.
"""

import codecs
import errno
import math
import os
import re
import stat
import time

# In the order in which a transfer that succeeds goes through them; "failed" ends it anywhere.
PHASES = ("connecting", "sending", "suspended", "sent", "arriving", "running", "failed")

PAGES_PER_MIB = 256
PAGE_BYTES = 4096

# Only when all is sent the target has all: until then the guest writes on.
MOST_PERCENT = 99

# libxc counts megabits by the thousand (xen 4.4 xc_domain_save.c, print_stats).
MIB_PER_MBIT = 1e6 / 8 / 1048576

TAIL_BYTES = 1048576

# Before xc_save's words in the log; xend logs its helper's lines as they are (xen 4.4, from 4.2 on).
HELPER = re.compile(r"\) \[(\d+)\] xc: ")

# Counted from the end: early 3.0 has a handle of the hypervisor before the descriptor.
COMMAND = re.compile(r"\[xc_save\]: \S+ (?:\d+ )+?(\d+) \d+ \d+ \d+\s*$")

# Up to 4.0 the iteration is counted from 1, from 4.1 on (where it is shown at all) from 0.
ITERATIONS = (
    (re.compile(r"Saving memory pages: iter +(\d+)"), 0),
    (re.compile(r"Saving memory: iter (\d+) \("), 1),
)
STATISTICS = re.compile(r"delta \d+ms, .*?sent (\d+)Mb/s, dirtied \d+Mb/s (\d+) pages")
PERCENT = re.compile(r"(\d+)%")

# What the target logs (xend 3.0 to 4.4), with the whole configuration of the guest, uuid included.
RECEPTION = re.compile(r"XendDomainInfo\.restore\(.*")
# And what a host logs that starts one afresh (xend 3.0 to 4.4, from 3.1 on also for what comes by its API).
CREATION = re.compile(r"XendDomainInfo\.create(?:_from_dict)?\(.*")
NAMED = r"'name(?:_label)?'[,:] [bu]?'%s'"
STAMP = re.compile(r"\[(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)[ ,]")
COMPLETION = "XendDomainInfo.completeRestore"

# The words of an event for people, in their order: key, template.
SHOWN = (
    ("iteration", "iteration %d"),
    ("pages", "%d pages left"),
    ("percent", "%d %%"),
    ("rate_mib_s", "%.1f MiB/s"),
    ("left_s", "%d s left"),
    ("elapsed_s", "%d s"),
)


# The lines that mean something, the helper's (xc_save) and xend's own, with the method of Progress that
# understands each; the first that matches counts.
MEANINGS = (
    (COMMAND, "_began_sending"),
    (re.compile(r"xc: detail: xc_domain_save: starting save of domid (\d+)"), "_began_sending"),
    (re.compile(r"\) Domain (\d+) suspended\."), "_suspended"),
    (re.compile(r"Saving memory(?: pages)?: iter |delta \d+ms, "), "_round"),
    (re.compile(r"Total pages sent= *(\d+)"), "_counted"),
    (re.compile(r"Save exit (?:of domid (\d+) with )?rc=(\d+)"), "_exited"),
    (re.compile(r"(?:xc: error: |\) ERROR Internal error: )(.*)"), "_complained"),
    (re.compile(r"\) Save failed on domain \S+ \((\d+)\)"), "_failed"),
    (re.compile(r"XendDomainInfo\.destroy(?:: domid=|Domain\()(\d+)"), "_destroyed"),
)


def progress(names, domid, memory_mib, began, every_s=5):
    """
    A Progress, which see for the arguments. Salt's loader shows functions only.
    """
    return Progress(names, domid, memory_mib, began, every_s)


def phases():
    """
    The words for how far a transfer is, in the order in which one that succeeds goes through them; the last
    one ends it anywhere.
    """
    return PHASES


def tail(path):
    """
    A Tail of the log file at PATH.
    """
    return Tail(path)


class Progress(object):
    """
    What is known of one transfer.

    names
        a dict with domain, source and target (and whatever else each event is to carry, such as uuid)
    domid
        the id of the guest on the source; None when no log is read
    memory_mib
        its memory, for the percentage; None when it is not known
    began
        when it began, in seconds on the clock from which `now` is taken as well; None when it is not known
    every_s
        how long nothing may be told, in seconds, before `tick` tells how things stand

    An event is a flat dict: the names and
    phase
        one of PHASES: "sending" while the guest runs, "suspended" while it stands still and the rest of
        its memory is sent, "sent" when all is sent, "arriving" when the source has destroyed its copy
    iteration
        the number of the round through the memory that the figures are from; None before the first
    percent
        how much of its memory the target has as it is now: a guest that writes makes it smaller; 100 only
        when nothing more can be written
    pages
        pages of 4 KiB that are still to be sent after that round; in the phase "sent", how many were sent
        in all
    rate_mib_s
        MiB per second in that round; through a relay that of the last seconds
    bytes
        how many bytes a relay has carried so far; None without one
    left_s
        for how many seconds the rest will take, at the rate of the last seconds and if the guest writes
        nothing more; None when that cannot be told
    elapsed_s
        seconds since `began`
    line
        all that as one line for people
    What is not known is None. xend logs a round when it is over; meanwhile the percentage is counted from
    what a relay has carried. Without one, `tick` can tell it from what xc_save has written, during the first
    round, which is most of the transfer.
    """

    def __init__(self, names, domid, memory_mib, began, every_s=5):
        self._domid = domid
        self._all_pages = (memory_mib or 0) * PAGES_PER_MIB
        self._began = began
        self._names = names
        self._every_s = every_s
        self._told = None
        self._rest = ""
        self._carried = None
        self._rate_mib_s = None
        self._known = self._begun("connecting")

    def _begun(self, phase):
        """
        Forget what was learnt of an earlier attempt; returns what is known of the new one.
        """
        self._helper = None
        self._numbered = False
        # How many pages were left to be sent, and how many bytes had been carried then.
        self._left = self._all_pages
        self._carried_then = 0
        self._rounds_suspended = 0
        self._total = None
        self._reason = None
        return {"phase": phase, "iteration": None, "percent": None, "pages": None, "rate_mib_s": None}

    def feed(self, text, now):
        """
        The events that lines of xend.log mean, oldest first.

        text
            what was added to the log; it may begin and end inside a line, the end is kept for the next call
        now
            the time, in seconds

        Of several transfers that are logged at once, this one is told apart by the process id of its
        xc_save. The xc_save of xend up to 4.1 does not log that: its figures are taken for those of this
        guest, whomever they belong to.
        """
        lines = (self._rest + text).split("\n")
        self._rest = lines.pop()
        events = []
        for line in lines:
            if self._learn(self._meaning(line)):
                events.append(self._event(now))
        return events

    def carried(self, sent_bytes, rate_mib_s=None):
        """
        Take note of how many bytes of this guest a relay has carried so far, and how many MiB in each of the
        last seconds (None: not known). The next event tells it.
        """
        self._carried, self._rate_mib_s = sent_bytes, rate_mib_s

    def event(self, phase, now):
        """
        The event that a phase was reached, as seen by other means than the log; `now` in seconds.

        A phase that is behind what is known changes nothing of that. Raises ValueError for one that is not
        in PHASES.
        """
        self._learn(self._reached(phase))
        return self._event(now)

    def tick(self, now, state, written=None):
        """
        An event for what the log does not tell, or None when there is nothing to tell.

        now
            the time, in seconds
        state
            one of PHASES, as seen by other means than the log
        written
            called, when there is an event, for the bytes that xc_save has written so far (None: not known)

        There is an event when the state is further than the log was, and when nothing was told for
        `every_s` seconds. Raises ValueError for a state that is not one of PHASES.
        """
        if self._told is None:
            self._told = now if self._began is None else self._began
        is_news = PHASES.index(state) > PHASES.index(self._known["phase"])
        if not is_news and now - self._told < self._every_s:
            return None
        if written and self._carried is None and self._is_in_first_round():
            self._learn(self._first_round(written()))
        return self.event(state, now)

    def _is_in_first_round(self):
        return self._known["phase"] in ("sending", "suspended") and self._known["iteration"] is None

    def _first_round(self, written):
        # The whole memory goes through once, and little else (xen 4.4: 137.9 MB for 128 MiB).
        if written is None or not self._all_pages:
            return None
        return {"percent": min(MOST_PERCENT, int(written * 100 // (self._all_pages * PAGE_BYTES)))}

    def _learn(self, change):
        """
        Whether a dict of new facts (None: no facts) changes what is known.
        """
        before = dict(self._known)
        self._known.update(change or {})
        return self._known != before

    def _event(self, now):
        self._told = now
        event = dict(self._names, bytes=self._carried, left_s=None, **self._known)
        event.update(self._by_bytes())
        event["elapsed_s"] = None if self._began is None else round(now - self._began, 1)
        event["line"] = self._line(event)
        return event

    def _by_bytes(self):
        """
        What the bytes that a relay has carried tell better than the log, while there is something to send.
        """
        if self._carried is None or self._known["phase"] not in ("sending", "suspended"):
            return {}
        rate_mib_s = self._rate_mib_s and round(self._rate_mib_s, 1)
        found = {"rate_mib_s": rate_mib_s}
        if not self._all_pages or self._known["percent"] == 100:
            return found
        # Not only memory is sent (xen 4.4: 137.9 MB for 128 MiB), so this may end before the round.
        left_bytes = max(0, self._left * PAGE_BYTES - max(0, self._carried - self._carried_then))
        found["percent"] = min(MOST_PERCENT, self._percent(left_bytes / float(PAGE_BYTES)))
        if rate_mib_s:
            found["left_s"] = int(math.ceil(left_bytes / (rate_mib_s * 1048576)))
        return found

    def _line(self, event):
        shown = [event["phase"]]
        sending = event["phase"] in ("sending", "suspended")
        if event["phase"] == "failed" and self._reason:
            shown[0] += " (%s)" % self._reason
        for key, template in SHOWN:
            # The pages say the same as the percentage, only better; after the sending both are over.
            if event[key] is None or key == "percent" and (event["pages"] is not None or not sending):
                continue
            if key == "pages" and event["phase"] == "sent":
                template = "%d pages in all"
            shown.append(template % event[key])
        where = "%(domain)s %(source)s -> %(target)s: " % event
        return where + ", ".join(shown)

    # What the log says

    def _meaning(self, line):
        """
        The facts that one line of the log adds, as a dict, or None.
        """
        helper = HELPER.search(line)
        for pattern, understand in MEANINGS:
            match = pattern.search(line)
            if not match:
                continue
            if helper and understand != "_began_sending" and helper.group(1) != self._helper:
                return None
            return getattr(self, understand)(line, *match.groups())
        return None

    def _is_other(self, domid):
        return domid is not None and int(domid) != self._domid

    def _began_sending(self, line, domid):
        if self._is_other(domid):
            return None
        # xend logs the command, then xc_save itself what it is about to do.
        is_new = self._known["phase"] in ("connecting", "failed")
        change = self._begun("sending") if is_new else None
        helper = HELPER.search(line)
        self._helper = helper and helper.group(1)
        return change

    def _suspended(self, line, domid):
        return None if self._is_other(domid) else self._reached("suspended")

    def _round(self, line):
        if PHASES.index(self._known["phase"]) > PHASES.index("suspended"):
            return None
        number = self._number(line)
        statistics = STATISTICS.search(line)
        change = {"iteration": number, "pages": None, "rate_mib_s": None}
        if self._known["phase"] == "connecting":
            change["phase"] = "sending"
        if statistics:
            mbits, pages = statistics.groups()
            self._left = self._still_left(int(pages))
            self._carried_then = self._carried or 0
            change["pages"] = self._left
            change["percent"] = self._percent(self._left)
            change["rate_mib_s"] = round(int(mbits) * MIB_PER_MBIT, 1)
        else:
            # Painted over itself while the round goes on, so the last one counts.
            done = min(int((PERCENT.findall(line) or ["0"])[-1]), 100)
            first = number in (None, 1)
            change["percent"] = done if first else self._percent(self._left * (100 - done) / 100.0)
        if change.get("percent") is not None and self._known["phase"] != "suspended":
            change["percent"] = min(MOST_PERCENT, change["percent"])
        return change

    def _number(self, line):
        for pattern, offset in ITERATIONS:
            match = pattern.search(line)
            if match:
                self._numbered = True
                return int(match.group(1)) + offset
        # From 4.1 on the rounds have no number: there is one line for each.
        return self._known["iteration"] if self._numbered else (self._known["iteration"] or 0) + 1

    def _still_left(self, pages):
        """
        How many pages are left after a round that was logged with this many.

        Nothing is dirtied once the guest is suspended. The round during which it was suspended is logged
        after that with the pages that are left; the one after it is the last, and repeats that number
        although it has sent them.
        """
        if self._known["phase"] != "suspended":
            return pages
        self._rounds_suspended += 1
        return pages if self._rounds_suspended == 1 else 0

    def _percent(self, left):
        if not self._all_pages:
            return None
        return max(0, int(100 - left * 100.0 / self._all_pages))

    def _counted(self, line, total):
        self._total = int(total)

    def _exited(self, line, domid, code):
        if domid is None and (int(code) or self._known["phase"] != "suspended"):
            # Up to 4.0 it may be another guest's; xend's own lines name theirs.
            return None
        if self._is_other(domid):
            return None
        return self._reached("failed" if int(code) else "sent")

    def _complained(self, line, said):
        # What comes after the first one are its consequences.
        self._reason = self._reason or said.strip()

    def _failed(self, line, domid):
        return None if self._is_other(domid) else self._reached("failed")

    def _destroyed(self, line, domid):
        # A domain is destroyed for other reasons, too.
        if self._is_other(domid) or self._known["phase"] not in ("suspended", "sent"):
            return None
        return self._reached("arriving")

    def _reached(self, phase):
        if PHASES.index(phase) < PHASES.index(self._known["phase"]):
            # The log comes after what was seen otherwise.
            return None
        change = {"phase": phase, "rate_mib_s": None}
        if phase in ("sent", "arriving", "running"):
            change.update(percent=100, iteration=None, pages=self._total if phase == "sent" else None)
        elif phase == "failed":
            change.update(percent=None, pages=None)
        return change


def completed(text, uuid):
    """
    Whether xend has completed a guest that it has received, by its log.

    text
        the end of the log of the host that has received it
    uuid
        the guest's

    Returns True or False, or None when the last reception of this guest is not in the text. What is logged
    of a completion names no guest, so one of any other since then counts too. xend unpauses a guest after
    that (xend 3.0 to 4.4 XendDomainInfo.completeRestore, XendCheckpoint.restore).
    """
    found = _reception(text, uuid)
    return COMPLETION in text[found.end() :] if found else None


def received_since(text, uuid, now):
    """
    How many seconds ago xend began to receive a guest, when it was received last, by its log.

    text, uuid
        as for `completed`
    now
        seconds since the epoch

    Returns None when the log does not tell. xend writes local time, in whole seconds; of two moments that it
    may mean the later one counts.
    """
    return _since(text, _reception(text, uuid), now)


def created_since(text, name, uuid, now):
    """
    How many seconds ago xend began to start a guest of this name or uuid afresh, when it did so last; None
    when the log does not tell of that. For the rest see `received_since`.
    """
    return _since(text, _creation(text, name, uuid), now)


def is_created(text, name, uuid):
    """
    Whether xend has started a guest of this name or uuid afresh since it has received the latter, or ever, if
    the log does not tell when that was. Without a uuid in its file a guest gets another one.
    """
    received, created = _reception(text, uuid), _creation(text, name, uuid)
    return bool(created and (not received or created.start() > received.start()))


def _since(text, found, now):
    stamps = STAMP.findall(text[text.rfind("\n", 0, found.start()) + 1 : found.start()]) if found else []
    passed = [now - moment for moment in _moments(stamps[0])] if stamps else []
    # Of a moment that is to come the clock was set meanwhile.
    return min([seconds for seconds in passed if seconds >= 0] or [None])


def _moments(stamp):
    """
    The moments that a stamp of the log may mean: two in the hour that comes twice when summer time ends.
    """
    try:
        local = time.strptime(stamp, "%Y-%m-%d %H:%M:%S")
        either = [time.mktime(local[:8] + (is_summer,)) for is_summer in (0, 1)]
    except (ValueError, OverflowError):
        return []
    return [moment for moment in either if time.localtime(moment)[:6] == local[:6]] or either


def _creation(text, name, uuid):
    named = name and re.compile(NAMED % re.escape(name))
    found = [
        line
        for line in CREATION.finditer(text)
        if uuid and uuid.lower() in line.group().lower() or named and named.search(line.group())
    ]
    return found[-1] if found else None


def _reception(text, uuid):
    found = [
        line for line in RECEPTION.finditer(text) if uuid and uuid.lower() in line.group().lower()
    ]
    return found[-1] if found else None


def written(pid):
    """
    How many bytes a process has written so far, whatever has become of them; None when its kernel does not
    count that (before Linux 2.6.20, or without CONFIG_TASK_IO_ACCOUNTING), or it is gone.
    """
    try:
        with open("/proc/%d/io" % pid) as stream:
            found = re.search(r"^wchar: (\d+)$", stream.read(), re.MULTILINE)
    except EnvironmentError:
        return None
    return int(found.group(1)) if found else None


def last_part(path, start=0):
    """
    The end of a log file, at most 1 MiB of it; "" when it cannot be read.

    start
        nothing is read that stands before this position, in bytes
    """
    try:
        with _opened(path) as stream:
            stream.seek(max(start, os.fstat(stream.fileno()).st_size - TAIL_BYTES))
            return _native(stream.read(TAIL_BYTES).decode("utf-8", "replace"))
    except EnvironmentError:
        return ""


def _native(text):
    """
    Text as the type that messages are made of: bytes under Python 2.
    """
    return text if isinstance(text, str) else text.encode("utf-8")


def _opened(path):
    """
    A file to read from. Raises EnvironmentError for what is none: from a FIFO nothing would come.
    """
    stream = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY), "rb")
    if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
        stream.close()
        raise IOError(errno.EINVAL, "is no file", path)
    return stream


class Tail(object):
    """
    What is added to a log file from now on.

    The file may be missing, be rotated away to its name with ".1" (as xend does itself) or be cut off.
    """

    def __init__(self, path):
        self._path = path
        self._file = None
        self._position = 0
        self._decoder = _decoder()
        try:
            found = os.stat(path)
        except EnvironmentError:
            return
        self._file = (found.st_dev, found.st_ino)
        self._position = found.st_size

    def read(self):
        """
        The text that was added since the last call, at most 1 MiB of it (the next call goes on there).

        Returns "" when there is none, also when the file cannot be read. Bytes that are no UTF-8 are
        replaced by a mark.
        """
        rotated = self._path + ".1"
        if self._file and _identity(rotated) == self._file != _identity(self._path):
            # Its last lines were written after the last call.
            text = self._read(rotated)
            if text:
                return text
        return self._read(self._path)

    def _read(self, path):
        try:
            with _opened(path) as stream:
                found = os.fstat(stream.fileno())
                if (found.st_dev, found.st_ino) != self._file or found.st_size < self._position:
                    self._file = (found.st_dev, found.st_ino)
                    self._position = 0
                    self._decoder = _decoder()
                stream.seek(self._position)
                data = stream.read(TAIL_BYTES)
        except EnvironmentError:
            return ""
        self._position += len(data)
        return _native(self._decoder.decode(data))


def _decoder():
    # A character may be cut in two by the end of what was written so far.
    return codecs.getincrementaldecoder("utf-8")("replace")


def _identity(path):
    try:
        found = os.stat(path)
    except EnvironmentError:
        return None
    return found.st_dev, found.st_ino
