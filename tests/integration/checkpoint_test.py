#!/usr/bin/env python3
"""Checkpoints within an epoch: the demo job, killed in the middle of one, goes on from there on another cluster."""
import json
import os
import re
import signal
import sqlite3
import sys

from demo_test import CONFIG, SHORT, adapting, checkpoints, need_assets, step_of, undisturbed
from harness import directory, fill, graft, main, small_disk, started

EVERY = 2
OFTEN = (*SHORT, f"run.checkpoint_steps={EVERY}", "run.checkpoints_kept=4")


def within(checkpoint):
    return json.loads((checkpoint / "run.json").read_text())["epoch_step"] > 0


def log(path):
    return (path / "log/coordinator.log").read_text()


def kill_within_an_epoch(path):
    """Steps made by then, and whole checkpoints, oldest first."""
    need_assets()
    with started(CONFIG, path, sets=OFTEN) as run:
        run.until(lambda s: adapting(s) and s["epoch"] >= 2 and (kept := checkpoints(path)) and within(max(kept, key=step_of)))
        os.kill(run.process.pid, signal.SIGKILL)
        run.process.wait()
    return sorted(checkpoints(path), key=step_of)


def resumed(path, *sets):
    """Goes on to the end; the hash, and the step that it went on from."""
    words = [word for item in sets for word in ("--set", item)]
    before = len(log(path))
    got = graft("resume", path, "--quiet", *words)
    assert got.returncode == 0, got.stdout + got.stderr
    load = re.search(r"load generation 1, epoch (\d+), step (\d+) of the stage(, within)?", log(path)[before:])
    assert load, log(path)[before:]
    return json.loads((path / "result.json").read_text())["weights_sha256"], int(load[2]), bool(load[3])


def a_killed_coordinator_goes_on_within_the_epoch_on_another_cluster():
    expected = undisturbed()
    with directory() as path:
        kept = kill_within_an_epoch(path / "run")
        newest = json.loads((kept[-1] / "run.json").read_text())
        weights, step, partway = resumed(path / "run", "cluster.workers=3", "cluster.servers=1", "run.checkpoint_steps=0")
        assert weights == expected
        assert step == newest["stage_step"] and partway == within(kept[-1])
        print(f"     killed after the checkpoint of step {newest['step']}, gone on from there")


def of_damaged_checkpoints_the_one_before_is_used():
    expected = undisturbed()
    with directory() as path:
        kept = kill_within_an_epoch(path / "run")
        assert len(kept) >= 3, kept
        with open(kept[-1] / "epoch.safetensors", "r+b") as file:
            file.truncate(os.path.getsize(file.name) // 2)
        with open(kept[-2] / "model.safetensors", "r+b") as file:
            file.seek(-5, os.SEEK_END)
            byte = file.read(1)
            file.seek(-5, os.SEEK_END)
            file.write(bytes([byte[0] ^ 1]))
        before = json.loads((kept[-3] / "run.json").read_text())
        weights, step, _ = resumed(path / "run")
        assert weights == expected and step == before["stage_step"]
        assert log(path / "run").count("checkpoint_damaged") == 2


def a_lost_server_costs_no_more_than_the_steps_since_the_last_checkpoint():
    expected = undisturbed()
    with directory() as path, started(CONFIG, path / "run", sets=OFTEN) as run:
        status = run.until(lambda s: adapting(s) and (kept := checkpoints(path / "run")) and within(max(kept, key=step_of)))
        os.kill(next(m["pid"] for m in status["members"] if m["role"] == "server"), signal.SIGKILL)
        assert run.ok()["weights_sha256"] == expected
        assert re.search(r"load generation .*, within the next epoch", log(path / "run")), log(path / "run")


def the_last_ones_and_the_best_are_kept():
    need_assets()
    with directory() as path, started(CONFIG, path / "run", sets=(*SHORT, "run.checkpoint_steps=1", "run.checkpoints_kept=2")) as run:
        run.ok()
        written = [int(step) for step in re.findall(r"checkpoint path=\S+/step-(\d+)", log(path / "run"))]
        rows = sqlite3.connect(path / "run/run.db").execute("SELECT stage, step FROM epoch WHERE best ORDER BY step").fetchall()
        best = set(dict(rows).values())
        assert {step_of(kept) for kept in checkpoints(path / "run")} == {*written[-2:], *best}, (written, best)
        assert len(written) > 12, written


def a_full_disk_within_an_epoch_is_a_warning_and_training_goes_on():
    need_assets()
    sets = ("stages.source.epochs=1", "stages.adapt.epochs=1", "stages.adapt.micro_batch=1", "cluster.shards=2", "run.checkpoint_steps=10")
    with directory() as path, small_disk(path / "small", "64m") as small:
        with started(CONFIG, path / "run", sets=sets) as run:
            expected = run.ok()["weights_sha256"]
        with started(CONFIG, small / "run", sets=sets) as run:
            run.until(lambda s: adapting(s) and any(within(kept) for kept in checkpoints(small / "run")))
            filler = fill(small)
            run.until(lambda s: "warning:" in run.text())
            assert "No space left" in run.text() and "training goes on" in run.text(), run.text()
            before = max(map(step_of, checkpoints(small / "run")))
            filler.unlink()
            assert run.ok()["weights_sha256"] == expected
            assert run.text().count("warning:") == 1, run.text()
            assert any(within(kept) and step_of(kept) > before for kept in checkpoints(small / "run"))


def there_is_nothing_to_resume_where_no_run_is():
    with directory() as path:
        got = graft("resume", path)
        assert got.returncode == 1 and "no run of graft is there" in got.stderr, got.stderr
        assert graft("resume").returncode == 2


if __name__ == "__main__":
    sys.exit(main([
        a_killed_coordinator_goes_on_within_the_epoch_on_another_cluster,
        of_damaged_checkpoints_the_one_before_is_used,
        a_lost_server_costs_no_more_than_the_steps_since_the_last_checkpoint,
        the_last_ones_and_the_best_are_kept,
        a_full_disk_within_an_epoch_is_a_warning_and_training_goes_on,
        there_is_nothing_to_resume_where_no_run_is,
    ]))
