"""
Salt's ``service`` module for a minion on a simulated Xen host: it knows one service, xend.

Simulated hosts share one machine, whose real service manager must stay out of this.
"""

from salt.exceptions import CommandExecutionError


def __virtual__():
    return "lab" in __opts__


def _control(action):
    return __salt__["cmd.retcode"](
        [__opts__["lab"]["xend"], action], python_shell=False, ignore_retcode=True, timeout=90
    )


def _control_or_raise(action):
    """What Salt's systemd module does when the control script fails, in systemctl's two lines."""
    if _control(action) != 0:
        raise CommandExecutionError(
            "Job for xend.service failed because the control process exited with error code.\n"
            'See "systemctl status xend.service" and "journalctl -xe" for details.'
        )
    return True


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
    return available(name) and _control_or_raise("start")


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
    return available(name) and _control_or_raise("restart")


def status(name):
    """
    Whether xend runs.

    CLI Example: salt-call service.status xend
    """
    return available(name) and _control("status") == 0
