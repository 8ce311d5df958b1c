"""
The steps of the orchestrations, on the master: states that hosts run, and the last word on what came of
them.

They do what ``salt.state`` and ``salt.runner`` do, by these, and end as these do. What they print is short;
what hosts and runners have returned stands whole beside it, for programs: ``returned`` (by host) and
``says`` (a list of ``id``, ``text`` and ``good``, the last word last), which ``--out json`` shows.
"""

from __future__ import absolute_import


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


def step(name, tgt, sls, pillar=None, timeout=None, waits=True, tells=True):
    """
    Hosts run the states of an SLS; as ``salt.state`` with a list of minions.

    name
        any text
    tgt
        minion ids
    sls, pillar, timeout
        as for ``salt.state``
    waits
        whether it waits for its turn when a minion is running other states; else it runs beside them
    tells
        False: why it has failed is said by ``xend_orch.said`` or ``xend_orch.could``, at the end

    .. code-block:: yaml

        relocation is configured:
          xend_orch.step:
            - tgt: [xen1, xen2]
            - sls: xend.relocation
    """
    options = {"queue": True} if waits else {"concurrent": True}
    for key, value in (("pillar", pillar), ("timeout", timeout)):
        if value is not None:
            options[key] = value
    ran = __states__["salt.state"](name, tgt=tgt, tgt_type="list", sls=sls, **options)
    told = xend_said.of_hosts(tgt, ran, tells, _Utility)
    ret = dict([(key, ran[key]) for key in ran if key not in ("changes", "comment")])
    return dict(ret, **told)


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
    # As a change, so that it is shown.
    changes = {"said": title} if _hides_what_is_well() else {}
    if not before:
        return dict(ret, comment=last["text"], changes=changes)
    low = {"state": "xend_orch", "fun": "said", "name": title, "__id__": title}
    alone = {"name": title, "result": last["good"], "comment": last["text"], "changes": changes}
    return dict(ret, comment="\n".join(before), sub_state_run=[dict(alone, low=low)])


def _hides_what_is_well():
    """
    Whether this master's configuration lets no state be shown that is well and has changed nothing.
    """
    output = "%s" % __opts__.get("state_output", "full")
    shows = __opts__.get("state_verbose", True) and not __opts__.get("state_output_diff")
    return not shows or output.startswith("changes")


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
    return {"name": name, "result": result, "comment": last["text"], "changes": {}, "says": [last]}
