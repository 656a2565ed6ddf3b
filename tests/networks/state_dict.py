#!/usr/bin/env python3
"""What `graft export --safetensors` makes of PyTorch's own ONNX files goes back into the network it came from.

usage: state_dict.py GRAFT

A small network of convolutions, linear layers on rows (whose weights exporters fold and rename), layer normalisations; written
by the TorchScript exporter with and without folding and, where onnxscript is installed, by the one of torch.export. The state
dict must load strictly and equal the network's, and the ONNX file of opset 17 must give its outputs.
"""
import logging
import pathlib
import subprocess
import sys
import tempfile
import warnings

import onnx
import onnxruntime
import torch
from safetensors.torch import load_file
from torch import nn


class Block(nn.Module):
    def __init__(self, width, bias):
        super().__init__()
        self.norm, self.mix = nn.LayerNorm(width), nn.Linear(width, width, bias=bias)
        self.mlp = nn.Sequential(nn.Linear(width, 3 * width), nn.GELU(), nn.Sequential(nn.Linear(3 * width, width)))

    def forward(self, x):
        y = self.norm(x)
        return x + self.mlp(self.mix(y).softmax(-1) * y)


class Network(nn.Module):
    def __init__(self, bias):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(), nn.Conv2d(8, 8, 3, groups=8, bias=False))
        self.blocks = nn.ModuleList(Block(8, bias) for _ in range(2))
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        x = self.stem(x).flatten(2).transpose(1, 2)
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean(1))


def make(bias):
    network = Network(bias).eval()
    with torch.no_grad():
        for parameter in network.parameters():  # no two alike: exporters merge what is equal
            parameter.add_(0.1 * torch.randn_like(parameter))
    return network


def normalised():
    """With a batch normalisation, which stays beside its convolution when nothing is folded."""
    network = make(True)
    network.stem[1] = nn.BatchNorm2d(8)
    for buffer in (network.stem[1].running_mean, network.stem[1].running_var, network.stem[1].weight.data, network.stem[1].bias.data):
        buffer.add_(torch.rand_like(buffer))
    return network.eval()


def torchscript(network, x, path, **options):
    torch.onnx.export(network, x, path, dynamo=False, opset_version=17, input_names=["x"], dynamic_axes={"x": {0: "N"}}, **options)


def torch_export(network, x, path):
    torch.onnx.export(network, (x,), path, dynamo=True, opset_version=18, input_names=["x"], external_data=False, verbose=False,
                      dynamic_shapes=({0: torch.export.Dim("N")},))


def check(graft, network, write, folder):
    x, file = torch.randn(2, 3, 16, 16), folder / "m.onnx"
    write(network, x, str(file))
    subprocess.run([graft, "export", file, "--onnx", folder / "o.onnx", "--safetensors", folder / "s.safetensors"], check=True)
    state = load_file(folder / "s.safetensors")
    wanted = {name: value for name, value in network.state_dict().items() if not name.endswith("num_batches_tracked")}
    network.load_state_dict({**state})  # strict
    assert state.keys() == wanted.keys(), state.keys() ^ wanted.keys()
    for name, value in wanted.items():
        assert torch.equal(state[name], value), name
    onnx.checker.check_model(str(folder / "o.onnx"), full_check=True)
    with torch.no_grad():
        expected = network(x).numpy()
    got = onnxruntime.InferenceSession(folder / "o.onnx", providers=["CPUExecutionProvider"]).run(None, {"x": x.numpy()})[0]
    assert abs(got - expected).max() < 1e-5, abs(got - expected).max()


def main():
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    torch.manual_seed(1)
    unfolded = {"do_constant_folding": False, "training": torch.onnx.TrainingMode.PRESERVE}
    cases = [("TorchScript, folded", make(True), torchscript, {}), ("TorchScript, folded, no bias", make(False), torchscript, {}),
             ("TorchScript, as it is", make(True), torchscript, unfolded),
             ("TorchScript, as it is, batch normalisation", normalised(), torchscript, unfolded)]
    try:
        import onnxscript  # noqa: F401
        cases.append(("torch.export", make(True), torch_export, {}))
    except ImportError:
        print("no onnxscript: torch.export's files are not tried")
    passed = 0
    for name, network, write, options in cases:
        with tempfile.TemporaryDirectory() as folder:
            try:
                check(sys.argv[1], network, lambda n, x, p: write(n, x, p, **options), pathlib.Path(folder))
                passed += 1
                print(f"ok   {name}")
            except Exception as problem:  # noqa: BLE001 - the next is still tried
                print(f"FAIL {name}: {problem}")
    print(f"{passed} passed, {len(cases) - passed} failed, 0 skipped")
    return passed != len(cases)


if __name__ == "__main__":
    sys.exit(main())
