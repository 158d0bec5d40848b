# SPDX-License-Identifier: GPL-2.0-or-later
"""Parts of a saved domain (vmm/migrate-format.h) for tests that take one to pieces, or make one up."""

import json
import struct

PREFIX = 24
TABLE = []
for n in range(256):
    for _ in range(8):
        n = n >> 1 ^ (0x82f63b78 if n & 1 else 0)
    TABLE.append(n)


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc = crc >> 8 ^ TABLE[(crc ^ byte) & 255]
    return crc ^ 0xffffffff


def record(kind, payload=b""):
    head = struct.pack("<III", kind, len(payload), crc32c(payload))
    return head + struct.pack("<I", crc32c(head)) + payload


def take_header(data):
    """The header, and what follows it."""
    length, = struct.unpack_from("<I", data, 12)
    return json.loads(data[PREFIX:PREFIX + length]), data[PREFIX + length:]


def put_header(header):
    text = json.dumps(header).encode()
    prefix = b"LODGESAV" + struct.pack("<III", 1, len(text), crc32c(text))
    return prefix + struct.pack("<I", crc32c(prefix)) + text
