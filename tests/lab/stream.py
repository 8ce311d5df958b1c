"""A guest as `xm save` writes it into a file and a migration sends it: description, pages, an end.

Here: what the bytes mean. When they are written is decided in domains.py and migration.py; sending the pages
while the guest runs is the work of helpers.py.
"""

import struct

# What it begins with, before the length of the description.
SIGNATURE = b"LinuxGuestRecord"
LENGTH = struct.Struct("!i")
MAGIC = b"LabXcSave\0"
HEADER = struct.Struct("!IIII")
RECORD = struct.Struct("!cI")
PAGE_RECORD, END_RECORD = b"P", b"E"


def image(described, hypervisor, domain):
    """Return the whole file of a domain that stands still; `described`: its description, as it is sent."""
    pages = [hypervisor.read_page(domain["domid"], number) for number in range(domain["pages"])]
    records = [
        RECORD.pack(PAGE_RECORD, number) + content for number, content in enumerate(pages)
    ]
    return b"".join(
        [
            SIGNATURE + LENGTH.pack(len(described)) + described,
            MAGIC + HEADER.pack(len(pages), len(pages[0]), domain["vcpus"], 0),
            *records,
            RECORD.pack(END_RECORD, domain["vcpus"]),
        ]
    )


def memory(data):
    """Return the memory that such bytes describe; None when they are no whole image."""
    at = len(MAGIC) + HEADER.size
    if not data.startswith(MAGIC) or len(data) < at:
        return None
    count, size, _vcpus, _live = HEADER.unpack(data[len(MAGIC) : at])
    found = bytearray(count * size)
    while len(data) >= at + RECORD.size:
        kind, number = RECORD.unpack(data[at : at + RECORD.size])
        at += RECORD.size
        if kind == END_RECORD:
            return bytes(found)
        if kind != PAGE_RECORD or len(data) < at + size:
            return None
        found[number * size : (number + 1) * size] = data[at : at + size]
        at += size
    return None
