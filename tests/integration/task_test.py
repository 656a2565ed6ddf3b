#!/usr/bin/env python3
"""Labels and values on real data: what a run says of itself is what its outputs say when they are counted anew, another
runtime answers the same, and neither the cluster nor target labels touch the weights. Mixing likewise."""
import json
import math
import random
import struct
import sys

from demo_test import CONFIG, enlarge, need_assets, read_safetensors
from harness import CACHE, Skip, directory, graft, main, started
from predict_test import answers, tensor

# ---- labels of digits: printed pictures teach, handwritten ones are adapted to ----

LABELS = {"loop": "0689", "even": "02468", "over 4": "56789"}
PICTURES = 600


def write_png(path, pixels, side):
    import zlib

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    rows = b"".join(b"\0" + pixels[y * side:(y + 1) * side] for y in range(side))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)) +
                     chunk(b"IDAT", zlib.compress(rows, 1)) + chunk(b"IEND", b""))


def write_printed(path):
    """The demo's printed digits (0 to 9 in turns) as PNG files with a list of their labels, a fifth for validation."""
    images = (CACHE / "demo/printed-train-images.idx3-ubyte").read_bytes()
    digits = (CACHE / "demo/printed-train-labels.idx1-ubyte").read_bytes()[8:]
    side = struct.unpack(">I", images[8:12])[0]
    lists = {"train": [], "validation": []}
    (path / "printed").mkdir()
    for i in range(PICTURES):
        write_png(path / f"printed/{i}.png", images[16 + i * side * side:16 + (i + 1) * side * side], side)
        names = "|".join(name for name, of in LABELS.items() if str(digits[i]) in of)
        lists["validation" if i // 10 % 5 == 4 else "train"].append(f"printed/{i}.png,{names}\n")
    for split, lines in lists.items():
        (path / f"{split}.csv").write_text("".join(lines))


def write_handwritten(path, shuffled=False):
    rows = [line.rsplit(",", 1) for line in (CACHE / "demo/handwritten.csv").read_text().splitlines()]
    digits = [digit for _, digit in rows]
    if shuffled:
        random.Random(5).shuffle(digits)
    path.write_text("".join(
        f"{pixels},{','.join('01'[digit in of] for of in LABELS.values())}\n" for (pixels, _), digit in zip(rows, digits)))


def labels_job(path, shuffled=False):
    need_assets()
    write_printed(path)
    write_handwritten(path / "handwritten.csv", shuffled)
    names = ", ".join(f'"{name}"' for name in LABELS)
    config = path / "job.cfg"
    config.write_text(f"""
model = {{ file = "cache:demo/ch_PP-OCRv4_rec_infer.onnx"; cut = "p2o.AveragePool.1"; pool = "mean"; }};
data = {{
  task = "multilabel";
  classes = [ {names} ];
  preprocess = {{ width = 48; height = 48; channels = 3; mean = 127.5; std = 127.5; }};
  domains = (
    {{ name = "printed"; sources = (
      {{ format = "list"; split = "train"; path = "{path}/train.csv"; }},
      {{ format = "list"; split = "validation"; path = "{path}/validation.csv"; }} ); }},
    {{ name = "handwritten"; labelled = false; divide = [ 0.5, 0.0, 0.5 ]; sources = (
      {{ format = "csv"; path = "{path}/handwritten.csv"; label_column = 64; width = 8; height = 8; value_max = 16.0; }} ); }}
  );
}};
cluster = {{ shards = 4; }};
stages = (
  {{ name = "source"; domains = [ "printed" ]; epochs = 12; select = "source_validation";
    optimizer = {{ kind = "adam"; rate = 0.003; }}; }},
  {{ name = "adapt"; domains = [ "printed", "handwritten" ]; epochs = 6; select = "information";
    optimizer = {{ kind = "adam"; rate = 0.003; }}; losses = {{ information = 1.0; coral = 1.0; }}; }}
);
""")
    return config


def auc(scores, there):
    """Pairs of one with the label and one without that are in the right order; ties count half."""
    yes = [s for s, t in zip(scores, there) if t]
    no = [s for s, t in zip(scores, there) if not t]
    return sum((a > b) + (a == b) / 2 for a in yes for b in no) / (len(yes) * len(no))


def f1(pairs):
    hits = sum(p and t for p, t in pairs)
    return 2 * hits / (sum(p for p, _ in pairs) + sum(t for _, t in pairs))


def labels_counted_anew(logits, targets):
    """The score of rows of logits and of targets, by the definitions."""
    decided = [[(z >= 0, t == 1) for z, t in zip(*row)] for row in zip(logits, targets)]
    columns = list(zip(*decided))
    per_label = [f1(column) for column in columns]
    every = [pair for row in decided for pair in row]
    return {
        "accuracy": sum(p == t for p, t in every) / len(every),
        "exact_match": sum(all(p == t for p, t in row) for row in decided) / len(decided),
        "macro_f1": sum(per_label) / len(per_label),
        "micro_f1": f1(every),
        "auc": sum(auc(*column) for column in zip(zip(*logits), zip(*targets))) / len(columns),
        "calibration_error": calibration([(1 / (1 + math.exp(-z)), t) for row in zip(logits, targets)
                                          for z, t in zip(*row)]),
    }


def calibration(pairs):
    bins = {}
    for p, t in pairs:
        bins.setdefault(min(int(p * 15), 14), []).append(t - p)
    return sum(abs(sum(of)) for of in bins.values()) / len(pairs)


def assert_close(got, expected):
    for name, value in expected.items():
        assert abs(got[name] - value) < 1e-9 * max(1, abs(value)), (name, got[name], value)


def test_rows(run, csv, columns):
    """Of the test split: outputs before and after adapting, and the columns that the file has there."""
    index = tensor(run / "test.safetensors", "index", "q")
    text = csv.read_bytes()
    lines = [text[at:text.index(b"\n", at)].decode().split(",") for at in index]
    outputs = {name: tensor(run / "test.safetensors", name, "f") for name in ("source_only", "adapted")}
    width = len(outputs["adapted"]) // len(index)
    return ({name: [list(values[i:i + width]) for i in range(0, len(values), width)] for name, values in outputs.items()},
            [[float(v) for v in line[columns]] for line in lines])


def labels_are_learned_adapted_and_scored():
    with directory() as path, started(labels_job(path), path / "run") as run:
        result = run.ok()
        outputs, targets = test_rows(path / "run", path / "handwritten.csv", slice(64, 67))
        assert result["task"] == "multilabel" and len(targets) == result["adapted"]["samples"] == 899
        for side in ("source_only", "adapted"):
            assert_close(result[side], labels_counted_anew(outputs[side], targets))
            assert list(result[side]["f1_per_label"]) == sorted(LABELS) and "confusion" not in result[side]
            assert result[side]["macro_f1"] > 0.8 and result[side]["auc"] > 0.9, result[side]
        adapt = [e["information"] for e in result["epochs"] if e["stage"] == "adapt"]
        assert adapt[-1] < adapt[0] - 0.02, adapt  # what the stage minimises; scores hardly move
        epochs = [e for e in result["epochs"] if e["stage"] == "source"]
        assert epochs[-1]["terms"]["binary_cross_entropy"]["loss"] < epochs[0]["terms"]["binary_cross_entropy"]["loss"] / 2
        best = max(e["source_validation_macro_f1"] for e in epochs)
        assert epochs[result["selection"]["source"]["epoch"] - 1]["source_validation_macro_f1"] == best > 0.8
        table = graft("compare", path / "run")
        assert table.returncode == 0 and f"{100 * result['adapted']['accuracy']:.2f} %" in table.stdout


FORM = ("--size", "8x8", "--value-max", "16", "--label-column", "64")


def labels_are_predicted_by_their_probabilities():
    with directory() as path, started(labels_job(path), path / "run", sets=("stages.adapt.epochs=1",)) as run:
        run.ok()
        model, data = path / "run/adapted.onnx", path / "handwritten.csv"
        lines, _ = answers(model, data, *FORM, "--labels", "--logits")
        assert len(lines) == 1797
        for line in lines:
            assert list(line["probabilities"]) == list(LABELS)
            for p, z in zip(line["probabilities"].values(), line["logits"]):
                assert abs(p - 1 / (1 + math.exp(-z))) < 1e-6
            assert line["labels"] == [name for name, p in line["probabilities"].items() if p >= 0.5]
        score = json.loads(graft("evaluate", model, data, *FORM).stdout)
        assert_close(score, labels_counted_anew([line["logits"] for line in lines], [line["targets"] for line in lines]))
        refused = graft("evaluate", model, path / "printed")
        assert refused.returncode != 0 and "use a CSV or .list file" in refused.stderr, refused.stderr
        (path / "validation.csv").rename(path / "validation.list")
        score = json.loads(graft("evaluate", model, path / "validation.list").stdout)
        assert score["samples"] == PICTURES // 5 and score["macro_f1"] > 0.9, score


# ---- values: how diabetes goes on, from women to men ----


def write_diabetes(path, shuffled=False):
    """Measurements to mean 0 and deviation 1; the second, 1 or 2, divides the domains."""
    rows = [[float(v) for v in line.split(",")] for line in (CACHE / "demo/diabetes.csv").read_text().splitlines()]
    columns = list(zip(*rows))
    means = [sum(c) / len(c) for c in columns]
    spreads = [math.sqrt(sum((v - m) ** 2 for v in c) / len(c)) for c, m in zip(columns, means)]
    for name, sex in (("women", 1), ("men", 2)):
        of = [row for row in rows if row[1] == sex]
        targets = [row[10] for row in of]
        if shuffled and name == "men":
            random.Random(7).shuffle(targets)
        (path / f"{name}.csv").write_text("".join(
            ",".join(f"{(row[k] - means[k]) / spreads[k]:.6f}" for k in range(10) if k != 1) + f",{target:g},{target ** 2:g}\n"
            for row, target in zip(of, targets)))


def values_job(path, shuffled=False):
    if not (CACHE / "demo/diabetes.csv").exists():
        raise Skip("the diabetes data are not there: scripts/fetch-demo")
    write_diabetes(path, shuffled)
    form = 'format = "csv"; width = 9; height = 1; label_column = 9;'
    config = path / "job.cfg"
    config.write_text(f"""
model = {{ file = ""; pool = "none"; }};
data = {{
  task = "regression";
  classes = [ "progression", "square" ];
  preprocess = {{ width = 9; height = 1; channels = 1; }};
  domains = (
    {{ name = "women"; divide = [ 0.8, 0.2, 0.0 ]; sources = ( {{ {form} path = "{path}/women.csv"; }} ); }},
    {{ name = "men"; labelled = false; divide = [ 0.5, 0.0, 0.5 ]; sources = ( {{ {form} path = "{path}/men.csv"; }} ); }}
  );
}};
cluster = {{ shards = 4; }};
stages = (
  {{ name = "source"; domains = [ "women" ]; epochs = 150; micro_batch = 16; select = "source_validation"; l2sp = 0.0;
    optimizer = {{ kind = "adam"; rate = 0.02; }}; schedule = {{ kind = "cosine"; }}; }},
  {{ name = "adapt"; domains = [ "women", "men" ]; epochs = 5; losses = {{ coral = 0.1; }}; }}
);
""")
    return config


def least_squares(rows, targets):
    """Weights and constant by the normal equations (Gauss, with pivots)."""
    rows = [row + [1.0] for row in rows]
    n = len(rows[0])
    table = [[sum(r[i] * r[j] for r in rows) for j in range(n)] + [sum(r[i] * t for r, t in zip(rows, targets))]
             for i in range(n)]
    for i in range(n):
        pivot = max(range(i, n), key=lambda k: abs(table[k][i]))
        table[i], table[pivot] = table[pivot], table[i]
        for k in range(n):
            if k != i:
                factor = table[k][i] / table[i][i]
                table[k] = [a - factor * b for a, b in zip(table[k], table[i])]
    return [table[i][n] / table[i][i] for i in range(n)]


def values_counted_anew(outputs, targets):
    errors = [[o - t for o, t in zip(*row)] for row in zip(outputs, targets)]
    every = [e for row in errors for e in row]
    r2 = []
    for column, error in zip(zip(*targets), zip(*errors)):
        mean = sum(column) / len(column)
        r2.append(1 - sum(e * e for e in error) / sum((t - mean) ** 2 for t in column))
    return {"mae": sum(map(abs, every)) / len(every), "rmse": math.sqrt(sum(e * e for e in every) / len(every)),
            "r2": sum(r2) / len(r2)}


def values_are_learned_as_well_as_least_squares_can():
    with directory() as path, started(values_job(path), path / "run") as run:
        result = run.ok()
        outputs, targets = test_rows(path / "run", path / "men.csv", slice(9, 11))
        for side in ("source_only", "adapted"):
            assert_close(result[side], values_counted_anew(outputs[side], targets))
        assert result["task"] == "regression" and set(result["adapted"]["mae_per_value"]) == {"progression", "square"}
        rows = [[float(v) for v in line.split(",")] for line in (path / "women.csv").read_text().splitlines()]
        tests, _ = test_rows(path / "run", path / "men.csv", slice(0, 9))
        _, inputs = test_rows(path / "run", path / "men.csv", slice(0, 9))
        answered = [[], []]
        for k in range(2):
            weights = least_squares([row[:9] for row in rows], [row[9 + k] for row in rows])
            answered[k] = [sum(w * v for w, v in zip(weights, row + [1.0])) for row in inputs]
        best = values_counted_anew(list(zip(*answered)), targets)["r2"]
        assert abs(result["source_only"]["r2"] - best) < 0.05 and best > 0.3, (result["source_only"]["r2"], best)
        table = graft("compare", path / "run")
        assert table.returncode == 0 and f"{result['adapted']['mae']:.4g}" in table.stdout and "%" not in table.stdout


def the_exported_model_answers_in_the_targets_own_units():
    with directory() as path, started(values_job(path), path / "run", sets=("stages.source.epochs=20",)) as run:
        run.ok()
        outputs, targets = test_rows(path / "run", path / "men.csv", slice(9, 11))
        lines, _ = answers(path / "run/adapted.onnx", path / "men.csv", "--label-column", "9", "--labels", "--logits")
        rows = (path / "men.csv").read_text().splitlines()
        by_targets = {tuple(map(float, row.split(",")[9:])): line for row, line in zip(rows, lines)}
        assert len(lines) == len(rows) and all(tuple(line["targets"]) in by_targets for line in lines)
        inputs = [[float(v) for v in row.split(",")[:9]] for row in rows]
        for line in lines:
            assert list(line["values"]) == ["progression", "square"] and list(line["values"].values()) == line["logits"]
        index = tensor(path / "run/test.safetensors", "index", "q")
        starts = {}
        for number, row in enumerate(rows):
            starts[sum(len(r) + 1 for r in rows[:number])] = number
        for i, at in enumerate(index):
            for ours, theirs in zip(outputs["adapted"][i], lines[starts[at]]["logits"]):
                assert abs(ours - theirs) < 1e-4 * max(1, abs(ours)), (ours, theirs)
        score = json.loads(graft("evaluate", path / "run/adapted.onnx", path / "men.csv", "--label-column", "9").stdout)
        assert_close(score, values_counted_anew([line["logits"] for line in lines], [line["targets"] for line in lines]))
        onnx_runtime_agrees(path / "run/adapted.onnx", inputs, [line["logits"] for line in lines])


def onnx_runtime_agrees(model, inputs, ours):
    try:
        import numpy
        import onnxruntime
    except ImportError:
        return  # the rest has been checked
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    batch = numpy.array(inputs, numpy.float32).reshape(-1, 9)
    theirs = session.run(None, {session.get_inputs()[0].name: batch})[0]
    assert abs(theirs / numpy.array(ours) - 1).max() < 1e-4


def onnx_runtime_agrees_on_the_labels():
    try:
        import numpy
        import onnxruntime
    except ImportError:
        raise Skip("numpy and onnxruntime are not installed")
    with directory() as path, started(labels_job(path), path / "run", sets=("stages.adapt.epochs=1",)) as run:
        run.ok()
        ours = read_safetensors(path / "run/test.safetensors", numpy)["adapted"]
        _, pixels = test_rows(path / "run", path / "handwritten.csv", slice(0, 64))
        images = [enlarge(numpy.array(row).reshape(8, 8) * 255 / 16, 48, numpy) for row in pixels]
        batch = ((numpy.stack(images) - 127.5) / 127.5).astype(numpy.float32)[:, None].repeat(3, 1)
        session = onnxruntime.InferenceSession(str(path / "run/adapted.onnx"), providers=["CPUExecutionProvider"])
        theirs = session.run(None, {session.get_inputs()[0].name: batch})[0]
        assert abs(theirs - ours).max() < 1e-3


# ---- the weights ----


def hash_of(job, shuffled=False, sets=()):
    with directory() as path, started(job(path, shuffled), path / "run", sets=sets) as run:
        return run.ok()["weights_sha256"]


QUICK = ("stages.source.epochs=2", "stages.adapt.epochs=2")


def neither_cluster_nor_target_labels_touch_the_weights():
    for job in (labels_job, values_job):
        expected = hash_of(job, sets=QUICK)
        for workers, servers in ((1, 1), (3, 2)):
            got = hash_of(job, sets=(*QUICK, f"cluster.workers={workers}", f"cluster.servers={servers}"))
            assert got == expected, (job.__name__, workers, servers)
        assert hash_of(job, shuffled=True, sets=QUICK) == expected, job.__name__


FEW = ("stages.source.epochs=4", "stages.adapt.epochs=1")
MIXED = (*FEW, "stages.source.mixup=0.4", "stages.adapt.losses.coral=0", "stages.adapt.mixup=0.4",
         "stages.adapt.cutmix=1.0")


def demo_hash(*sets):
    with directory() as path, started(CONFIG, path / "run", sets=sets) as run:
        result = run.ok()
        return result["weights_sha256"], result["adapted"]["accuracy"]


def mixing_is_the_same_on_any_cluster_and_still_learns():
    need_assets()
    expected, accuracy = demo_hash(*MIXED)
    assert accuracy > 0.8
    for workers, servers in ((1, 1), (4, 2)):
        assert demo_hash(*MIXED, f"cluster.workers={workers}", f"cluster.servers={servers}")[0] == expected
    others = {demo_hash(*FEW, "stages.adapt.losses.coral=0")[0], demo_hash(*MIXED[:-1])[0]}
    assert len(others | {expected}) == 3


# ---- what is refused ----


def check_names_the_line_of_what_a_task_does_not_have():
    with directory() as path:
        config = values_job(path)
        text = config.read_text().replace("coral = 0.1", "coral = 0.1;\n self_training = 0.3")
        config.write_text(text)
        line = next(n for n, of in enumerate(text.splitlines(), 1) if "self_training" in of)
        got = graft("check", config)
        assert got.returncode != 0 and f"job.cfg:{line}: stages.adapt.losses.self_training" in got.stderr, got.stderr
        got = graft("check", config, "--set", "stages.adapt.losses.self_training=0")
        assert got.returncode == 0 and "2 values" in got.stdout, got.stderr
        got = graft("check", config, "--set", "stages.adapt.losses.self_training=0", "--set", "stages.source.cutmix=1.0")
        assert got.returncode != 0 and "without height and width" in got.stderr, got.stderr


if __name__ == "__main__":
    sys.exit(main([
        labels_are_learned_adapted_and_scored,
        labels_are_predicted_by_their_probabilities,
        values_are_learned_as_well_as_least_squares_can,
        the_exported_model_answers_in_the_targets_own_units,
        onnx_runtime_agrees_on_the_labels,
        neither_cluster_nor_target_labels_touch_the_weights,
        mixing_is_the_same_on_any_cluster_and_still_learns,
        check_names_the_line_of_what_a_task_does_not_have,
    ]))
