#!/usr/bin/env python3
"""The demo job, shortened: the same weights whatever the cluster and whatever dies; and another runtime agrees."""
import json
import os
import pathlib
import random
import shutil
import signal
import struct
import sys

from harness import CACHE, ROOT, Skip, directory, main, started

CONFIG = ROOT / "configs/demo.cfg"
SHORT = ("stages.source.epochs=2", "stages.adapt.epochs=3")


def need_assets():
    if not (CACHE / "demo/stamp").exists():
        raise Skip("the demo's model and data are not there: scripts/fetch-demo")


def weights_of(path, *options, sets=()):
    with started(CONFIG, path, *options, sets=(*SHORT, *sets)) as run:
        return run.ok()["weights_sha256"]


_undisturbed = []


def undisturbed():
    """The hash that every other run must reach."""
    need_assets()
    if not _undisturbed:
        with directory() as path:
            _undisturbed.append(weights_of(path / "run"))
    return _undisturbed[0]


def the_weights_do_not_depend_on_the_number_of_workers_or_servers():
    expected = undisturbed()
    for workers, servers in ((1, 1), (2, 3), (4, 2), (4, 1)):
        with directory() as path:
            got = weights_of(path / "run", sets=(f"cluster.workers={workers}", f"cluster.servers={servers}"))
        assert got == expected, f"{workers} workers, {servers} servers: {got}"


def a_trunk_in_bfloat16_gives_its_own_weights_on_every_cluster():
    expected, half = undisturbed(), 'model.trunk_dtype="bfloat16"'
    if "avx512_bf16" not in pathlib.Path("/proc/cpuinfo").read_text():
        with directory() as path, started(CONFIG, path / "run", sets=(half,)) as run:
            run.refused("trunk_dtype", "AVX512-BF16")
        raise Skip("this processor does not multiply bfloat16; refused")
    hashes = set()
    for workers, servers in ((1, 1), (3, 2)):
        with directory() as path:
            hashes.add(weights_of(path / "run", sets=(half, f"cluster.workers={workers}", f"cluster.servers={servers}")))
    assert len(hashes) == 1 and expected not in hashes, hashes


def clipped_gradients_give_the_same_weights_on_every_cluster():
    """The norm is over the blocks of all servers, which tell each other."""
    expected, clip = undisturbed(), ("stages.source.clip_norm=0.5", "stages.adapt.clip_norm=0.5")
    hashes = set()
    for cluster in ((1, 1, 0), (2, 3, 0), (1, 2, 1)):
        sets = [f"cluster.{key}={value}" for key, value in zip(("workers", "servers", "replicas"), cluster)]
        with directory() as path:
            hashes.add(weights_of(path / "run", sets=(*clip, *sets)))
    assert len(hashes) == 1 and expected not in hashes, hashes


def accumulated_gradients_give_the_same_weights_on_every_cluster():
    """All losses over the whole step, with half of its samples in memory."""
    expected, hashes = undisturbed(), set()
    parts = [f"stages.{stage}.{key}" for stage in ("source", "adapt") for key in ("micro_batch=8", "accumulate=2")]
    for workers, servers in ((1, 1), (3, 2)):
        with directory() as path:
            hashes.add(weights_of(path / "run", sets=(*parts, f"cluster.workers={workers}", f"cluster.servers={servers}")))
    assert len(hashes) == 1 and expected not in hashes, hashes


def another_seed_gives_other_weights():
    with directory() as path:
        assert weights_of(path / "run", sets=("run.seed=2",)) != undisturbed()


def adapting(status):
    return status["stage"] == "adapt" and status["phase"] == "train" and status["done"] > 0


def kill_one(run, role):
    status = run.until(adapting)
    victim = next(m for m in status["members"] if m["role"] == role and m["state"] == "ready")
    os.kill(victim["pid"], signal.SIGKILL)
    return victim


def events(run):
    return (run.directory / "log/coordinator.log").read_text()


def a_worker_killed_in_mid_epoch_changes_nothing():
    expected = undisturbed()
    with directory() as path, started(CONFIG, path / "run", sets=SHORT) as run:
        victim = kill_one(run, "worker")
        assert run.ok()["weights_sha256"] == expected
        assert f"pid {victim['pid']}" in events(run) and "view 2: 1 workers" in events(run)


