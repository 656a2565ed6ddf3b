#!/usr/bin/env python3
"""Training of whole networks against PyTorch: the gradients of one step, and twenty steps of SGD.

usage: train.py TRAIN [NETWORK…]        (TRAIN: the program of tests/networks/train.c; needs what export.py needs)

Every parameter of PyTorch's is live, normalisation statistics are frozen. Per network: the largest distance of a tensor's
gradient from PyTorch's, relative to its norm (tensors below 1e-5 of the largest are noise in both); the largest difference of a
loss in twenty steps relative to the first; the distance of the final weights relative to the way that they went. Limits: 1e-3,
1 %, 1 %. A network with kinks (ReLU) turns the last bits of an activation into whole gradients, and twenty steps into more: where
a limit is passed, float64 is the judge, and graft must be as near to it as PyTorch's own float32 is, within a half.
"""
import copy
import os
import pathlib
import subprocess
import sys
import tempfile
import warnings

os.environ["OMP_NUM_THREADS"] = "1"
import numpy as np
import onnx
import torch

from export import NETWORKS

BATCH, CLASSES, STEPS = 4, 5, 20
USUAL_RATE = 1e-3
RATES = {"vit_tiny": 1e-2, "unet": 1e-2}


class Headed(torch.nn.Module):
    def __init__(self, network, weight, bias):
        super().__init__()
        self.network = network
        self.weight, self.bias = torch.nn.Parameter(torch.tensor(weight)), torch.nn.Parameter(torch.tensor(bias))

    def forward(self, *values):
        return self.network(*values).flatten(1) @ self.weight.T + self.bias


def export(network, values, names, path):
    """Weights stay as they are: no folding of transposes into them."""
    axes = {name: {0: "batch"} for name in [*names, "y"]}
    torch.onnx.export(network, values, path, input_names=names, output_names=["y"], dynamo=False, opset_version=17,
                      do_constant_folding=False, dynamic_axes=axes, verbose=False)


def distinct(network):
    """The exporter keeps equal tensors once: no two scales or shifts may be the same, nor layers that were made as copies."""
    seen = []
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.dim() < 2 or parameter.max() == parameter.min() or any(torch.equal(parameter, other) for other in seen):
                parameter += 0.05 * torch.randn_like(parameter)
            seen.append(parameter)
    return network


def calibrated(network, inputs):
    """Normalisation statistics as training leaves them: else activations explode and float32 is noise for both sides."""
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None  # the mean over batches
    network.train()
    with torch.no_grad():
        for _ in range(4):
            network(*inputs(8)[0])
    return network.eval()


def parameters_in(path, network):
    names = {name for name, _ in network.named_parameters()}
    return [tensor.name for tensor in onnx.load(path).graph.initializer if tensor.name in names]


def shape_of(values):
    if len(values) > 1 or values[0].dim() == 2:
        return 1, 1, sum(v[0].numel() for v in values)
    size = list(values[0].shape[1:])
    return [1] * (3 - len(size)) + size


def run_graft(program, path, live, values, labels, rate, folder):
    raw = np.concatenate([v.numpy().astype(np.float32).reshape(BATCH, -1) for v in values], 1)
    raw.tofile(folder / "inputs")
    labels.numpy().astype(np.int32).tofile(folder / "labels")
    arguments = (program, path, BATCH, *shape_of(values), CLASSES, folder / "inputs", folder / "labels", STEPS, rate, folder, *live)
    done = subprocess.run([str(argument) for argument in arguments], text=True, capture_output=True)
    if done.returncode != 0:
        raise RuntimeError((done.stdout or done.stderr).strip()[:300])
    losses, tensors, at = [], {}, 0
    vectors = {name: np.fromfile(folder / name, np.float32) for name in ("initial", "gradient", "final")}
    for line in done.stdout.splitlines():
        name, number = line.rsplit(" ", 1)
        if name == "loss":
            losses.append(float(number))
        else:
            tensors[name] = {kind: vector[at:at + int(number)] for kind, vector in vectors.items()}
            at += int(number)
    return losses, tensors


def flat(tensor):
    return tensor.detach().numpy().reshape(-1).astype(np.float64)


