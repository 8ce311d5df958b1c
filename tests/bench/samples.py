"""The configuration files that are measured: one like the file of Xen 4.1, and one of any size."""

from tests import ground_truth
from tests.demo import configs

SHIPPED_BYTES = 11325
COMMENT = (
    "# One more line of explanation, as the files that come with Xen have them by the hundred.\n"
)


def like_xen_4_1() -> tuple[str, bytes]:
    """Where it is from, and about 11 KB: the file of Xen 4.1 itself where the real files are at hand."""
    for config in ground_truth.configs("real"):
        if config.name.startswith("real/051-"):
            return config.name, config.data
    head, blank, rest = configs.XEN_4_1.partition("\n\n")
    missing = (SHIPPED_BYTES - len(configs.XEN_4_1)) // len(COMMENT)
    return "our own, in the style of Xen 4.1", (head + blank + COMMENT * missing + rest).encode()


def of_size(size: int) -> bytes:
    """A file of that many bytes or a little more, with comments and forms as in the other one."""
    _, text = like_xen_4_1()
    copies = [text]
    number = 0
    while len(copies) * len(text) < size:
        number += 1
        # Other keys in each copy: only in the first does xend read them.
        copies.append(text.replace(b"(xend-", b"(x%d-" % number))
    return b"\n".join(copies)[:size].rsplit(b"\n#", 1)[0] + b"\n"
