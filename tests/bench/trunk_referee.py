#!/usr/bin/env python3
"""ONNX Runtime as referee over single operators: reader, shape rules, trunk and writer against an implementation that
is not ours. Each case is a small random model; compared are the features, and the logits of the exported model.

usage: trunk_referee.py TRUNK_BENCH
"""
import os
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

SIZE, BATCH, TOLERANCE = 12, 3, 1e-5
random = np.random.default_rng(0)
node = helper.make_node


def floats(name, *shape, scale=0.3, mean=0.0):
    return numpy_helper.from_array((mean + scale * random.standard_normal(shape)).astype(np.float32), name)


def number(name, value):
    return floats(name, scale=0, mean=value)


def ints(name, *values):
    return numpy_helper.from_array(np.array(values, np.int64), name)


def session(path):
    options = ort.SessionOptions()
    options.log_severity_level = 3
    return ort.InferenceSession(path, options)


def check(program, folder, name, nodes, initializers, opset):
    model, exported, inputs, features = (os.path.join(folder, f) for f in ("m.onnx", "e.onnx", "x", "f"))
    output = helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, name, [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, SIZE, SIZE])],
                              [output], initializers)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8), model)
    x = random.standard_normal((BATCH, 3, SIZE, SIZE)).astype(np.float32)
    x.tofile(inputs)
    commands = f"inputs {inputs}\nrun 1\nfeatures {features}\nexport {exported}\n"
    subprocess.run([program, model, "", str(BATCH), str(SIZE)], input=commands, text=True, check=True,
                   stdout=subprocess.DEVNULL)
    y = session(model).run(None, {"x": x})[0]
    expected = y.reshape(BATCH, y.shape[1], -1).mean(2) if y.ndim > 2 else y
    got = np.fromfile(features, np.float32).reshape(BATCH, -1)
    loaded = onnx.load(exported)
    onnx.checker.check_model(loaded, full_check=True)
    weights = {i.name: numpy_helper.to_array(i) for i in loaded.graph.initializer}
    logits = session(exported).run(None, {"x": x})[0]
    wanted = expected @ weights["head.weight"].T + weights["head.bias"]
    worst = max(np.abs(got - expected).max() / np.abs(expected).max(), np.abs(logits - wanted).max())
    print(f"{'ok  ' if worst < TOLERANCE else 'FAIL'} {name:28s} {worst:.1e}")
    return worst < TOLERANCE


def convolutions():
    w, b = floats("w", 8, 3, 3, 3), floats("b", 8)
    for pad in ("SAME_UPPER", "SAME_LOWER", "VALID"):
        for stride in (1, 2):
            yield f"conv {pad} {stride}", [node("Conv", ["x", "w", "b"], ["y"], auto_pad=pad, strides=[stride, stride])], [w, b], 13
    yield "conv dilated", [node("Conv", ["x", "w", "b"], ["y"], dilations=[2, 3], pads=[1, 2, 3, 0], strides=[1, 2])], [w, b], 13
    yield "conv grouped", [node("Conv", ["x", "w"], ["c"], pads=[1] * 4), node("Conv", ["c", "v"], ["y"], group=4)], [w, floats("v", 12, 2, 3, 3)], 9
    yield "residual", [node("Conv", ["x", "w", "b"], ["c"], pads=[1] * 4),
                       node("BatchNormalization", ["c", "g", "b", "m", "s"], ["n"]), node("Relu", ["n"], ["r"]),
                       node("Conv", ["r", "v"], ["d"], pads=[1] * 4), node("Add", ["d", "r"], ["a"]), node("Relu", ["a"], ["y"])], \
        [w, b, floats("g", 8, mean=1), floats("m", 8), floats("s", 8, mean=2, scale=0.1), floats("v", 8, 8, 3, 3)], 15


def pools():
    w = floats("w", 8, 3, 3, 3)
    for include in (0, 1):
        for ceil in (0, 1):
            yield f"average pool {include} {ceil}", [node("Conv", ["x", "w"], ["c"]), node("AveragePool", ["c"], ["y"], kernel_shape=[3, 3], strides=[2, 2],
                                                    pads=[1, 1, 0, 1], count_include_pad=include, ceil_mode=ceil)], [w], 13
    for ceil in (0, 1):
        yield f"max pool {ceil}", [node("Conv", ["x", "w"], ["c"]), node("MaxPool", ["c"], ["y"], kernel_shape=[3, 3], strides=[2, 2],
                                   pads=[1, 1, 0, 1], ceil_mode=ceil)], [w], 13
    yield "max pool dilated", [node("MaxPool", ["x"], ["y"], kernel_shape=[3, 3], dilations=[2, 2], pads=[1] * 4)], [], 13