class Run:
    """Losses, the first gradients and the final weights of one side, by name."""

    def __init__(self, losses, gradients, final):
        self.losses, self.gradients, self.final = losses, gradients, final

    def distance(self, other, start):
        """Largest relative distance of a gradient and where, of a loss, and of the final weights relative to their way."""
        norms = {n: np.linalg.norm(g) for n, g in other.gradients.items()}
        live = [n for n in norms if norms[n] > 1e-5 * max(norms.values())]
        gradient, where = max((np.linalg.norm(self.gradients[n] - other.gradients[n]) / norms[n], n) for n in live)
        loss = max(abs(a - b) / abs(other.losses[0]) for a, b in zip(self.losses, other.losses))
        off = sum(np.sum((self.final[n] - other.final[n]) ** 2) for n in norms)
        way = sum(np.sum((start[n] - other.final[n]) ** 2) for n in norms)
        return gradient, loss, (off / way) ** 0.5, where, len(live)


def run_torch(headed, names, values, labels, rate, dtype):
    headed = copy.deepcopy(headed).to(dtype)
    values = [v.to(dtype) if v.is_floating_point() else v for v in values]
    parameters = {n: p for n, p in headed.named_parameters() if n in names}
    losses, first = [], None
    optimizer = torch.optim.SGD(parameters.values(), lr=rate)
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(headed(*values), labels)
        loss.backward()
        losses.append(loss.item())
        first = first or {n: flat(p.grad) for n, p in parameters.items() if p.grad is not None}
        optimizer.step()
    return Run(losses, first, {n: flat(p) for n, p in parameters.items()})


def compare(name, program, folder):
    make, inputs = NETWORKS[name]
    torch.manual_seed(0)
    network = calibrated(distinct(make()), inputs)
    values, names = inputs(BATCH)
    values = tuple(v.clamp(min=1) if n == "input_ids" else v for v, n in zip(values, names))  # PyTorch does not train the padding
    labels, rate = torch.randint(0, CLASSES, (BATCH,)), RATES.get(name, USUAL_RATE)
    path = folder / "net.onnx"
    export(network, values, names, str(path))
    losses, tensors = run_graft(program, path, parameters_in(path, network), values, labels, rate, folder)
    *body, weight, bias = tensors  # the new head comes last
    headed = Headed(network, tensors[weight]["initial"].reshape(CLASSES, -1), tensors[bias]["initial"])
    theirs = {**{n: "network." + n for n in body}, weight: "weight", bias: "bias"}
    start = {n: flat(p) for n, p in headed.named_parameters()}
    missing = [n for n in start if n not in theirs.values()]
    assert all(np.array_equal(start[theirs[n]], tensors[n]["initial"]) for n in theirs), "the exporter changed a weight"
    ours = Run(losses, *({theirs[n]: tensors[n][kind].astype(np.float64) for n in theirs} for kind in ("gradient", "final")))
    single = run_torch(headed, ours.final, values, labels, rate, torch.float32)
    double = run_torch(headed, ours.final, values, labels, rate, torch.float64)
    gradient, loss, weights, where, seen = ours.distance(single, start)
    own = single.distance(double, start)
    exact = ours.distance(double, start)
    good = all(value < limit or mine < 1.5 * its for value, limit, mine, its in
               zip((gradient, loss, weights), (1e-3, 1e-2, 1e-2), exact, own))
    return good, (f"{len(theirs):4} tensors, {seen} compared: gradient {gradient:.1e} ({where}), loss {loss:.1e} ({single.losses[0]:.2f} "
                  f"to {single.losses[-1]:.2f}), weights {weights:.1e}; from float64 {exact[0]:.1e} {exact[1]:.1e} {exact[2]:.1e}, "
                  f"PyTorch's {own[0]:.1e} {own[1]:.1e} {own[2]:.1e}" + (f"; not live: {missing[:3]}" if missing else ""))


def main():
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    failed = 0
    for name in sys.argv[2:] or NETWORKS:
        with tempfile.TemporaryDirectory() as folder:
            try:
                good, line = compare(name, sys.argv[1], pathlib.Path(folder))
            except Exception as problem:
                good, line = False, str(problem).strip().splitlines()[0][:200]
        failed += not good
        print(f"{'ok  ' if good else 'FAIL'} {name:20} {line}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
