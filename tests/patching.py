"""What ``patch`` makes of a unified diff, for the tests of diffs."""

import re

NO_NEWLINE = b"\\ No newline at end of file\n"


def patched(old, diff):
    """What ``patch`` makes of the old content, checking every line that the diff claims is there."""
    source = re.findall(rb"[^\n]*\n|[^\n]+\Z", old)
    lines = re.findall(rb"[^\n]*\n", diff)
    assert b"".join(lines) == diff and lines[:2] == [b"--- f\n", b"+++ f\n"]
    result, at, index = [], 0, 2
    while index < len(lines):
        found = re.match(rb"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@\n\Z", lines[index])
        begin, length, new_begin, new_length = (
            1 if group is None else int(group) for group in found.groups()
        )
        start = begin - 1 if length else begin
        result += source[at:start]
        assert len(result) == (new_begin - 1 if new_length else new_begin)
        at, seen, made, index = start, 0, 0, index + 1
        while index < len(lines) and lines[index][:1] != b"@":
            mark, text = lines[index][:1], lines[index][1:]
            index += 1
            if index < len(lines) and lines[index] == NO_NEWLINE:
                text, index = text[:-1], index + 1
            if mark in b" -":
                assert source[at] == text
                at, seen = at + 1, seen + 1
            if mark in b" +":
                result.append(text)
                made += 1
        assert (seen, made) == (length, new_length)
    return b"".join(result + source[at:])
