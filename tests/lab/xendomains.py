"""What the init script xendomains does when a host boots: it restores images and starts entries.

Here: the order and the conditions of the script as Xen ships it. What restoring and starting do is
xend's work, asked for through xm.
"""

from tests.lab import xm_info
from tests.lab.stream import SIGNATURE

SETTINGS_FILE = "/etc/sysconfig/xendomains"
SHIPPED = "XENDOMAINS_SAVE=/var/lib/xen/save\nXENDOMAINS_RESTORE=true\nXENDOMAINS_AUTO=/etc/xen/auto\n"
NO_SETTINGS = 6


def settings(host):
    """Return SAVE, RESTORE and AUTO as the shell reads them; None without a file."""
    import subprocess

    folder = "sysconfig" if host.path("/etc/sysconfig").is_dir() else "default"
    path = host.path("/etc/%s/xendomains" % folder)
    if not path.exists():
        return None
    script = '. "$0"; printf "%s\\n" "$XENDOMAINS_SAVE" "$XENDOMAINS_RESTORE" "$XENDOMAINS_AUTO"'
    shown = subprocess.run(
        ["sh", "-c", script, str(path)], capture_output=True, text=True, check=True, timeout=10
    )
    return shown.stdout.split("\n")[:3]


def start(host):
    """Do what `xendomains start` does on this Host; return (exit code, what was done)."""
    found = settings(host)
    if found is None:
        return NO_SETTINGS, []
    save, restore, auto = found
    done, code, saved = [], 0, []
    if restore == "true" and save:
        saved = listed(host, save)
        for path in saved:
            if not path.is_file() or path.read_bytes()[: len(SIGNATURE)] != SIGNATURE:
                continue
            if host.xm_run("restore", path).returncode == 0:
                path.unlink()
                done.append("restored " + path.name)
            else:
                code = 1
    for path in listed(host, auto) if auto else []:
        # An image of that name stands for the guest, whatever became of it.
        if path.name in [one.name for one in saved] or is_running(host, path):
            continue
        if host.xm_run("create", "--quiet", "--defconfig", path).returncode == 0:
            done.append("started " + path.name)
        else:
            code = 1
    return code, done


def listed(host, folder):
    """Return what the shell's star matches in a folder."""
    place = host.path(folder)
    if not place.is_dir():
        return []
    return sorted(path for path in place.iterdir() if not path.name.startswith("."))


def is_running(host, path):
    try:
        name = xm_info.domain_file(path)["name"]
    except Exception:
        return False
    return name in host.xm_run("list").stdout.split()
