#!/usr/bin/env python3
"""Writes the seeds of safetensors_fuzz into corpus/safetensors: small files, right and wrong."""
import json
import pathlib
import struct

OUT = pathlib.Path(__file__).parent / "corpus/safetensors"


def file(header, data):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def tensor(dtype, shape, start, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


SEEDS = {
    "one": file({"w": tensor("F32", [2, 3], 0, 24)}, bytes(24)),
    "more": file({"__metadata__": {"format": "pt"}, "a": tensor("I64", [1], 0, 8), "b": tensor("F16", [3], 8, 14),
                  "c": tensor("U8", [2], 14, 16), "scalar": tensor("F32", [], 16, 20), "none": tensor("F32", [0, 4], 20, 20)},
                 bytes(20)),
    "empty": file({}, b""),
    "overlap": file({"a": tensor("F32", [1], 0, 4), "b": tensor("F32", [1], 2, 6)}, bytes(6)),
    "huge": file({"a": tensor("F32", [2**62, 4], 0, 16)}, bytes(16)),
    "negative": file({"a": tensor("F32", [-1], 0, 4)}, bytes(4)),
    "twice": file(b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}', b"x"),
    "escape": file({"\u00e9\u4e2d\"\\": tensor("U8", [1], 0, 1)}, b"x"),
    "long": struct.pack("<Q", 2**63) + b"{}",
    "short": b"\x01\x00",
}

OUT.mkdir(parents=True, exist_ok=True)
for name, data in SEEDS.items():
    (OUT / name).write_bytes(data)
