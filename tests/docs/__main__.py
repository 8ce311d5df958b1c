"""`make test-docs`: every command of the documentation, run against simulated hosts and a real Salt."""

import argparse
import signal
import sys
import time
from pathlib import Path

from tests.docs.lab import Lab
from tests.docs.story import Story
from tests.lab.salt_config import REPO

sys.path.insert(0, str(REPO / "_utils"))


def pages():
    """The pages; not the reference, which is made of docstrings whose examples are checked with these."""
    docs = sorted(set((REPO / "docs").glob("*.md")) - {REPO / "docs/reference.md"})
    return [REPO / "README.md", *docs, REPO / "CONTRIBUTING.md"]


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.docs", description=__doc__)
    parser.add_argument("pages", nargs="*", type=Path, metavar="PAGE", help="default: all of them")
    parser.add_argument("--times", action="store_true", help="say how long each command has taken")
    options = parser.parse_args()
    # An ordinary end by a signal cleans up as an interrupt does.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(130))
    wrong, left_out = [], []
    began = time.monotonic()
    with Lab() as lab:
        print("the lab is there after %.0f s" % (time.monotonic() - began), flush=True)
        for path in options.pages or pages():
            begun = time.monotonic()
            name = (
                str(path.resolve().relative_to(REPO))
                if path.resolve().is_relative_to(REPO)
                else str(path)
            )
            story = Story(lab, name)
            story.run(path.read_text())
            for one in story.wrong:
                print("\n%s\n" % one, flush=True)
            if options.times:
                for seconds, line, text in story.times:
                    print("  %6.1f s  %4d  %s" % (seconds, line, text.splitlines()[0]))
            count = sum(text != "fresh" for _, _, text in story.times)
            print(
                "%-28s %3d commands, %2d wrong, %5.1f s"
                % (name, count, len(story.wrong), time.monotonic() - begun),
                flush=True,
            )
            wrong += story.wrong
            left_out += story.left_out
    if left_out:
        print("\nnot run:")
        for name, line, command, reason in left_out:
            print("  %s:%d: %s (%s)" % (name, line, command.splitlines()[0], reason))
    print(
        "\ndocumentation: %s after %.0f s"
        % ("%d WRONG" % len(wrong) if wrong else "all is as it says", time.monotonic() - began)
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
