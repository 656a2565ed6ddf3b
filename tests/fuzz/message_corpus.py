#!/usr/bin/env python3
"""Writes the seeds of message_fuzz into corpus/message: one header of each shape, in MessagePack by hand."""
import pathlib
import re
import struct

OUT = pathlib.Path(__file__).parent / "corpus/message"
MESSAGES = pathlib.Path(__file__).parents[2] / "common/wire/message.h"
PROTOCOL = int(re.search(r"#define WIRE_PROTOCOL (\d+)", MESSAGES.read_text())[1])
NOBODY = 2**32 - 1


def pack(value):
    if isinstance(value, int):
        return bytes([value]) if value < 128 else b"\xcf" + struct.pack(">Q", value)
    if isinstance(value, str):
        return bytes([0xA0 + len(value)]) + value.encode()
    if isinstance(value, bytes):
        return b"\xc4" + bytes([len(value)]) + value
    return bytes([0x90 + len(value)]) + b"".join(pack(item) for item in value)


def each(*numbers):
    """A list of numbers, as the codec writes it: every element is a struct."""
    return [[number] for number in numbers]


def header(kind, frames, body):
    return pack([PROTOCOL, kind, 2**63 + 5, 7, 1, 2, 3, frames, body])


SEEDS = {
    "hello": header(1, [], [1, 4711, "host", "tcp://127.0.0.1:1", "graft"]),
    "ready": header(2, [], [bytes(32), bytes(range(32))]),
    "failed": header(3, [], ["out of luck"]),
    "heartbeat": header(4, [], [1, 2, 3]),
    "loaded": header(5, [], [3, 0, 1, 2]),
    "snapshot": header(6, [8, 8], [9, 0, 1, [[0, 1]]]),
    "view": header(34, [], [[[1, 5, "tcp://a:1"]], [[2, 6, ""], [3, 7, ""]], each(2, 3, 2, 3), [[0, 1], [1, NOBODY]]]),
    "viewed": header(10, [], []),
    "synced": header(11, [], [3, 77]),
    "load": header(35, [400, 400], [3, 0, 0, 8, 2, 1, 1, 7, 1, 0, 1, [[0, 0, 100, 1, 0, 1], [1, 2, 12, 0, 0, 0]]]),
    "take": header(36, [], [3, 9]),
    "task": header(37, [4000], [3, 1, 1, 2, 30, 1, 7, each(1, 2), each(0, 1, 0), each(0, 7)]),
    "pull": header(64, [], [7, 1]),
    "push": header(65, [400, 400], [9, 4, 2, [[0, 0, 16], [0, 1, 16]]]),
    "weights": header(66, [400], [10, each(0)]),
    "wanted": header(68, [], [7, each(0, 3), each(1)]),
    "update": header(69, [400, 400], [3, 5, [[0, 0, 16, 7], [0, 1, 16, 7]]]),
    "clocks": header(70, [400], [3, each(5, 6), [[0, 11]]]),
    "replicate": header(71, [400], [3, 1, 9, 0x3F800000, [[0, 0, 16]]]),
    "ack": header(72, [], [3, 1, 9]),
    "norms": header(73, [16], [9, 1, each(0, 1)]),
    "ask": header(96, [], [4, 0, 3, 2]),
    "decline": header(98, [], ["no"]),
}

OUT.mkdir(parents=True, exist_ok=True)
for name, data in SEEDS.items():
    (OUT / name).write_bytes(data)