def a_server_killed_in_mid_epoch_changes_nothing():
    expected = undisturbed()
    with directory() as path, started(CONFIG, path / "run", sets=SHORT) as run:
        kill_one(run, "server")
        assert run.ok()["weights_sha256"] == expected
        assert "view 2: 2 workers, 1 servers" in events(run)


def a_worker_that_hangs_is_declared_dead_and_does_no_harm_when_it_returns():
    expected = undisturbed()
    with directory() as path, started(CONFIG, path / "run", sets=SHORT) as run:
        status = run.until(adapting)
        pid = next(m["pid"] for m in status["members"] if m["role"] == "worker")
        os.kill(pid, signal.SIGSTOP)
        run.until(lambda s: any(m["pid"] == pid and m["state"] == "dead" for m in s["members"]))
        os.kill(pid, signal.SIGCONT)
        assert run.ok()["weights_sha256"] == expected


def a_killed_coordinator_is_resumed_on_another_cluster_to_the_same_weights():
    expected = undisturbed()
    with directory() as path:
        with started(CONFIG, path / "run", sets=SHORT) as run:
            run.until(lambda s: s["stage"] == "adapt" and s["epoch"] >= 2 and s["phase"] == "train")
            os.kill(run.process.pid, signal.SIGKILL)
            run.process.wait()
        assert weights_of(path / "run", "--resume", sets=("cluster.workers=3", "cluster.servers=1")) == expected


def the_first_interrupt_keeps_the_epoch_and_stops():
    expected = undisturbed()
    with directory() as path:
        with started(CONFIG, path / "run", sets=SHORT) as run:
            run.until(adapting)
            os.kill(run.process.pid, signal.SIGINT)
            run.refused("--resume")
            assert list((path / "run/checkpoints").iterdir())
        assert weights_of(path / "run", "--resume") == expected


def the_second_interrupt_stops_now_and_loses_nothing_that_was_kept():
    expected = undisturbed()
    with directory() as path:
        with started(CONFIG, path / "run", sets=SHORT) as run:
            run.until(adapting)
            os.kill(run.process.pid, signal.SIGINT)
            os.kill(run.process.pid, signal.SIGINT)
            run.refused("--resume")
        assert weights_of(path / "run", "--resume") == expected


def step_of(checkpoint):
    return int(checkpoint.name.split("-")[1])


def checkpoints(run):
    """Whole ones: what a killed coordinator was writing has more in its name."""
    return [path for path in (run / "checkpoints").iterdir() if path.name.split("-")[1].isdigit()]


def a_torn_checkpoint_is_recognised_and_the_one_before_is_used():
    expected = undisturbed()
    with directory() as path:
        with started(CONFIG, path / "run", sets=SHORT) as run:
            run.until(lambda s: s["stage"] == "adapt" and s["epoch"] >= 2)
            os.kill(run.process.pid, signal.SIGKILL)
            run.process.wait()
        newest = max(checkpoints(path / "run"), key=step_of)
        with open(newest / "model.safetensors", "r+b") as file:
            file.truncate(os.path.getsize(file.name) // 2)
        assert weights_of(path / "run", "--resume") == expected


def target_labels_and_test_images_do_not_touch_the_weights():
    expected = undisturbed()
    with directory() as path:
        shutil.copytree(CACHE / "demo", path / "cache/demo")
        csv = path / "cache/demo/handwritten.csv"
        rows = [line.rsplit(",", 1) for line in csv.read_text().splitlines()]
        labels = [label for _, label in rows]
        random.Random(5).shuffle(labels)
        csv.write_text("".join(f"{row[0]},{label}\n" for row, label in zip(rows, labels)))
        with started(CONFIG, path / "run", sets=SHORT, env={"GRAFT_CACHE": str(path / "cache")}) as run:
            assert run.ok()["weights_sha256"] == expected


def result_and_files_are_complete():
    need_assets()
    with directory() as path, started(CONFIG, path / "run", sets=SHORT) as run:
        result = run.ok()
        for side in ("source_only", "adapted"):
            assert set(result[side]["per_class"]) == set("0123456789")
            assert 0 < result[side]["accuracy"] <= 1 and 0 < result[side]["macro_f1"] <= 1
        assert len(result["weights_sha256"]) == 64 and len(result["config_sha256"]) == 64
        assert result["adapted"]["accuracy"] > result["source_only"]["accuracy"] + 0.05
        for name in ("adapted.onnx", "adapted.safetensors", "test.safetensors", "changes.png", "run.db"):
            assert (path / "run" / name).stat().st_size > 0
        for stage, pick in result["selection"].items():
            epochs = [e for e in result["epochs"] if e["stage"] == stage]
            score = {e["epoch"]: e["information"] if stage == "adapt" else -e["source_validation_accuracy"]
                     for e in epochs}
            assert pick["epoch"] == max(n for n in score if score[n] == min(score.values()))
        assert set(result["seconds"]["stages"]) == {"source", "adapt"} and result["seconds"]["total"] > 0


# ---- another runtime ----


def read_safetensors(path, numpy):
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + length])
    kinds = {"F32": numpy.float32, "I64": numpy.int64}
    return {name: numpy.frombuffer(data, kinds[t["dtype"]], offset=8 + length + t["data_offsets"][0],
                                   count=int(numpy.prod(t["shape"]))).reshape(t["shape"])
            for name, t in header.items() if name != "__metadata__"}


