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


if __name__ == "__main__":
    main()