def elements():
    w = floats("w", 8, 3, 3, 3)
    for axis, opset in ((1, 9), (2, 9), (1, 13), (2, 13), (-1, 13)):
        yield f"softmax {axis} opset {opset}", [node("Softmax", ["x"], ["y"], axis=axis)], [], opset
    yield "activations", [node("LeakyRelu", ["x"], ["a"]), node("Sigmoid", ["a"], ["b"]), node("Tanh", ["b"], ["c"]),
                          node("HardSigmoid", ["c"], ["d"]), node("HardSwish", ["d"], ["y"])], [], 14
    yield "clip inputs", [node("Clip", ["x", "lo", "hi"], ["a"]), node("Clip", ["a", "", "top"], ["y"])], [number("lo", -0.5), number("hi", 0.8), number("top", 0.7)], 11
    yield "clip attributes", [node("Clip", ["x"], ["a"], min=-0.5), node("Conv", ["a", "w"], ["c"]), node("Clip", ["c"], ["y"], max=0.1)], [w], 9
    yield "hard swish in pieces", [node("Conv", ["x", "w"], ["c"]), node("Add", ["c", "k3"], ["a"]), node("Clip", ["a", "k0", "k6"], ["l"]),
                                   node("Div", ["l", "k6"], ["d"]), node("Mul", ["c", "d"], ["y"])], [w, number("k0", 0), number("k3", 3), number("k6", 6)], 13
    yield "affines", [node("Conv", ["x", "w"], ["c"]), node("Sub", ["k", "c"], ["s"]), node("Div", ["s", "ch"], ["d"]), node("Sub", ["d", "k"], ["e"]),
                      node("Div", ["e", "k"], ["y"])], [w, number("k", 3), floats("ch", 8, 1, 1, mean=2, scale=0.1)], 13
    yield "gated input", [node("GlobalAveragePool", ["x"], ["p"]), node("Sigmoid", ["p"], ["s"]), node("Mul", ["x", "s"], ["y"])], [], 13


def shapes():
    yield "dense", [node("Flatten", ["x"], ["f"]), node("Gemm", ["f", "w", "b"], ["g"], alpha=0.5, beta=2.0, transB=1), node("Relu", ["g"], ["r"]),
                    node("MatMul", ["r", "m"], ["p"]), node("Add", ["p", "n"], ["y"])], \
        [floats("w", 20, 3 * SIZE * SIZE, scale=0.05), floats("b", 20), floats("m", 20, 7), floats("n", 7)], 13
    yield "sequence", [node("Transpose", ["x"], ["t"], perm=[0, 2, 3, 1]), node("Reshape", ["t", "s"], ["r"]), node("MatMul", ["r", "m"], ["p"]),
                       node("ReduceMean", ["p"], ["y"], axes=[1], keepdims=0)], [ints("s", 0, -1, 3), floats("m", 3, 9)], 13
    yield "opset 18 axes", [node("Unsqueeze", ["x", "a"], ["u"]), node("Squeeze", ["u", "a"], ["q"]), node("ReduceMean", ["q", "b"], ["m"], keepdims=1),
                            node("Mul", ["m", "x"], ["p"]), node("Concat", ["p", "x", "q"], ["y"], axis=1)], [ints("a", 2), ints("b", -1, 2)], 18
    yield "rank 6", [node("Reshape", ["x", "s"], ["r"]), node("Relu", ["r"], ["a"]), node("Transpose", ["a"], ["t"], perm=[0, 5, 4, 3, 2, 1]),
                     node("Mul", ["t", "c"], ["m"]), node("Flatten", ["m"], ["y"])], [ints("s", 0, 3, 4, 3, 4, 3), floats("c", 3, 1, 1, 1, 1)], 13


def main():
    with tempfile.TemporaryDirectory() as folder:
        cases = [case for group in (convolutions, pools, elements, shapes) for case in group()]
        results = [check(sys.argv[1], folder, *case) for case in cases]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
