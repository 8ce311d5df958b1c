"""
Of Salt's ``sys`` module for the master of a conductor: which runners there are.
"""


def list_runner_functions(name):
    """
    The functions of a runner.

    CLI Example: salt-run salt.cmd sys.list_runner_functions xend
    """
    return __opts__["conductor"]["runners"](name)
