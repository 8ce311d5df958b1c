"""
The steps of the orchestrations, on the master: states that hosts run, and the last word on what came of
them.

They do what ``salt.state`` and ``salt.runner`` do, by these, and end as these do. What they print is short;
what hosts and runners have returned stands whole beside it, for programs, and ``--out json`` shows it:
``steps``, a list of ``id``, ``begun``, ``result``, ``comment``, ``changes``, ``why``, ``jid`` and
``returned`` (by host), and ``says``, a list of ``id``, ``text`` and ``good``, the last word last.
"""

from __future__ import absolute_import

import logging
import sys
import threading


# As in _utils/xend_version.py: what was synced to a master may be of several versions.
VERSION = "0.2.0"


def __virtual__():
    if "saltutil.cmd" not in __salt__:
        return False, "it is for orchestrations, on the master"
    return "xend_orch"


class _Utility(object):
    """
    A utility, of which calls read like those of a module. Synced ones come first; those of an installed
    extension are not loaded into __utils__ by Salt 3006 and later, and are imported, all others as well then.
    """

    _is_installed = False

    def __init__(self, name):
        self._name = name

    def __getattr__(self, function):
        if not _Utility._is_installed:
            try:
                found = __utils__[self._name + "." + function]
                return getattr(found, "__wrapped__", found)
            except KeyError:
                pass
        found = getattr(__import__("saltext_xend._utils." + self._name, fromlist=[function]), function)
        _Utility._is_installed = True
        return found


xend_said = _Utility("xend_said")
log = logging.getLogger(__name__)


class _Once(object):
    """
    A filter of the console that drops the next error of Salt's states of this thread, when it is only what a
    state says that has failed: that state is printed in the end. The file of the log gets it still.
    """

    def __init__(self, console, ret):
        self._console, self._thread = console, threading.current_thread().ident
        # What Salt logs of a state.
        self._text = "%s" % (ret["changes"] or ret["comment"],)
        console.addFilter(self)

    def filter(self, record):
        if record.name != "salt.state" or record.levelno < logging.ERROR or record.thread != self._thread:
            return True
        self._console.removeFilter(self)
        return record.getMessage() != self._text


def _ended(ret):
    """
    What a state returns, which is said once, whatever has become of it.
    """
    if ret["result"] is False and _is_printed():
        for handler in logging.getLogger().handlers:
            if getattr(handler, "stream", None) is sys.stderr and handler.level <= logging.ERROR:
                _Once(handler, ret)
    return ret


def _is_printed():
    """
    Whether a command of a terminal runs this, which prints what a state says that has failed: no daemon does
    that, nor is it terse.
    """
    return bool(__opts__.get("fun")) and not _output().startswith("terse")


def _output():
    return "%s" % __opts__.get("state_output", "full")


def steps(name, steps, tells=True):
    """
    Hosts run the states of SLS, one step after the other; each as ``salt.state`` with a list of minions.

    name
        any text
    steps
        a list of dicts, in order: ``id``, any text that says what is so then; ``hosts``, minion ids; ``sls``,
        ``pillar`` and ``timeout`` as for ``salt.state``; ``waits``, default true: whether it waits for its
        turn when a minion is running other states, else it runs beside them; and ``after``, the ids of steps:
        it is not begun when one of these is there and has failed, or was not begun
    tells
        False: why they have failed is said by ``xend_orch.said`` or ``xend_orch.could``, at the end

    .. code-block:: yaml

        both hosts are ready:
          xend_orch.steps:
            - steps:
              - id: relocation is configured
                hosts: [xen1, xen2]
                sls: xend.relocation
    """
    rows, failed = [], []
    for one in steps:
        if [other for other in one.get("after") or [] if other in failed]:
            row = xend_said.not_begun(one)
        else:
            row = xend_said.of_hosts(one, _run(one), _Utility)
        if row["result"] is False:
            failed.append(row["id"])
        rows.append(row)
    return _ended(dict(xend_said.of_steps(rows, tells), name=name))


def _run(step):
    options = {"queue": True} if step.get("waits", True) else {"concurrent": True}
    for key in ("pillar", "timeout"):
        if step.get(key) is not None:
            options[key] = step[key]
    try:
        return __states__["salt.state"](
            step["id"], tgt=step["hosts"], tgt_type="list", sls=step["sls"], **options
        )
    except Exception as exc:
        # So that what the steps before have done is said.
        log.info("the step %s broke down", step["id"], exc_info=True)
        return {"result": False, "changes": {}, "comment": "%s: %s" % (type(exc).__name__, exc)}


def said(name, function, given):
    """
    The last word of an orchestration: what a runner says after the steps, whatever became of them. Where it
    has more to say than that, this comes first, and the last word in a state of its own.

    name
        any text
    function
        the function of the runner, which returns states as ``state.orchestrate`` does
    given
        its arguments, by name

    .. code-block:: yaml

        where web01 is now:
          xend_orch.said:
            - function: xend.outcome
            - given: {given: {domain: web01, source: xen1, target: xen2}}
    """
    ran = __states__["salt.runner"](function, kwarg=given)
    says = xend_said.by_runner(ran["changes"].get("return"), _Utility)
    before, last = xend_said.last_word(says, xend_said.why_not(__running__, _Utility))
    ret = dict([(key, ran[key]) for key in ran if key != "changes"], name=name, changes={}, says=says)
    title = last["id"] or name
    if not before:
        return _ended(_shown(dict(ret, comment=last["text"]), title))
    low = {"state": "xend_orch", "fun": "said", "name": title, "__id__": title}
    alone = {"name": title, "result": last["good"], "comment": last["text"], "changes": {}}
    ret = dict(ret, comment="\n".join(before), sub_state_run=[dict(_shown(alone, title), low=low)])
    return _ended(_shown(ret, title))


def _shown(ret, title):
    """
    The same, with a change where this master's configuration lets no state be shown that is well and has
    changed nothing.
    """
    shows = __opts__.get("state_verbose", True) and not __opts__.get("state_output_diff")
    if ret["result"] is False or (shows and not _output().startswith("changes")):
        return ret
    return dict(ret, changes={"said": title})


def could(name, text):
    """
    The last word under ``test=True``: whether the steps before have found something in the way.

    name
        any text
    text
        what is said when nothing is in the way

    .. code-block:: yaml

        whether web01 can be moved:
          xend_orch.could:
            - text: nothing is in the way
    """
    why = xend_said.why_not(__running__, _Utility)
    last = {"id": name, "text": "\n".join(why) or text, "good": not why}
    result = False if why else None
    return _ended({"name": name, "result": result, "comment": last["text"], "changes": {}, "says": [last]})


def notice(name, text, good=True):
    """
    Only says something, also under ``test=True``.

    name
        any text
    text
        what is said
    good
        False: it fails

    .. code-block:: yaml

        "web01: lost":
          xend_orch.notice:
            - text: it runs nowhere
            - good: false
    """
    return _ended({"name": name, "result": good, "comment": text, "changes": {}})
