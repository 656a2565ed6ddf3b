#!/usr/bin/env python3
"""`graft predict` and `graft evaluate` on what a run left: the answers are those of the run itself."""
import array
import atexit
import json
import pathlib
import re
import shutil
import struct
import sys
import tempfile

from demo_test import CONFIG, SHORT, need_assets
from harness import CACHE, directory, graft, main, started
from input_test import png

DATA = CACHE / "demo/handwritten.csv"
FORM = ("--size", "8x8", "--value-max", "16", "--label-column", "64")
CLASSES = 10

_trained = []


def trained():
    """The folder of one short run."""
    need_assets()
    if not _trained:
        path = pathlib.Path(tempfile.mkdtemp(prefix="graft-test-"))
        atexit.register(shutil.rmtree, path, ignore_errors=True)
        with started(CONFIG, path / "run", sets=SHORT) as run:
            run.ok()
        _trained.append(path / "run")
    return _trained[0]


def tensor(path, name, kind):
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    begin, end = json.loads(data[8:8 + length])[name]["data_offsets"]
    return array.array(kind, data[8 + length + begin:8 + length + end])


def answers(*arguments, status=0):
    done = graft("predict", *arguments)
    assert done.returncode == status, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def rows_by_offset():
    """Number of the row that begins at each byte offset: the run's own index of its samples."""
    offsets, at = {}, 0
    for number, line in enumerate(DATA.read_bytes().splitlines(keepends=True)):
        offsets[at] = number
        at += len(line)
    return offsets


def answers_are_those_of_the_run_itself():
    run = trained()
    lines, _ = answers(run / "adapted.onnx", DATA, *FORM, "--logits")
    assert len(lines) == 1797 and [line["row"] for line in lines] == list(range(1797))
    logits, index = tensor(run / "test.safetensors", "adapted", "f"), tensor(run / "test.safetensors", "index", "q")
    rows = rows_by_offset()
    assert len(index) == 899
    for i, offset in enumerate(index):
        line, expected = lines[rows[offset]], logits[i * CLASSES:(i + 1) * CLASSES]
        assert max(abs(a - b) for a, b in zip(line["logits"], expected)) < 1e-3
        assert line["class"] == str(max(range(CLASSES), key=lambda k: expected[k]))
        probabilities = list(line["probabilities"].values())
        assert len(probabilities) == 5 and probabilities == sorted(probabilities, reverse=True)
        assert "label" not in line


def the_score_is_that_of_the_answers():
    run = trained()
    lines, _ = answers(run / "adapted.onnx", DATA, *FORM, "--labels")
    right = sum(line["class"] == line["label"] for line in lines)
    done = graft("evaluate", run / "adapted.onnx", DATA, *FORM)
    score = json.loads(done.stdout)
    assert done.returncode == 0 and score["samples"] == 1797
    assert abs(score["accuracy"] - right / 1797) < 1e-9
    assert sum(map(sum, score["confusion"])) == 1797 and 0.9 < score["auc"] <= 1


def pictures_folders_and_many_inputs_are_answered_in_order():
    run = trained()
    with directory() as path:
        (path / "folder/2").mkdir(parents=True)
        names = [path / f"{i:02}.png" for i in range(20)] + [path / "folder/a.png", path / "folder/2/b.png"]
        for name in names:
            png(name)
        lines, _ = answers(run / "adapted.onnx", *names[:20], path / "folder")
        assert [line["input"] for line in lines] == list(map(str, names[:20] + [names[21], names[20]]))
        assert len({line["class"] for line in lines}) == 1  # all are the same picture


def an_unreadable_picture_is_named_and_the_others_are_answered():
    run = trained()
    with directory() as path:
        png(path / "good.png")
        (path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
        lines, told = answers(run / "adapted.onnx", path / "bad.png", path / "good.png", status=1)
        assert "bad.png" in lines[0]["error"] and "class" not in lines[0] and lines[1]["class"]
        assert "1 of the inputs could not be read" in told


def refused(words, *arguments):
    done = graft(*arguments)
    assert done.returncode != 0 and done.stdout == "", done.stdout
    assert words in done.stderr and done.stderr.count("\n") <= 2, done.stderr


def what_cannot_be_answered_is_one_line():
    run = trained()
    model = run / "adapted.onnx"
    with directory() as path:
        png(path / "p.png")
        (path / "cut.onnx").write_bytes(model.read_bytes()[:5000])
        (path / "text.csv").write_text("1,2,3\n")
        refused("no such file", "predict", model, path / "missing.png")
        refused("the trained model (a run leaves adapted.onnx): " + str(path / "missing.onnx"), "predict", path / "missing.onnx", path / "p.png")
        (path / "empty.onnx").touch()
        refused("empty.onnx: the file is empty", "evaluate", path / "empty.onnx", path / "p.png")
        refused("truncated", "predict", path / "cut.onnx", path / "p.png")
        refused("does not say how its samples are made", "predict", CACHE / "demo/ch_PP-OCRv4_rec_infer.onnx", path / "p.png")
        refused("text.csv:1: 3 columns", "predict", model, path / "text.csv")
        refused("not clear", "predict", model, path / "p.png", "--size", "0x8")
        refused("not clear", "predict", model, path / "p.png", "--nonsense", "1")
        refused("no labelled input", "evaluate", model, path / "p.png")


def the_version_is_one_line():
    done = graft("--version")
    assert done.returncode == 0 and re.fullmatch(r"graft \d+\.\d+\.\d+ [^\n]+, protocol \d+\n", done.stdout), done.stdout


def a_model_that_graft_wrote_can_be_adapted_again():
    """Names of the earlier head do not clash with the new one's."""
    run = trained()
    with directory() as path, started(CONFIG, path / "run", sets=(
            *SHORT, f"model.file={run}/adapted.onnx", "model.cut=graft.features",
            "stages.adapt.last_blocks=0", "stages.adapt.live=[]")) as again:
        result = again.ok()
        assert result["adapted"]["accuracy"] > 0.5


if __name__ == "__main__":
    sys.exit(main([
        answers_are_those_of_the_run_itself,
        the_score_is_that_of_the_answers,
        pictures_folders_and_many_inputs_are_answered_in_order,
        an_unreadable_picture_is_named_and_the_others_are_answered,
        what_cannot_be_answered_is_one_line,
        the_version_is_one_line,
        a_model_that_graft_wrote_can_be_adapted_again,
    ]))
