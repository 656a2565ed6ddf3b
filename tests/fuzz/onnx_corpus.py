#!/usr/bin/env python3
"""Makes the seed corpus of onnx_fuzz: a few small models that touch every operator and every way of storing data.

usage: onnx_corpus.py FOLDER      (needs the Python package onnx)
"""
import os
import sys

import numpy as np
from onnx import TensorProto, helper, numpy_helper


def save(folder, name, nodes, initializers, shape, opset):
    graph = helper.make_graph(nodes, "seed", [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
                              [helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, None)],
                              initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    with open(os.path.join(folder, name), "wb") as file:
        file.write(model.SerializeToString())


def floats(name, *shape):
    return numpy_helper.from_array(np.ones(shape, np.float32), name)


def ints(name, *values):
    return numpy_helper.from_array(np.array(values, np.int64), name)


def main():
    folder = sys.argv[1]
    os.makedirs(folder, exist_ok=True)
    node = helper.make_node
    save(folder, "conv", [node("Conv", ["x", "w", "b"], ["c"], strides=[2, 1], pads=[1, 1, 1, 1], dilations=[1, 1], group=1),
                          node("BatchNormalization", ["c", "b", "b", "b", "b"], ["n"], epsilon=1e-3),
                          node("Relu", ["n"], ["r"]), node("MaxPool", ["r"], ["p"], kernel_shape=[2, 2], ceil_mode=1),
                          node("AveragePool", ["p"], ["a"], kernel_shape=[2, 2], auto_pad="SAME_UPPER"),
                          node("GlobalAveragePool", ["a"], ["g"]), node("Flatten", ["g"], ["y"])],
         [floats("w", 2, 3, 3, 3), floats("b", 2)], ["N", 3, 8, 8], 13)
    save(folder, "dense", [node("Gemm", ["x", "w", "b"], ["g"], alpha=0.5, transB=1), node("LeakyRelu", ["g"], ["l"]),
                           node("MatMul", ["l", "m"], ["o"]), node("Softmax", ["o"], ["y"], axis=1)],
         [floats("w", 3, 4), floats("b", 3), floats("m", 3, 2)], ["N", 4], 9)
    save(folder, "swish", [node("Constant", [], ["k3"], value=floats("", )), node("Add", ["x", "k3"], ["a"]),
                           node("Clip", ["a"], ["c"], min=0.0, max=6.0), node("Mul", ["x", "c"], ["m"]),
                           node("Div", ["m", "k3"], ["d"]), node("HardSigmoid", ["d"], ["h"], alpha=0.2),
                           node("Sub", ["h", "k3"], ["y"])], [], ["N", 3], 9)
    save(folder, "shape", [node("Reshape", ["x", "t"], ["r"]), node("Transpose", ["r"], ["p"], perm=[0, 2, 1]),
                           node("Unsqueeze", ["p", "one"], ["u"]), node("Squeeze", ["u", "one"], ["s"]),
                           node("Concat", ["s", "p"], ["j"], axis=1), node("ReduceMean", ["j", "one"], ["m"], keepdims=0),
                           node("Clip", ["m", "", "hi"], ["c"]), node("Dropout", ["c"], ["i"]), node("Identity", ["i"], ["y"])],
         [ints("t", 0, 2, -1), ints("one", 1), floats("hi")], ["N", 4, 2], 18)
    save(folder, "typed", [node("Constant", [], ["k"], value_floats=[1.0, 2.0]), node("Mul", ["x", "k"], ["m"]),
                           node("Add", ["m", "f"], ["y"])],
         [helper.make_tensor("f", TensorProto.FLOAT, [2], [0.5, 0.25])], ["N", 2], 12)
    many(save, folder, node)


def many(save, folder, node):
    """Arithmetic on shapes, batches that move and merge, and what became of later opsets."""
    save(folder, "view", [node("Shape", ["x"], ["s"]), node("Gather", ["s", "zero"], ["n"]), node("Gather", ["s", "one"], ["c"]),
                          node("Mul", ["c", "two"], ["m"]), node("Div", ["m", "two"], ["d"]), node("Unsqueeze", ["n", "l0"], ["n1"]),
                          node("Unsqueeze", ["d", "l0"], ["d1"]), node("Concat", ["n1", "d1", "open"], ["t"], axis=0),
                          node("Equal", ["t", "open"], ["e"]), node("Where", ["e", "open", "t"], ["w"]), node("Reshape", ["x", "w"], ["y"])],
         [numpy_helper.from_array(np.array(v, np.int64), n) for n, v in (("zero", 0), ("one", 1), ("two", 2))] +
         [ints("l0", 0), ints("open", -1)], ["N", 4, 2], 13)
    save(folder, "attention", [node("Reshape", ["x", "five"], ["r"]), node("Transpose", ["r"], ["p"], perm=[2, 0, 3, 1, 4]),
                               node("Split", ["p"], ["q", "k", "v"], axis=0), node("Squeeze", ["q", "l0"], ["q1"]),
                               node("Gather", ["p", "zero"], ["k1"]), node("Squeeze", ["v", "l0"], ["v1"]),
                               node("Reshape", ["k1", "three"], ["k2"]), node("Transpose", ["k2"], ["k3"], perm=[0, 2, 1]),
                               node("Reshape", ["k3", "four"], ["k4"]), node("MatMul", ["q1", "k4"], ["a"]), node("Softmax", ["a"], ["b"]),
                               node("MatMul", ["b", "v1"], ["o"]), node("LayerNormalization", ["o", "g", "g"], ["y"])],
         [ints("five", 0, 4, 3, 2, 3), ints("l0", 0), numpy_helper.from_array(np.array(1, np.int64), "zero"),
          ints("three", -1, 4, 3), ints("four", -1, 2, 3, 4), floats("g", 3)], ["N", 4, 18], 17)
    save(folder, "lookup", [node("Shape", ["x"], ["s"]), node("Gather", ["s", "zero"], ["n"]), node("Range", ["zero", "n", "one"], ["r"]),
                            node("Unsqueeze", ["r", "l1"], ["u"]), node("Mul", ["u", "eight"], ["m"]), node("Add", ["m", "own"], ["i"]),
                            node("Flatten", ["x"], ["f"], axis=2), node("Gather", ["f", "i"], ["g"]),
                            node("ConstantOfShape", ["s"], ["c"]), node("Concat", ["c", "c"], ["d"], axis=1),
                            node("Squeeze", ["g", "l2"], ["h"]), node("Concat", ["h", "d"], ["y"], axis=1)],
         [numpy_helper.from_array(np.array(v, np.int64), n) for n, v in (("zero", 0), ("one", 1), ("eight", 8))] +
         [ints("l1", 1), ints("l2", 2), ints("own", 7, 0, 3)], ["N", 8], 13)
    save(folder, "picture", [node("Slice", ["x", "a", "b", "axes", "steps"], ["s"]), node("Pad", ["s", "pads", "half"], ["p"], mode="reflect"),
                             node("ConvTranspose", ["p", "w"], ["t"], strides=[2, 2], output_padding=[1, 1]),
                             node("Resize", ["t", "", "", "sizes"], ["r"], mode="linear", coordinate_transformation_mode="align_corners", axes=[2, 3]),
                             node("GroupNormalization", ["r", "g", "g"], ["n"], num_groups=2), node("InstanceNormalization", ["n", "i", "i"], ["o"]),
                             node("PRelu", ["o", "half"], ["q"]), node("QuantizeLinear", ["q", "half", "z"], ["u"]),
                             node("DequantizeLinear", ["u", "half", "z"], ["v"]), node("ArgMax", ["v"], ["y"], axis=1)],
         [ints("a", -1, 0), ints("b", -9, 6), ints("axes", 2, 3), ints("steps", -1, 2), ints("pads", 0, 0, 1, 1, 0, 0, 1, 1), floats("half"),
          floats("w", 3, 4, 2, 2), ints("sizes", 9, 7), floats("g", 2), floats("i", 4), numpy_helper.from_array(np.uint8(3), "z")], ["N", 3, 8, 8], 18)
    save(folder, "truth", [node("Greater", ["x", "half"], ["a"]), node("Not", ["a"], ["b"]), node("Cast", ["b"], ["c"], to=TensorProto.INT64),
                           node("Gather", ["table", "c"], ["d"]), node("Where", ["a", "half", "x"], ["e"]), node("Expand", ["e", "wide"], ["f"]),
                           node("Tile", ["f", "twice"], ["g"]), node("Sum", ["d", "d", "d"], ["h"]), node("Mean", ["h", "d"], ["i"]),
                           node("GatherElements", ["g", "c"], ["j"], axis=1), node("CastLike", ["j", "c"], ["k"]), node("Div", ["k", "k"], ["y"])],
         [floats("half"), floats("table", 2, 5), ints("wide", 1, 1, 4), ints("twice", 1, 2, 1)], ["N", 1, 4], 19)


if __name__ == "__main__":
    main()
