"""
Salt's ``saltutil`` module for the master of a conductor: jobs go to the conductor, not to a network.

Only what orchestration uses; anything else is missing loudly.
"""

from salt.utils.state import check_result

ORCHESTRATE = ("state.orchestrate", "state.orch")


def cmd(tgt, fun, arg=(), tgt_type="glob", kwarg=None, expect_minions=False, **_delivery):
    """
    Run a function on minions; the arguments that concern time-outs and returners have no meaning here.

    CLI Example: salt-run salt.cmd saltutil.cmd '*' test.ping
    """
    return __opts__["conductor"]["publish"](tgt, fun, arg, kwarg or {}, tgt_type, expect_minions)


def runner(name, kwarg=None, full_return=None, **_rest):
    """
    Run an orchestration within another one, or the project's own runner; no others are known here.

    CLI Example: salt-run salt.cmd saltutil.runner state.orchestrate kwarg='{"mods": "xend.orch.recover"}'
    """
    kwarg = kwarg or {}
    if name.startswith("xend."):
        returned = __opts__["conductor"]["runner"](name, kwarg)
        if not full_return:
            return returned
        success = check_result(returned["data"]) if "data" in returned else True
        return {"return": returned, "success": success}
    if name not in ORCHESTRATE or not full_return:
        raise ValueError("the conductor does not know the runner %s" % name)
    data = __opts__["conductor"]["states"](kwarg["mods"], kwarg.get("pillar"), kwarg.get("test"))
    returned = {__opts__["id"]: data}
    return {
        "return": {"data": returned, "outputter": "highstate"},
        "success": check_result(returned),
    }
