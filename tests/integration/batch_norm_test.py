#!/usr/bin/env python3
"""Batch normalisation whose statistics live: a small network of random weights learns the demo's printed digits and adapts to
handwritten ones. Servers own the statistics like weights, so neither the cluster nor a restart shows in them, and the exported
model holds them."""
import os
import signal
import sys

from demo_test import enlarge, need_assets, read_safetensors
from harness import CACHE, Skip, directory, main, started

SIDE, WIDTHS = 16, (1, 16, 32, 64)

JOB = """
cluster = {{ workers = 1; servers = 1; shards = 4; }};
model = {{ file = "{model}"; cut = "features"; pool = "mean"; }};
data = {{
  classes = [ "0", "1", "2", "3", "4", "5", "6", "7", "8", "9" ];
  preprocess = {{ width = 16; height = 16; channels = 1; mean = 127.5; std = 127.5; }};
  domains = (
    {{ name = "printed"; labelled = true; sources = (
      {{ format = "idx"; split = "train"; path = "cache:demo/printed-train-images.idx3-ubyte";
         labels = "cache:demo/printed-train-labels.idx1-ubyte"; }},
      {{ format = "idx"; split = "validation"; path = "cache:demo/printed-validation-images.idx3-ubyte";
         labels = "cache:demo/printed-validation-labels.idx1-ubyte"; }} ); }},
    {{ name = "handwritten"; labelled = false; divide = [ 0.5, 0.0, 0.5 ]; sources = (
      {{ format = "csv"; split = "divide"; path = "cache:demo/handwritten.csv"; label_column = 64; width = 8; height = 8;
         channels = 1; value_max = 16.0; }} ); }}
  );
}};
stages = (
  {{ name = "source"; domains = [ "printed" ]; live = {source_live}; batch_norm = "{source_mode}"; epochs = {source_epochs};
     micro_batch = 32; optimizer = {{ kind = "adam"; rate = 0.002; }}; schedule = {{ kind = "cosine"; }};
     losses = {{ cross_entropy = 1.0; label_smoothing = 0.1; }}; select = "last"; }},
  {{ name = "adapt"; domains = [ "printed", "handwritten" ]; live = {adapt_live}; batch_norm = "{adapt_mode}";
     epochs = {adapt_epochs}; micro_batch = 32; optimizer = {{ kind = "adam"; rate = 0.0005; }};
     schedule = {{ kind = "cosine"; }}; losses = {{ cross_entropy = 1.0; information = {information}; }}; select = "last"; }}
);
"""
EVERYTHING = {"source_live": '[ "*" ]', "source_mode": "train", "source_epochs": 3, "adapt_live": '[ "*" ]', "adapt_mode": "train",
              "adapt_epochs": 3, "information": 1.0}


def write_network(path):
    """Convolutions with stride 2, each with a BatchNormalization and a Relu."""
    try:
        import numpy
        from onnx import TensorProto, helper, numpy_helper, save
    except ImportError:
        raise Skip("numpy and onnx are not installed")
    random, nodes, tensors, at = numpy.random.default_rng(3), [], [], "x"

    def tensor(name, values):
        tensors.append(numpy_helper.from_array(values.astype(numpy.float32), name))
        return name
    for i, (narrow, wide) in enumerate(zip(WIDTHS, WIDTHS[1:])):
        weight = tensor(f"conv{i}.weight", random.normal(0, (2 / (9 * narrow)) ** 0.5, (wide, narrow, 3, 3)))
        one, zero = numpy.ones(wide), numpy.zeros(wide)
        parts = [tensor(f"norm{i}.{part}", start) for part, start in
                 (("scale", one), ("bias", zero), ("mean", zero), ("variance", one))]
        nodes += [helper.make_node("Conv", [at, weight], [f"conv{i}"], f"conv{i}", kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4),
                  helper.make_node("BatchNormalization", [f"conv{i}", *parts], [f"norm{i}"], f"norm{i}"),
                  helper.make_node("Relu", [f"norm{i}"], ["features" if wide == WIDTHS[-1] else f"relu{i}"], f"relu{i}")]
        at = nodes[-1].output[0]
    graph = helper.make_graph(nodes, "small", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 1, SIDE, SIDE])],
                              [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", WIDTHS[-1], 2, 2])], tensors)
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8), path)


