#!/usr/bin/env python3
"""Networks of tests/networks/export.py: does graft read them, and does its forward agree with ONNX Runtime's?

usage: compare.py FORWARD FOLDER

Per file: nodes, largest difference relative to the largest output for a batch of 3 samples (of 1 where the file says 1, each
sample by itself, against graft's 3 at once), and the same for the file that graft writes back, run by ONNX Runtime.
"""
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime as ort

BATCH, TOLERANCE = 3, 1e-3


def inputs_of(session, random):
    feeds = {}
    for port in session.get_inputs():
        shape = [BATCH] + [int(size) for size in port.shape[1:]]
        if port.type == "tensor(float)":
            feeds[port.name] = random.standard_normal(shape).astype(np.float32)
        elif "mask" in port.name:
            feeds[port.name] = np.ones(shape, np.int64)
            feeds[port.name][:, shape[1] - 2:] = 0
        else:
            feeds[port.name] = random.integers(0, 2 if "type" in port.name else 1000, shape)
    return feeds


def run(session, feeds):
    if session.get_inputs()[0].shape[0] == 1:
        return np.concatenate([session.run(None, {k: v[i:i + 1] for k, v in feeds.items()})[0] for i in range(BATCH)])
    return session.run(None, feeds)[0]


def difference(got, expected):
    return float(np.abs(got.reshape(-1) - expected.reshape(-1)).max() / np.abs(expected).max()) if got.size == expected.size else np.inf


def check(program, path, folder):
    options = ort.SessionOptions()
    options.log_severity_level = 4
    session = ort.InferenceSession(str(path), options)
    feeds = inputs_of(session, np.random.default_rng(0))
    expected = run(session, feeds)
    raw, result, written = (f"{folder}/{name}" for name in ("in", "out", "written.onnx"))
    np.concatenate([feeds[port.name].astype(np.float32).reshape(-1) for port in session.get_inputs()]).tofile(raw)
    got = subprocess.run([program, path, str(BATCH), raw, result, written], text=True, capture_output=True)
    if got.returncode != 0:
        return False, "refused: " + (got.stdout or got.stderr).strip()[:300]
    worst = difference(np.fromfile(result, np.float32), expected)
    onnx.checker.check_model(written)
    again = difference(run(ort.InferenceSession(written, options), feeds), expected)
    return max(worst, again) < TOLERANCE, f"{got.stdout.split(',')[0]:12s} {worst:.1e}  written {again:.1e}"


def main():
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for path in sorted(pathlib.Path(sys.argv[2]).glob("*.onnx")):
            good, text = check(sys.argv[1], path, folder)
            results.append(good)
            print(f"{'ok  ' if good else 'FAIL'} {path.stem:36s} {text}", flush=True)
    print(f"{sum(results)} passed, {len(results) - sum(results)} failed, 0 skipped")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
