"""
What DRBD says of a resource on two hosts, and whether a guest that has it as drbd:RESOURCE can move.

Xen's script block-drbd, which comes with DRBD, makes the resource primary on the target when the guest is
about to come, while it is primary on the source still. All is judged from texts that the callers bring:
nothing is run or read here.
"""

import re

PREFIX = "drbd:"

# What drbdadm takes for a resource, a volume of one (from 8.4 on with a slash) or the path of its device.
NAME = re.compile(r"[^\s\0-\x1f\x7f{};\"'-][^\s\0-\x1f\x7f{};\"']{0,250}\Z")

# What drbdadm is asked about a resource.
QUESTIONS = ("sh-dev", "cstate", "dstate", "dump")

CONNECTED = "Connected"
UP_TO_DATE = "UpToDate"

# What is no answer: drbdadm did not see its configuration, or did not end.
UNANSWERED = re.compile(r"permission denied|not permitted|timed out", re.IGNORECASE)

# A line of /proc/drbd: " 0: cs:Connected ro:Primary/Secondary ds:UpToDate/UpToDate C r-----", in DRBD 8.0 to
# 8.2 with st: for ro:. DRBD 9 shows no resources there.
PROC_LINE = re.compile(r"^ *(\d+): cs:(\S+)(?: (?:ro|st):(\S+))?(?: ds:(\S+))?", re.MULTILINE)

# In 8.3 a word by itself, in 8.4 with yes or no.
TWO_PRIMARIES = re.compile(r"^\s*allow-two-primaries(?:\s+(\w+))?\s*;", re.MULTILINE)
ADDRESS = re.compile(
    r"^\s*(?:address|floating)\s+(?:(?:ipv4|ipv6|sdp|ssocks|sci)\s+)?([^\s;{]+)", re.MULTILINE
)

# Under Python 2 there are two kinds of it.
TEXT = (str, type(b"".decode("ascii")))
MOST_WORDS = 64
MOST_LETTERS = 256

ACCEPT = "; who knows better says accept: [storage]"


def resource(uname):
    """
    The resource that a disk names, or None for a disk that is none of DRBD's. drbdadm also takes the path of
    the device for the name.
    """
    if not (uname or "").startswith(PREFIX):
        return None
    name = uname[len(PREFIX) :]
    # It would be an option of drbdadm, or lead out of the folder of its links.
    return name if NAME.match(name) and ".." not in name.split("/") else None


def commands(program, name):
    """
    How drbdadm is asked about a resource, as a list of (question, arguments) for `facts`. When the first one
    fails, the others would too.
    """
    return [(question, [program, question, name]) for question in QUESTIONS]


def facts(name, said, proc, link=None):
    """
    What a host knows of a resource.

    name
        the resource
    said
        dict from each question of `commands` to (exit code, text); None when there is no drbdadm
    proc
        the text of /proc/drbd, or None
    link
        where /dev/drbd/by-res/NAME leads, or None

    Returns a dict: known (bool, or None when nothing tells), reason (of drbdadm, when it is not known),
    states and disks (lists of the words of DRBD, such as "Connected" and "UpToDate"; empty when nothing
    tells), two_primaries (bool or None) and addresses (sorted list of both ends).
    """
    found = {
        "known": None,
        "reason": None,
        "states": [],
        "disks": [],
        "two_primaries": None,
        "addresses": [],
    }
    answers = dict([(key, text) for key, (code, text) in (said or {}).items() if code == 0])
    if said and "sh-dev" not in answers:
        text = said["sh-dev"][1]
        if UNANSWERED.search(text):
            return facts(name, None, proc, link)
        words = text.split("\n")
        return dict(found, known=False, reason=" ".join(words[0].split()) or "drbdadm knows no %s" % name)
    device = answers.get("sh-dev") or link or name
    row = _row(proc, re.search(r"drbd(\d+)\s*(?:\n|\Z)|minor-(\d+)\Z", device))
    found["known"] = True if said or row else None
    found["states"] = answers.get("cstate", "").split() or [part for part in row[:1] if part]
    found["disks"] = re.split(r"[/\s]+", answers.get("dstate", "").strip() or (row[2:] or [""])[0] or "")
    found["disks"] = [word for word in found["disks"] if word]
    dump = answers.get("dump")
    if dump:
        # The last one holds: what the resource says comes after what is common to all.
        options = TWO_PRIMARIES.findall(dump)
        found["two_primaries"] = bool(options) and options[-1] not in ("no", "false", "off")
        found["addresses"] = sorted(set(ADDRESS.findall(dump)))
    if row and row[1] == "Primary/Primary":
        # The kernel may have been told so by itself (drbdadm net-options).
        found["two_primaries"] = True
    return found


