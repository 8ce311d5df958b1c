"""A guest as `xm save` writes it into a file and a migration sends it: description, pages, an end.

Here: what the bytes mean. When they are written is decided in domains.py and migration.py, and what is made
of them in relocation.py; sending the pages while the guest runs is the work of helpers.py.
"""

import os
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


class File:
    """A file that is read as a connection is: the guest comes from there, and nobody is told anything."""

    def __init__(self, descriptor):
        self.descriptor = descriptor

    def fileno(self):
        return self.descriptor

    def recv(self, count):
        return os.read(self.descriptor, count)
