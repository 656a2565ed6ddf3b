#!/usr/bin/env python3
"""The ONNX project's own tests of graft's operators: make conformance.

usage: conformance.py CONFORMANCE [--sum] [--round-trip [OPSET]]

Sources: what the Python package `onnx` makes at run time (the newest opset of each operator) and ships (models that PyTorch
once exported), and, where installed, Debian's libonnx-testdata (opsets up to 17). A test of a later opset than graft reads,
or an earlier one, is tried as graft's last, or first, where ONNX's checker finds it valid there; else its opset is refused.
A table per operator, then each distinct refusal, then `N passed, M failed, K skipped` (a refusal is none of them). With
--round-trip each model that was read is also written by graft, and ONNX Runtime must get the same from it; with OPSET as that
one, where graft does not say that it can't.
"""
import argparse
import collections
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import numpy as np
import onnx
from onnx import numpy_helper

DEBIAN = pathlib.Path("/usr/share/libonnx-testdata/data/node")
SHIPPED = ("pytorch-converted", "pytorch-operator", "simple")
FIRST_OPSET, LAST_OPSET = 7, 21
# Written models that say what the test says, but not to ONNX Runtime or to ONNX's own shape inference of opset 21.
OTHERS_DIFFER = {
    "resize_downsample_scales_linear_align_corners": "ONNX Runtime rounds the size before it takes the corners",
    "resize_downsample_scales_cubic_align_corners": "ONNX Runtime rounds the size before it takes the corners",
    "averagepool_2d_ceil_last_window_starts_on_pad": "before opset 22 ONNX counts a window that begins in the padding",
    "maxpool_2d_ceil_output_size_reduce_by_one": "before opset 22 ONNX counts a window that begins in the padding",
}
OPERATORS = set("""
    Conv ConvTranspose Gemm MatMul BatchNormalization LayerNormalization InstanceNormalization GroupNormalization Relu LeakyRelu
    PRelu Elu Clip Sigmoid HardSigmoid HardSwish Tanh Erf Gelu Softplus Softmax LogSoftmax Add Sub Mul Div Pow Sqrt Exp Log Neg
    Abs Min Max Where Equal Greater GreaterOrEqual Less LessOrEqual And Or Not Cast CastLike MaxPool AveragePool
    GlobalAveragePool GlobalMaxPool ReduceMean ReduceSum ReduceMax ReduceMin ReduceL2 Flatten Reshape Transpose Squeeze Unsqueeze
    Concat Split Slice Gather GatherElements Expand Tile Shape Size Range Constant ConstantOfShape Identity Dropout Pad Resize
    Upsample ArgMax QuantizeLinear DequantizeLinear Sum Mean IsNaN GatherND""".split())
# What decomposed functions are also made of; graft has these in arithmetic on shapes only.
HELPERS = set("Floor Ceil Mod ReduceProd Round".split())


def opset_of(model):
    return next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), None)


def unchanged(model, opset):
    """Did none of its operators change from its opset to this one?"""
    def version(node, at):
        return onnx.defs.get_schema(node.op_type, at, "").since_version
    return all(version(node, opset) == version(node, opset_of(model)) for node in model.graph.node)


def restate(model):
    """As an opset that graft reads, if that says the same: later opsets mostly add types."""
    opset = opset_of(model)
    if opset is None or FIRST_OPSET <= opset <= LAST_OPSET or (opset < FIRST_OPSET and not unchanged(model, FIRST_OPSET)):
        return model
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    for entry in changed.opset_import:
        if entry.domain in ("", "ai.onnx"):
            entry.version = LAST_OPSET if opset > LAST_OPSET else FIRST_OPSET
    changed.ir_version = min(changed.ir_version, 10)
    try:
        onnx.checker.check_model(changed)
    except Exception:
        return model
    return changed


def operator_of(model):
    """The operator that the test is about; None when it has others than graft's."""
    types = [node.op_type for node in model.graph.node]
    if not types or not set(types) <= OPERATORS | HELPERS or not set(types) & OPERATORS:
        return None
    return types[0] if len(types) == 1 else "(several)"


class Suite:
    def __init__(self, folder):
        self.folder, self.operators, self.folders = pathlib.Path(folder), {}, []

    def add(self, name, model, sets):
        """sets: folders of data, or lists of (input, output) arrays."""
        operator = operator_of(model)
        if operator is None:
            return
        folder = self.folder / name
        folder.mkdir()
        (folder / "model.onnx").write_bytes(restate(model).SerializeToString())
        for number, data in enumerate(sets):
            target = folder / f"test_data_set_{number}"
            if isinstance(data, pathlib.Path):
                target.symlink_to(data)
                continue
            target.mkdir()
            for kind, values, infos in (("input", data[0], model.graph.input), ("output", data[1], model.graph.output)):
                for i, value in enumerate(values):
                    (target / f"{kind}_{i}.pb").write_bytes(serialise(value, infos[i]))
        self.operators[name] = operator
        self.folders.append(folder)

    def add_folder(self, prefix, folder):
        model = folder / "model.onnx"
        sets = sorted(folder.glob("test_data_set_*"))
        if model.exists() and sets:
            self.add(prefix + folder.name, onnx.load(model), sets)


def serialise(value, info):
    if isinstance(value, onnx.TensorProto):
        return value.SerializeToString()
    if value is None or isinstance(value, (list, dict)):
        return b"\xff"  # sequences, maps and optionals are no tensors: the tool says so
    return numpy_helper.from_array(np.asarray(value), info.name).SerializeToString()