def write_job(path, model=None, **values):
    need_assets()
    if model is None:
        model = path / "small.onnx"
        write_network(model)
    config = path / "job.cfg"
    config.write_text(JOB.format(model=model, **{**EVERYTHING, **values}))
    return config


def the_statistics_do_not_depend_on_the_cluster_or_a_restart():
    with directory() as path:
        config, hashes = write_job(path), []
        for workers, servers in ((1, 1), (3, 2)):
            with started(config, path / f"run{workers}", sets=(f"cluster.workers={workers}", f"cluster.servers={servers}")) as run:
                hashes.append(run.ok()["weights_sha256"])
        with started(config, path / "again") as run:
            run.until(lambda s: s["stage"] == "adapt" and s["epoch"] >= 2)
            os.kill(run.process.pid, signal.SIGKILL)
            run.process.wait()
        with started(config, path / "again", "--resume", sets=("cluster.workers=2",)) as run:
            hashes.append(run.ok()["weights_sha256"])
        assert len(set(hashes)) == 1, hashes


def another_runtime_finds_the_moved_statistics_in_the_exported_model():
    try:
        import numpy
        import onnxruntime
    except ImportError:
        raise Skip("numpy and onnxruntime are not installed")
    with directory() as path, started(write_job(path), path / "run") as run:
        result = run.ok()
        assert result["adapted"]["accuracy"] > 0.5, result["adapted"]["accuracy"]
        live = read_safetensors(path / "run/adapted.safetensors", numpy)
        for i, wide in enumerate(WIDTHS[1:]):
            assert abs(live[f"norm{i}.mean"]).max() > 0.1 and abs(live[f"norm{i}.variance"] - 1).max() > 0.1
        ours, text = read_safetensors(path / "run/test.safetensors", numpy), (CACHE / "demo/handwritten.csv").read_bytes()
        rows = [text[at:text.index(b"\n", at)].split(b",")[:64] for at in ours["index"]]
        images = [enlarge(numpy.array([float(v) for v in row]).reshape(8, 8) * 255 / 16, SIDE, numpy) for row in rows]
        pixels = ((numpy.stack(images) - 127.5) / 127.5).astype(numpy.float32)[:, None]
        session = onnxruntime.InferenceSession(str(path / "run/adapted.onnx"), providers=["CPUExecutionProvider"])
        theirs = session.run(None, {session.get_inputs()[0].name: pixels})[0]
        worst = abs(theirs - ours["adapted"]).max()
        assert worst < 1e-3, f"logits differ by {worst}"


def adapting_moves_statistics_and_leaves_the_weights():
    with directory() as path:
        with started(write_job(path, adapt_epochs=1), path / "learned") as run:
            run.ok()
        import numpy
        values = {"source_live": "[ ]", "source_mode": "frozen", "source_epochs": 2, "adapt_live": '[ "norm*" ]',
                  "adapt_mode": "adapt", "information": 0.0, "adapt_epochs": 2}
        with started(write_job(path, path / "learned/adapted.onnx", **values), path / "run") as run:
            run.ok()
        live = read_safetensors(path / "run/adapted.safetensors", numpy)
        assert {name for name in live if name.startswith("norm")} == {f"norm{i}.{p}" for i in range(3) for p in ("mean", "variance")}


if __name__ == "__main__":
    sys.exit(main([
        the_statistics_do_not_depend_on_the_cluster_or_a_restart,
        another_runtime_finds_the_moved_statistics_in_the_exported_model,
        adapting_moves_statistics_and_leaves_the_weights,
    ]))
