"""The document in this process: against Augeas reading the same file, and its growth with the size."""

import importlib.util
import itertools
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from tests.bench import samples

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "_utils"))

import xend_sxp  # noqa: E402

# Both are measured in turn, some rounds of one and some of the other, so that each has the caches of
# the processor to itself and a moment of load on the machine hits both.
TURNS, ROUNDS = 6, 10
KEY, VALUES = "xend-relocation-port", ("8010", "8011")
HOW_TO_GET_AUGEAS = (
    "not compared with Augeas: apt-get install libaugeas0 augeas-lenses, and"
    " 'python-augeas<1.2' (needs no compiler) with the pip of this Python"
)


def parse_set_render(data: bytes, value: str) -> bytes:
    return xend_sxp.parse(data).set(KEY, value).data


def seconds(work) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


class Augeas:
    """Augeas' library on one file in a root of its own; it reads it again whenever it was touched."""

    def __init__(self, augeas, root: Path, data: bytes):
        self.file = root / "etc" / "xen" / "xend-config.sxp"
        self.file.parent.mkdir(parents=True)
        self.file.write_bytes(data)
        self.library = augeas.Augeas(
            str(root), flags=augeas.Augeas.NO_MODL_AUTOLOAD | augeas.Augeas.NO_LOAD
        )
        self.library.set("/augeas/load/Xendconfsxp/lens", "Xendconfsxp.lns")
        self.library.set("/augeas/load/Xendconfsxp/incl", "/etc/xen/xend-config.sxp")
        self.touches = 0

    def read(self) -> float:
        """How long one reading takes, in seconds; it must have been one."""
        self.touches += 1
        os.utime(self.file, (self.touches, self.touches))
        took = seconds(self.library.load)
        seen = self.library.get("/augeas/files/etc/xen/xend-config.sxp/mtime")
        if seen != str(self.touches):
            raise SystemExit(f"bench: Augeas has not read the file: {seen}")
        if not self.library.match("/files/etc/xen/xend-config.sxp/*"):
            raise SystemExit("bench: Augeas finds nothing in the file")
        return took


def against_augeas() -> tuple[str, bool | None]:
    """(what was found, whether the target holds; None when it could not be measured)"""
    source, data = samples.like_xen_4_1()
    if not importlib.util.find_spec("augeas"):
        return HOW_TO_GET_AUGEAS, None
    try:
        import augeas

        with tempfile.TemporaryDirectory() as folder:
            reader = Augeas(augeas, Path(folder), data)
            reader.read()
            ours, theirs = [], []
            for turn in range(TURNS):
                value = VALUES[turn % 2]
                ours += [seconds(lambda: parse_set_render(data, value)) for _ in range(ROUNDS)]
                theirs += [reader.read() for _ in range(ROUNDS)]
    except OSError as exc:
        return f"{HOW_TO_GET_AUGEAS} ({exc})", None
    mine, other = statistics.median(ours), statistics.median(theirs)
    return (
        f"{source}, {len(data)} bytes: parse, set and render {mine * 1000:.2f} ms,"
        f" Augeas reads it in {other * 1000:.1f} ms: 1/{other / mine:.0f} of the time",
        mine <= other / 10,
    )


def growth() -> tuple[str, bool]:
    sizes = [10**4, 10**5, 10**6, 10**7]
    medians = []
    for size in sizes:
        data = samples.of_size(size)
        rounds = max(5, min(100, 2 * 10**7 // size))
        parse_set_render(data, VALUES[0])
        medians.append(
            statistics.median(
                seconds(lambda: parse_set_render(data, VALUES[0])) for _ in range(rounds)
            )
            * size
            / len(data)
        )
    factors = [later / earlier for earlier, later in itertools.pairwise(medians)]
    times = ", ".join(
        f"{size // 1000} KB {took * 1000:.2f} ms" for size, took in zip(sizes, medians, strict=True)
    )
    shown = ", ".join(f"{factor:.1f}" for factor in factors)
    return f"{times}: factors {shown}", max(factors) <= 12