def collect(suite):
    from onnx.backend.test.case.node import collect_testcases
    for case in collect_testcases(None):
        if case.model is not None and case.kind == "node":
            suite.add(case.name, case.model, case.data_sets)
    shipped = pathlib.Path(onnx.__file__).parent / "backend/test/data"
    for kind in SHIPPED:
        for folder in sorted((shipped / kind).glob("test_*")):
            suite.add_folder(f"{kind}.", folder)
    for folder in sorted(DEBIAN.glob("test_*")) if DEBIAN.exists() else ():
        suite.add_folder("debian.", folder)


def run(program, suite, written, opset):
    command = [program] + (["--write", written, str(opset)] if written else [])
    got = subprocess.run(command, input="".join(f"{folder}\n" for folder in suite.folders), text=True, capture_output=True)
    results = {}
    for line in got.stdout.splitlines():
        found = re.match(r"(ok|partly|refused|FAIL) ([^ :]+)(?:: (.*))?$", line)
        if found:
            results[found.group(2)] = (found.group(1), found.group(3) or "")
    unsaid = [line for line in got.stderr.splitlines() if line.startswith("unsaid ")]
    if unsaid:
        words = sorted({re.sub(r".*[(](\w+)[)].* for ", r"\1: ", line) for line in unsaid})
        print(f"{len(unsaid)} outputs that opset {opset} has no words for ({', '.join(words)})")
    if len(unsaid) < got.stderr.count("\n"):
        print(got.stderr.strip()[-2000:])
    for folder in suite.folders:
        results.setdefault(folder.name, ("FAIL", "no answer"))
    return results


def close(got, expected):
    return got.shape == expected.shape and got.dtype == expected.dtype and np.allclose(
        got, expected, rtol=1e-3, atol=1e-5, equal_nan=True) if got.dtype.kind == "f" else np.array_equal(got, expected)


def tensor(path):
    return numpy_helper.to_array(onnx.load_tensor(path))


def round_trip_one(path, folder):
    import onnxruntime as ort
    options = ort.SessionOptions()
    options.log_severity_level = 4
    loaded = onnx.load(path)
    onnx.checker.check_model(loaded, full_check=True)
    original = onnx.load(folder / "model.onnx")
    names = [i.name for i in original.graph.input]
    data = folder / "test_data_set_0"
    session = ort.InferenceSession(loaded.SerializeToString(), options)
    feeds = {i.name: tensor(data / f"input_{names.index(i.name)}.pb") for i in session.get_inputs()}
    got = session.run(None, feeds)[0]
    expected = tensor(data / f"output_{path.name.split('.')[-2]}.pb")
    return "" if close(got, expected) else "other values"


def round_trip(written, suite):
    """Of what graft wrote, what ONNX Runtime does not take or computes otherwise."""
    wrong, count = [], 0
    for path in sorted(pathlib.Path(written).glob("*.onnx")):
        folder = suite.folder / path.name.rsplit(".", 2)[0]
        if folder.name.partition("test_")[2] in OTHERS_DIFFER:
            continue
        count += 1
        try:
            why = round_trip_one(path, folder)
        except Exception as problem:
            why = str(problem).strip().split("\n")[0][:200]
        if why:
            wrong.append(f"{path.name}: {why}")
    return wrong, count


def reason(text):
    """Without the names of this test."""
    text = re.sub(r"node \S+ \((\w+)\)", r"\1", text)
    return re.sub(r"(input|tensor|Split|output) [\w.:/]+(?= )", r"\1 …", text)


def report(suite, results):
    table = collections.defaultdict(collections.Counter)
    refusals = collections.defaultdict(list)
    for name, (verdict, why) in results.items():
        table[suite.operators[name]][verdict] += 1
        if verdict in ("refused", "partly"):
            refusals[reason(why)].append(name)
    print(f"{'operator':24s} passed  first output only  not supported  failed")
    for operator in sorted(table):
        row = table[operator]
        print(f"{operator:24s} {row['ok']:6d} {row['partly']:18d} {row['refused']:14d} {row['FAIL']:7d}")
    print("\nnot supported:")
    for why, names in sorted(refusals.items(), key=lambda item: -len(item[1])):
        print(f"{len(names):5d}  {why}  ({names[0]})")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--sum", action="store_true", help="only failures and the sum")
    parser.add_argument("--round-trip", type=int, nargs="?", const=0, metavar="OPSET")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        suite = Suite(os.path.join(folder, "cases"))
        suite.folder.mkdir()
        written = os.path.join(folder, "written") if arguments.round_trip is not None else None
        if written:
            os.mkdir(written)
        collect(suite)
        results = run(arguments.program, suite, written, arguments.round_trip)
        if not arguments.sum:
            report(suite, results)
        count = collections.Counter(verdict for verdict, _ in results.values())
        for name, (verdict, why) in results.items():
            if verdict == "FAIL":
                print(f"FAIL {name}: {why}")
        if written:
            wrong, tried = round_trip(written, suite)
            for line in wrong:
                print(f"FAIL written {line}")
            print(f"{tried - len(wrong)} of {tried} written models run in ONNX Runtime with the same result")
            count["FAIL"] += len(wrong)
    print(f"{count['refused']} refused by name, {count['partly']} in further outputs")
    print(f"{count['ok']} passed, {count['FAIL']} failed, 0 skipped")
    return 1 if count["FAIL"] else 0


if __name__ == "__main__":
    sys.exit(main())