def told(said):
    """
    What another host has told of a resource, as `facts` returns it. What it does not tell, or tells in
    another form, is not known.
    """
    said = said if isinstance(said, dict) else {}
    found = facts("", None, None)
    for key in ("known", "two_primaries"):
        found[key] = said[key] if said.get(key) is True or said.get(key) is False else None
    for key in ("states", "disks", "addresses"):
        words = said.get(key)
        if isinstance(words, (list, tuple)) and len(words) <= MOST_WORDS and all(map(_is_word, words)):
            found[key] = list(words)
    return found


def _is_word(value):
    return isinstance(value, TEXT) and len(value) <= MOST_LETTERS


def _row(proc, device):
    """
    The state, the roles and the disks that /proc/drbd shows of a minor number; empty when it does not.
    """
    minor = device and (device.group(1) or device.group(2))
    for number, state, roles, disks in PROC_LINE.findall(proc or ""):
        if number == minor:
            return [state, roles, disks]
    return []


def judge(name, there, here, source, target):
    """
    Whether the resource can be used on the target at once.

    name
        the resource
    there, here
        what `facts` returned on the source (None when it was not asked) and on this host, the target
    source, target
        what the sentences call the hosts

    Returns (verdict, sentence) with the verdicts of xm_disks.compare: "missing" when the guest would be lost,
    "different" when two resources only have the same name, "unproved" for people to accept, "unchecked"
    when only the target was asked, and "same".
    """
    sides = [(target, here)] + ([(source, there)] if there else [])
    if here["known"] is False:
        return "missing", (
            "%s does not know the DRBD resource %s (%s), so that nothing could be attached there and the "
            "guest would be lost on both; set it up there" % (target, name, here["reason"])
        )
    for host, facts_ in sides:
        for word in facts_["states"]:
            if word != CONNECTED:
                return "missing", (
                    "the DRBD resource %s is %s on %s, not Connected, so that the guest would not find its "
                    "data on %s; let DRBD connect and synchronise it (drbdadm connect %s), or wait until it "
                    "has"
                    % (name, word, host, target, name)
                )
        for word in facts_["disks"]:
            if word != UP_TO_DATE:
                return "missing", (
                    "the disks of the DRBD resource %s are %s as %s sees them, not UpToDate on both hosts; "
                    "wait until they are" % (name, "/".join(facts_["disks"]), host)
                )
        if facts_["two_primaries"] is False:
            return "missing", (
                "the DRBD resource %s may have one primary only, says %s, and %s has to be primary before %s "
                "has let go: the guest would be lost on both; put allow-two-primaries into its section net "
                "on both (then drbdadm adjust %s)" % (name, host, target, source, name)
            )
    if there and there["addresses"] and here["addresses"] and there["addresses"] != here["addresses"]:
        return "different", (
            "the DRBD resource %s has the addresses %s on %s and %s on %s, so these are two resources of one "
            "name; give both hosts one configuration"
            % (name, ", ".join(there["addresses"]), source, ", ".join(here["addresses"]), target)
        )
    unknown = [what for host, facts_ in sides for what in _unknown(host, facts_)]
    if unknown:
        return "unproved", (
            "it cannot be told %s; drbdadm or /proc/drbd would tell; make sure that the resource %s is "
            "connected, up to date on both and allowed to have two primaries%s"
            % (", ".join(unknown), name, ACCEPT)
        )
    if not there:
        return "unchecked", (
            "the DRBD resource %s is connected and up to date as %s sees it; it was not compared with %s"
            % (name, target, source)
        )
    return "same", "DRBD has %s connected and up to date on %s and %s" % (name, source, target)


def _unknown(host, facts_):
    """
    What a host does not tell, in words.
    """
    if not facts_["known"]:
        return ["whether %s knows the resource" % host]
    return [
        "%s on %s" % (words, host)
        for key, words in (
            ("states", "whether it is connected"),
            ("disks", "whether it is up to date"),
            ("two_primaries", "whether it may have two primaries"),
        )
        if facts_[key] in (None, [])
    ]
