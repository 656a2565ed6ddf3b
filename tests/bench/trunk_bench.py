#!/usr/bin/env python3
"""graft's trunk against ONNX Runtime: same file, same cut, one thread each, in turns within one run.

usage: trunk_bench.py TRUNK_BENCH MODEL CUT [BATCH [ROUNDS]]
Prints milliseconds per batch (median and best of ROUNDS), the ratio, and the largest difference of the outputs relative
to the largest feature. Exit status 1 when outputs differ by more than 1e-3.
"""
import os
import statistics
import subprocess
import sys
import tempfile
import time

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
import numpy as np
import onnx
import onnxruntime as ort


def ort_session(model, cut, folder):
    path = os.path.join(folder, "cut.onnx")
    loaded = onnx.load(model)
    onnx.utils.extract_model(model, path, [loaded.graph.input[0].name], [cut], check_model=False)
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


class Graft:
    def __init__(self, program, model, cut, batch):
        self.pipe = subprocess.Popen([program, model, cut, str(batch)], text=True, stdin=subprocess.PIPE,
                                     stdout=subprocess.PIPE)

    def ask(self, line):
        self.pipe.stdin.write(line + "\n")
        self.pipe.stdin.flush()
        return self.pipe.stdout.readline().strip()


def main():
    program, model, cut = sys.argv[1:4]
    batch = int(sys.argv[4]) if len(sys.argv) > 4 else 32
    rounds = int(sys.argv[5]) if len(sys.argv) > 5 else 15
    inputs = np.random.default_rng(1).standard_normal((batch, 3, 48, 48), dtype=np.float32)
    with tempfile.TemporaryDirectory() as folder:
        session = ort_session(model, cut, folder)
        feed = {session.get_inputs()[0].name: inputs}
        graft = Graft(program, model, cut, batch)
        inputs.tofile(os.path.join(folder, "inputs"))
        graft.ask("inputs " + os.path.join(folder, "inputs"))
        ours, theirs = [], []
        for _ in range(rounds + 2):
            ours.append(float(graft.ask("run 1")))
            start = time.perf_counter()
            output = session.run(None, feed)[0]
            theirs.append(1e3 * (time.perf_counter() - start))
        graft.ask("features " + os.path.join(folder, "features"))
        features = np.fromfile(os.path.join(folder, "features"), dtype=np.float32).reshape(batch, -1)
    expected = output.reshape(batch, output.shape[1], -1).mean(axis=2)
    difference = float(np.abs(features - expected).max() / np.abs(expected).max())
    ours, theirs = ours[2:], theirs[2:]
    print(f"graft_ms median {statistics.median(ours):.2f} best {min(ours):.2f}  "
          f"onnxruntime_ms median {statistics.median(theirs):.2f} best {min(theirs):.2f}  "
          f"ratio median {statistics.median(theirs) / statistics.median(ours):.2f} "
          f"best {min(theirs) / min(ours):.2f}  difference {difference:.1e}")
    return 0 if difference < 1e-3 else 1


if __name__ == "__main__":
    sys.exit(main())
