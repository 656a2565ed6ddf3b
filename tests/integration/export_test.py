#!/usr/bin/env python3
"""`graft export`: what it writes is valid, of opset 17, and says the same; its weights have the names PyTorch expects."""
import sys

from harness import Skip, directory, graft, main, started
from text_test import HIDDEN, LENGTH, np, onnx, onnxruntime, text_job

try:
    from safetensors.numpy import load_file
except ImportError:
    load_file = None


def trained(path):
    if load_file is None:
        raise Skip("no safetensors, ONNX and ONNX Runtime: scripts/setup referee")
    with started(text_job(path), path / "run", sets=["stages.source.epochs=1", "stages.adapt.epochs=1"]) as run:
        run.ok()
    return path / "run/adapted.onnx"


def logits(path):
    chance = np.random.default_rng(5)
    ids = chance.integers(5, 20, (7, LENGTH))
    feed = {"input_ids": ids, "attention_mask": (ids < 17).astype(np.int64), "token_type_ids": np.zeros_like(ids)}
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, feed)[0]


def opset(path):
    return onnx.load(path, load_external_data=False).opset_import[0].version


def export(*arguments):
    done = graft("export", *arguments)
    assert done.returncode == 0 and not done.stderr, done.stderr


def the_model_says_the_same_with_weights_within_and_beside():
    with directory() as path:
        model = trained(path)
        export(path / "run", "--onnx", path / "within.onnx")
        export(model, "--onnx", path / "beside.onnx", "--external")
        assert not (path / "within.onnx.data").exists() and (path / "beside.onnx.data").exists()
        for name in ("within.onnx", "beside.onnx"):
            onnx.checker.check_model(str(path / name), full_check=True)
            assert opset(path / name) == 17
            assert np.array_equal(logits(path / name), logits(model)), name
        (path / "t.txt").write_text("a good film\n")
        answers = {graft("predict", path / name, path / "t.txt").stdout for name in ("run/adapted.onnx", "within.onnx", "beside.onnx")}
        assert len(answers) == 1 and "good" in answers.pop()


def other_opsets_become_17():
    """13: nothing here changed until 17; 21: axes have become inputs since 18."""
    def small(opset, axes_as_input):
        x = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["N", 4, 6])
        y = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["N", 4])
        axes = onnx.numpy_helper.from_array(np.array([2]), "axes")
        mean = onnx.helper.make_node("ReduceMean", ["p", "axes"], ["m"], keepdims=0) if axes_as_input else \
            onnx.helper.make_node("ReduceMean", ["p"], ["m"], keepdims=0, axes=[2])
        nodes = [onnx.helper.make_node("Softmax", ["x"], ["p"], axis=2), mean, onnx.helper.make_node("Relu", ["m"], ["y"])]
        graph = onnx.helper.make_graph(nodes, "g", [x], [y], [axes] if axes_as_input else [])
        return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)], ir_version=8)

    if load_file is None:
        raise Skip("no ONNX: scripts/setup referee")
    feed = {"x": np.random.default_rng(1).standard_normal((3, 4, 6)).astype(np.float32)}
    with directory() as path:
        for version in (9, 13, 21):
            onnx.save(small(version, version >= 18), path / "m.onnx")
            export(path / "m.onnx", "--onnx", path / "m17.onnx")
            onnx.checker.check_model(str(path / "m17.onnx"), full_check=True)
            assert opset(path / "m17.onnx") == 17
            got, expected = (onnxruntime.InferenceSession(path / name).run(None, feed)[0] for name in ("m17.onnx", "m.onnx"))
            assert np.allclose(got, expected, atol=1e-6), version


def the_weights_have_their_names():
    with directory() as path:
        model = trained(path)
        export(path / "run", "--safetensors", path / "w.safetensors")
        got = load_file(path / "w.safetensors")
        file = {t.name: onnx.numpy_helper.to_array(t) for t in onnx.load(model).graph.initializer}
        assert got["head.weight"].shape == (2, HIDDEN) and "query.weight" in got and "norm.bias" in got
        assert "one" not in got and "axis1" not in got  # scalars and whole numbers
        for name, value in got.items():
            assert np.array_equal(value, file[name]), name


def what_cannot_be_exported_is_one_line():
    def refused(words, *arguments):
        done = graft("export", *arguments)
        assert done.returncode != 0 and words in done.stderr.splitlines()[0], done.stderr
        assert not list(path.glob("out*")), list(path.glob("out*"))

    with directory() as path:
        model = trained(path)
        refused("name a run or a model, and what to write", model)
        refused("--external is for --onnx", model, "--external", "--safetensors", path / "out.s")
        refused("needs a file", model, "--onnx")
        refused("nothing: No such file", path / "nothing", "--onnx", path / "out")
        (path / "cut.onnx").write_bytes(model.read_bytes()[:2000])
        refused("cut.onnx", path / "cut.onnx", "--onnx", path / "out")
        x, y = (onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, ["N", 4]) for n in "xy")
        graph = onnx.helper.make_graph([onnx.helper.make_node("Gelu", ["x"], ["y"], name="act")], "g", [x], [y])
        onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=9), path / "gelu.onnx")
        refused("node act (Gelu): opset 17", path / "gelu.onnx", "--onnx", path / "out")


if __name__ == "__main__":
    sys.exit(main([
        the_model_says_the_same_with_weights_within_and_beside,
        other_opsets_become_17,
        the_weights_have_their_names,
        what_cannot_be_exported_is_one_line,
    ]))
