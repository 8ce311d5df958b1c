"""
Salt's ``service`` module for a minion on a simulated Xen host: it knows one service, xend.

Simulated hosts share one machine, whose real service manager must stay out of this.
"""


def __virtual__():
    return "lab" in __opts__


def _control(action):
    return __salt__["cmd.retcode"](
        [__opts__["lab"]["xend"], action], python_shell=False, ignore_retcode=True, timeout=90
    )


def available(name):
    """
    Whether there is such a service.

    CLI Example: salt-call service.available xend
    """
    return name == "xend"


def start(name):
    """
    Start xend.

    CLI Example: salt-call service.start xend
    """
    return available(name) and _control("start") == 0


def stop(name):
    """
    Stop xend.

    CLI Example: salt-call service.stop xend
    """
    return available(name) and _control("stop") == 0


def restart(name):
    """
    Restart xend.

    CLI Example: salt-call service.restart xend
    """
    return available(name) and _control("restart") == 0


def status(name):
    """
    Whether xend runs.

    CLI Example: salt-call service.status xend
    """
    return available(name) and _control("status") == 0
