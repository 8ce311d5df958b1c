"""
Xen hosts, asked by the master. Each is believed about itself only: hosts that the pillar does not declare
(``xend:relocation:hosts``) are not asked, an answer that is not of the agreed form (xm_heard) is none, and
why there is none is said with what to do about it.

What the answers mean is decided elsewhere (xm_fleet, xm_steps, xm_plan), and nothing here knows Salt, whose
functions are handed in.
"""

import re

# What Salt puts before the message of an error.
ERROR = "ERROR: "

# Under Python 2 there are two kinds of it.
TEXT = (str, type(b"".decode("ascii")))

GRAIN = ("virtual_subtype", "Xen Dom0")

START_MINION = (
    "The minion %(host)s does not answer, and xend there goes on without it, so a guest may still be moving: "
    "start that minion with `service salt-minion start` on its host (`salt-key -L` shows whether there is a "
    "minion of that id)"
)
NEVER_HEARD = (
    "; this master keeps nothing of it, so that it may never have connected: its key waits to be accepted "
    "(`salt-key -L`), or it has Salt 3000 or before, and is refused while minimum_auth_version in the "
    "master's configuration is above 0"
)
STRAY = "; of the minions that this master knows, %s is not in the pillar: is that meant by %s there?"
SYNC = "%(host)s lacks the modules of Xend for Salt: `salt %(host)s saltutil.sync_all` brings them"
# Where a function has broken down, Salt returns this and more lines: where that was, and in the last one why.
TRACEBACK = "Traceback (most recent call last)"
PLACE = re.compile(r'File "([^"]*)", line ([0-9]+)')
BROKEN = (
    "Where only a part of Xend for Salt was synced to %(host)s, `salt %(host)s saltutil.sync_all` brings the "
    "rest"
)
MALFORMED = "its answer to %s is not of the agreed form: %s"
BY_HAND = (
    "Look on that host itself, with `xm list`: its modules may be of another version (`salt %(host)s "
    "saltutil.sync_all`), or somebody else speaks there"
)
UNANSWERED = "its minion does not answer"
UNDECLARED = "it was not asked, because the pillar does not declare it"
ANY_MINION = "every minion that is known here"
NO_HOSTS = (
    "xend:relocation:hosts is missing in the pillar of %s, so nobody is asked: assign it to all Xen hosts in "
    "top.sls of the pillar (pillar.example shows what stands there)"
)


def master(opts, functions, client, utility):
    """
    This master.

    opts
        its options
    functions
        runners by name: `pillar.show_pillar`, `cache.grains`
    client
        a function from the path of its configuration to a client of Salt, a context manager
    utility
        a function from the name of another utility to that utility

    Returns an object; see its class. Several threads may publish by it at once.
    """
    return Master(opts, functions, client, utility)


def malformed(host, function, why):
    """
    What is to be said of a host of which the answer is not of the agreed form: ``problem`` and ``remedy``.
    """
    return {"problem": MALFORMED % (function, why), "remedy": BY_HAND % {"host": host}}


def undeclared():
    """
    What is to be said of a host that the pillar does not declare.
    """
    return {"problem": UNDECLARED, "remedy": ""}


