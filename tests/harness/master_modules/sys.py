"""
Of Salt's ``sys`` module for the master of a conductor: which runners and states there are.
"""


def list_runner_functions(name):
    """
    The functions of a runner.

    CLI Example: salt-run salt.cmd sys.list_runner_functions xend
    """
    return __opts__["conductor"]["runners"](name)


def list_state_functions(name):
    """
    The functions of a state module.

    CLI Example: salt-run salt.cmd sys.list_state_functions xend_orch
    """
    return __opts__["conductor"]["state_functions"](name)
