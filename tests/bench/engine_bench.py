#!/usr/bin/env python3
"""graft's engine against PyTorch (eager and compiled) and ONNX Runtime: same networks, same batch, one thread each, in turns within
one run; outputs compared too. Needs torch (scripts/setup bench).

usage: engine_bench.py ENGINE_BENCH [--rounds N] [--batch N] [--rows trunk,half,step,tune,cache] [NETWORK…]

Rows: trunk (forward), half (the same in bfloat16), step (one step of SGD, the last block and a new head live), tune (everything live), cache (the new head
alone, from features in memory). Figures are medians of processor time, since the machine may be shared; "peak" is the share of
what a bare matrix product reaches in the same run. Exit status 1 when outputs differ by more than 1e-3 (in
bfloat16, by twice what PyTorch's do).
"""
import argparse
import copy
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1", TORCHINDUCTOR_COMPILE_THREADS="1")
warnings.filterwarnings("ignore")
try:
    import numpy as np
    import onnxruntime as ort
    import torch
    from torch.utils.flop_counter import FlopCounterMode
except ImportError as problem:
    sys.exit(f"engine_bench: {problem}: scripts/setup bench installs what is compared with")
import networks

CLASSES, RATE, TOLERANCE, CACHED_STEPS = 10, 1e-5, 1e-3, 50
torch.set_num_threads(1)


class Graft:
    def __init__(self, program, dtype, model, batch, sample, live=()):
        self.pipe = subprocess.Popen([program, dtype, model, "", str(batch), *map(str, sample), *live], text=True,
                                     stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, line):
        self.pipe.stdin.write(line + "\n")
        self.pipe.stdin.flush()
        answer = self.pipe.stdout.readline().strip()
        if answer != "ok":
            self.pipe.stdout.readline()
        return answer

    def give(self, what, array, folder):
        path = os.path.join(folder, what)
        array.astype(np.float32).tofile(path)
        self.ask(f"{what} {path}")

    def take(self, what, folder):
        path = os.path.join(folder, what)
        self.ask(f"{what} {path}")
        return np.fromfile(path, np.float32)

    def time(self, what, count=1):
        return statistics.median(map(float, self.ask(f"{what} {count}").split()))

    def close(self):
        self.pipe.stdin.close()
        self.pipe.wait()


def timed(work):
    def once():
        start = time.process_time()
        work()
        return 1e3 * (time.process_time() - start)
    return once


def in_turns(contestants, rounds):
    for work in contestants.values():
        work()
    times = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, work in contestants.items():
            times[name].append(work())
    return {name: statistics.median(values) for name, values in times.items()}


class Learner:
    """PyTorch's training: a network whose live part is `live` and a new head."""

    def __init__(self, network, head, x, labels, live):
        self.network, self.head, self.x, self.labels = network, head, x, labels
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(name.startswith(live))
        alive = [p for p in network.parameters() if p.requires_grad]
        self.optimizer = torch.optim.SGD([*alive, *head.parameters()], lr=RATE)

    def step(self):
        self.optimizer.zero_grad()
        torch.nn.functional.cross_entropy(self.head(self.network(self.x)), self.labels).backward()
        self.optimizer.step()