class Master(object):
    """
    What hosts can be asked by way of their minions.
    """

    def __init__(self, opts, functions, client, utility):
        self.opts, self.functions, self.client, self.utility = opts, functions, client, utility
        # The minions of which the master keeps grains, once that was looked at: threads do not; and which of
        # them the pillar does not declare.
        self.heard_of, self.strays = None, ()

    def declared(self, ids=None):
        """
        The hosts that the pillar declares, as `xend_settings.declared` returns them, and what is wrong with
        that.

        ids
            minions whose pillar is read, unless that of another one declares them; default: all that look
            like Xen hosts. That a minion looks so is its own word, and decides only whose pillar, which is
            the master's, is read
        """
        settings = self.utility("xend_settings")
        found, wrong, told, instead = {}, [], [], []
        known = self.functions["cache.grains"](tgt="*")
        self.heard_of = set(known)
        for host in ids or self._looking_like_xen(known):
            # To compile a pillar takes a while, and that of a host which is known already says the same.
            if host in found:
                continue
            pillar = self.functions["pillar.show_pillar"](host)
            given, errors = pillar.get("xend"), pillar.get("_errors") or []
            hosts, mistakes = settings.declared(given, self.utility)
            if errors and errors not in told:
                mistakes.append(self.legible(settings.unrendered(host, errors)))
            told.append(errors)
            if given is not None and not instead:
                # That there are none may come from a key that is mistyped.
                instead = settings.settings(given, host, self.utility)["wrong"]
            for name, known in hosts.items():
                found.setdefault(name, known)
            wrong += [mistake for mistake in mistakes if mistake not in wrong]
        self.strays = sorted(self.heard_of - set(found))
        return found, wrong if found or wrong else instead

    def none_declared(self, wrong, whose=None):
        """
        Why nobody is asked: what is WRONG with the pillar, of WHOSE minions in words, that declares none.
        """
        return "; ".join(wrong) or NO_HOSTS % (whose or ANY_MINION)

    def _looking_like_xen(self, known):
        known = dict([(host, known[host] if isinstance(known[host], dict) else {}) for host in known])
        grain, wanted = GRAIN
        return sorted([host for host in known if known[host].get(grain) == wanted]) or sorted(known)

    def publish(self, hosts, function, arguments=(), keywords=None, limit_s=None):
        """
        Run a function on these hosts; return {host: what it returned} for those of them that have answered.
        """
        returned = {}
        if not hosts:
            return returned
        # As the master is configured: `salt-run -t` says how long salt-run itself may take.
        with self.client(self.opts["conf_file"]) as client:
            answers = client.cmd_iter(
                list(hosts),
                function,
                arg=list(arguments),
                timeout=limit_s,
                tgt_type="list",
                kwarg=keywords or {},
            )
            for answer in answers:
                for host, data in (answer or {}).items():
                    if host in hosts and isinstance(data, dict) and "ret" in data:
                        returned[host] = data["ret"]
        return returned

    def call(self, host, function, arguments=(), keywords=None, limit_s=None):
        """
        Run a function on one host; return what it returned, or None.
        """
        return self.publish([host], function, arguments, keywords, limit_s).get(host)

    def ask(self, hosts, function, form, arguments=(), keywords=None):
        """
        Ask hosts, and keep of each what it has said, as far as it is of this form (see xm_heard); else
        `problem`, why there is nothing, and `remedy`, what to do about that.
        """
        answers = self.publish(hosts, function, arguments, keywords)
        return dict([(host, self.heard(host, function, form, answers.get(host))) for host in hosts])

    def heard(self, host, function, form, said):
        """
        What a host has SAID (None: nothing) to a function, as `ask` keeps it.
        """
        if said is None:
            return {"problem": UNANSWERED, "remedy": START_MINION % {"host": host} + self._if_unknown(host)}
        if isinstance(said, TEXT):
            return self._failed(host, function, said)
        try:
            found = self._form(form)(said)
        except ValueError as exc:
            return malformed(host, function, exc)
        for view in (found, found.get("view")):
            if view and view.get("problem"):
                problem, remedy = self.legible(view["problem"]), self._remedy(host, view.get("xend"))
                view.update(problem=problem, remedy=remedy)
        return found

    def stranger(self, host):
        """
        What is to be said of a host that the pillar does not declare. Whether there is a minion is all that
        it is asked.
        """
        if self.call(host, "test.ping") is None:
            return {"problem": UNANSWERED, "remedy": ""}
        return undeclared()

    def guests_file(self, name, uuid, source, target):
        """
        What SOURCE says of the file of a guest, sealed for TARGET (xen_guest.sealed); or ``problem``.
        """
        said = self.call(source, "xen_guest.sealed", [name, uuid, self.call(target, "xen_guest.key")])
        found = self.heard(source, "xen_guest.sealed", "file", said)
        found.pop("remedy", None)
        return found

    def unmark(self, source, marked):
        """
        Remove the markers of a migration that goes no further, or of which no step may have removed them.
        """
        if marked and not marked.get("problem"):
            self.call(source, "xm.unmark_disks", [marked])

    def legible(self, text, most=2000):
        """
        Text as it may be shown, see xm_heard.
        """
        return self.utility("xm_heard").legible(text, most)

    def _if_unknown(self, host):
        """
        What else may keep a minion from answering of which the master keeps no grains.
        """
        if self.heard_of is None or host in self.heard_of:
            return ""
        near = self.utility("xend_text").nearest(host, self.strays, 1)
        return STRAY % (near[0], host) if near else NEVER_HEARD

    def _failed(self, host, function, said):
        """
        What is to be said where a function that returns data has returned text, with which Salt says that it
        failed. How, minions of all versions tell by the words alone: the codes beside them differ.
        """
        lacking = said.startswith(("'%s' is not available" % function, "Passed invalid arguments"))
        said = said[len(ERROR) :] if said.startswith(ERROR) else said
        before, traceback, more = said.partition(TRACEBACK)
        if more.strip():
            places = ["%s, line %s" % place for place in PLACE.findall(more)[-1:]]
            said = before + ", ".join([more.strip().splitlines()[-1]] + places)
        problem = self.legible(said, 500)
        if lacking and problem.endswith("."):
            # A sentence of Salt, which becomes a part of one here.
            problem = problem[:-1]
        remedy = SYNC if lacking else BROKEN if traceback else ""
        return {"problem": problem, "remedy": remedy % {"host": host}}

    def _remedy(self, host, runs):
        """
        What is to be done about a host that could not say what it holds. What it advises itself is its own
        word.
        """
        if runs is None:
            return ""
        return self.utility("xm_fleet").to_start(host, None if runs else "xend")

    def _form(self, what):
        return self.utility("xm_heard").form_of(what, self.utility("xm_copies").words())