def enlarge(image, side, numpy):
    """Bilinear, half-pixel centres, edges clamped: the decoder's definition, written anew."""
    n = image.shape[0]
    at = numpy.clip((numpy.arange(side) + 0.5) * n / side - 0.5, 0, n - 1)
    low = numpy.floor(at).astype(int)
    high = numpy.minimum(low + 1, n - 1)
    part = at - low
    rows = image[low] * (1 - part)[:, None] + image[high] * part[:, None]
    return rows[:, low] * (1 - part) + rows[:, high] * part


def onnx_runtime_agrees_on_every_test_image():
    need_assets()
    try:
        import numpy
        import onnxruntime
    except ImportError:
        raise Skip("numpy and onnxruntime are not installed")
    with directory() as path, started(CONFIG, path / "run", sets=SHORT) as run:
        run.ok()
        ours = read_safetensors(path / "run/test.safetensors", numpy)
        text = (CACHE / "demo/handwritten.csv").read_bytes()
        images = []
        for offset in ours["index"]:
            values = text[offset:text.index(b"\n", offset)].split(b",")[:64]
            image = numpy.array([float(v) for v in values]).reshape(8, 8) * 255 / 16
            images.append(enlarge(image, 48, numpy))
        pixels = ((numpy.stack(images) - 127.5) / 127.5).astype(numpy.float32)
        batch = numpy.repeat(pixels[:, None], 3, axis=1)
        session = onnxruntime.InferenceSession(str(path / "run/adapted.onnx"), providers=["CPUExecutionProvider"])
        theirs = session.run(None, {session.get_inputs()[0].name: batch})[0]
        assert theirs.shape == ours["adapted"].shape and len(theirs) == 899
        assert (theirs.argmax(1) == ours["adapted"].argmax(1)).all()
        worst = abs(theirs - ours["adapted"]).max()
        assert worst < 1e-3, f"logits differ by {worst}"


if __name__ == "__main__":
    sys.exit(main([
        the_weights_do_not_depend_on_the_number_of_workers_or_servers,
        a_trunk_in_bfloat16_gives_its_own_weights_on_every_cluster,
        clipped_gradients_give_the_same_weights_on_every_cluster,
        accumulated_gradients_give_the_same_weights_on_every_cluster,
        another_seed_gives_other_weights,
        a_worker_killed_in_mid_epoch_changes_nothing,
        a_server_killed_in_mid_epoch_changes_nothing,
        a_worker_that_hangs_is_declared_dead_and_does_no_harm_when_it_returns,
        a_killed_coordinator_is_resumed_on_another_cluster_to_the_same_weights,
        the_first_interrupt_keeps_the_epoch_and_stops,
        the_second_interrupt_stops_now_and_loses_nothing_that_was_kept,
        a_torn_checkpoint_is_recognised_and_the_one_before_is_used,
        target_labels_and_test_images_do_not_touch_the_weights,
        result_and_files_are_complete,
        onnx_runtime_agrees_on_every_test_image,
    ]))
