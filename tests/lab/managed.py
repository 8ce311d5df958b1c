"""The domains that a xend manages, running or not: those with a config.sxp in its store.

Here: the files, which real xends read when they start and write when such a domain changes. What xm
shows of them is domains.py's work.
"""


from tests.lab import sxp
from tests.lab.layout import remove_tree, write_atomic

STORE = "/var/lib/xend/domains"
# A domain that does not run has none of these.
LIVE = ("domid", "state", "store_mfn", "console_mfn", "online_vcpus", "change_home_server")


class Managed:
    """The store of one host; a domain is its description as nested lists of text."""

    def __init__(self, layout):
        self.layout = layout
        self.folder = layout.path(STORE)

    def _file(self, uuid):
        return self.folder / uuid / "config.sxp"

    def all(self):
        """Return {uuid: description}; xend passes over what it cannot read (_managed_domains)."""
        found = {}
        for path in sorted(self.folder.glob("*/config.sxp")):
            try:
                forms = sxp.decode_text(sxp.parse(path.read_bytes(), self.layout.version))
            except (OSError, sxp.ParseError):
                continue
            uuid = path.parent.name
            if forms and sxp.child_value(forms[0], "uuid") == uuid:
                found[uuid] = forms[0]
        return found

    def __contains__(self, uuid):
        return self._file(uuid).exists()

    def save(self, config):
        """Remember a domain, in the state of not running."""
        config = [config[0]] + [item for item in config[1:] if item[0] not in LIVE]
        config = [["status", "0"] if item[0] == "status" else item for item in config]
        path = self._file(sxp.child_value(config, "uuid"))
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, sxp.pretty(config) + "\n")

    def checkpoint(self, uuid):
        """Return the path of the image of a domain that xend has suspended."""
        return self.folder / uuid / "checkpoint.chk"

    def forget(self, uuid):
        remove_tree(self._file(uuid).parent, ignore_errors=True)