class Bench:
    def __init__(self, options, name, folder):
        self.options, self.name, self.folder = options, name, folder
        self.network, self.x = networks.make(name, options.batch)
        self.model = os.path.join(folder, "model.onnx")
        networks.export(self.network, self.x, self.model)
        self.sample = (self.x.shape[1], 1, 1) if self.x.ndim == 2 else (self.x.shape[3], self.x.shape[2], self.x.shape[1])
        with torch.inference_mode():
            self.width = self.network(self.x[:1]).shape[1]
        self.labels = torch.arange(options.batch) % CLASSES
        self.start = torch.nn.Linear(self.width, CLASSES)
        self.bad = False

    def graft(self, live=(), dtype="float32"):
        graft = Graft(self.options.program, dtype, self.model, self.options.batch, self.sample, live)
        graft.give("inputs", self.x.numpy(), self.folder)
        graft.give("labels", self.labels.numpy(), self.folder)
        head = [p.detach().numpy().ravel() for p in self.start.parameters()]
        graft.give("head", np.concatenate(head), self.folder)
        return graft

    def learner(self, network, x, live):
        head = torch.nn.Linear(self.width, CLASSES)
        head.load_state_dict(self.start.state_dict())
        return Learner(network, head, x, self.labels, live)

    def report(self, row, times, flops, difference, tolerance=TOLERANCE, peak=None):
        self.bad |= not difference < tolerance
        ours = times["graft"]
        peers = "  ".join(f"{name} {ms:.4g} ms ×{ms / ours:.2f}" for name, ms in times.items() if name != "graft")
        share = f"{1e5 * flops / (ours * (peak or self.options.peak)):.0f} % of peak" if flops else ""
        print(f"{self.name:18s} {row:5s}  graft {ours:.4g} ms  {peers}  {share}  difference {difference:.0e} (allowed {tolerance:.0e})", flush=True)

    def flops(self, blocks):
        """Of a forward through the first blocks (the counter does not know the groups of a backward), in 10⁹."""
        network = copy.copy(self.network)
        network._modules = {**network._modules, "blocks": self.network.blocks[:blocks]}
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            network(self.x)
        return counter.get_total_flops() / 1e9

    def session(self):
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        return ort.InferenceSession(self.model, options, providers=["CPUExecutionProvider"])

    def trunk(self):
        graft, session, feed = self.graft(), self.session(), {"x": self.x.numpy()}
        compiled = torch.compile(self.network)
        with torch.inference_mode():
            expected = self.network(self.x).numpy()
            times = in_turns({"graft": lambda: graft.time("run"), "eager": timed(lambda: self.network(self.x)),
                              "compile": timed(lambda: compiled(self.x)), "onnxruntime": timed(lambda: session.run(None, feed))},
                             self.options.rounds)
        got = graft.take("features", self.folder).reshape(expected.shape)
        self.report("trunk", times, self.flops(None), np.abs(got - expected).max() / np.abs(expected).max())
        graft.close()

    def half(self):
        """Its rounding may cost twice what PyTorch's bfloat16 does: deep networks of random weights amplify it."""
        if self.options.peak_half == 0:
            print(f"{self.name:18s} half   this processor does not multiply bfloat16")
            return
        graft = self.graft(dtype="bfloat16")
        with torch.inference_mode():
            expected = self.network(self.x).numpy()
            times = in_turns({"graft": lambda: graft.time("run"), "eager fp32": timed(lambda: self.network(self.x))},
                             self.options.rounds)
        got = graft.take("features", self.folder).reshape(expected.shape)
        with torch.inference_mode():
            x = self.x if self.x.dtype == torch.int64 else self.x.bfloat16()
            theirs = copy.deepcopy(self.network).bfloat16()(x).float().numpy()
        error, allowed = (np.abs(y - expected).max() / np.abs(expected).max() for y in (got, theirs))
        self.report("half", times, self.flops(None), error, 2 * allowed, self.options.peak_half)
        graft.close()

    def training(self, row, live, patterns, first_live):
        graft, network = self.graft(patterns), copy.deepcopy(self.network)
        learner = self.learner(network, self.x, live)
        times = in_turns({"graft": lambda: graft.time("step"), "eager": timed(learner.step)}, self.options.rounds)
        with torch.no_grad():
            expected = learner.head(network(self.x)).numpy()
        got = graft.take("logits", self.folder).reshape(expected.shape)
        flops = 3 * self.flops(None) - 2 * (self.flops(first_live) if first_live else 0)
        self.report(row, times, flops, np.abs(got - expected).max() / np.abs(expected).max())
        graft.close()

    def step(self):
        last = f"blocks.{len(self.network.blocks) - 1}."
        self.training("step", last, [last + "*"], len(self.network.blocks) - 1)

    def tune(self):
        self.training("tune", "", ["*"], 0)

    def cache(self):
        graft = self.graft()
        graft.time("run")
        features = torch.from_numpy(graft.take("features", self.folder).reshape(self.options.batch, -1))
        learner, whole = self.learner(torch.nn.Identity(), features, ""), self.learner(self.network, self.x, "none")

        def epoch():
            order = torch.randperm(len(features))
            learner.x, learner.labels = features[order], self.labels[order]
            learner.step()
        times = in_turns({"graft": lambda: graft.time("epoch", CACHED_STEPS),
                          "PyTorch from memory": lambda: statistics.median(timed(epoch)() for _ in range(CACHED_STEPS)),
                          "eager, trunk recomputed": timed(whole.step)}, self.options.rounds)
        with torch.no_grad():
            expected = learner.head(features).numpy()
        got = graft.take("logits", self.folder).reshape(expected.shape)
        self.report("cache", times, 0, np.abs(got - expected).max() / np.abs(expected).max())
        graft.close()


def peaks(options, bench):
    graft = bench.graft()
    options.peak, options.peak_half, copy = map(float, graft.ask("peak").split())
    graft.close()
    print(f"PyTorch {torch.__version__}, ONNX Runtime {ort.__version__}, batch {options.batch}, 1 thread, median of "
          f"{options.rounds} turns; bare product {options.peak:.0f} GFLOP/s (bfloat16: {options.peak_half:.0f}), bare copy {copy:.1f} GB/s", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rows", default="trunk,half,step,tune,cache")
    parser.add_argument("networks", nargs="*")
    options, bad = parser.parse_intermixed_args(), False
    for name in options.networks or networks.NETWORKS:
        with tempfile.TemporaryDirectory() as folder:
            bench = Bench(options, name, folder)
            peaks(options, bench)
            for row in options.rows.split(","):
                getattr(bench, row)()
            bad |= bench.bad
    return bad


if __name__ == "__main__":
    sys.exit(main())
