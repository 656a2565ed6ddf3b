#!/usr/bin/env python3
"""The demo job, shortened, in ssp and asp: it ends, learns, and counts every sample once, whoever is slow or dies. What was
done by one worker alone can be done again to the bit."""
import os
import signal
import subprocess
import sys

from demo_test import CONFIG, SHORT, adapting, need_assets
from harness import GRAFT, ROOT, directory, graft, main, started

TARGETS, SOURCES = 898, 8 * 8 * 16  # samples of an epoch of adapt: unlabelled ones, and 8 steps of 8 shards


def mode(name, *keys):
    return [f'stages.{stage}.{key}' for stage in ("source", "adapt") for key in (f'mode="{name}"', *keys)]


def each_sample_counted_once(result):
    epochs = [e for e in result["epochs"] if e["stage"] == "adapt"]
    assert len(epochs) == 3
    for epoch in epochs:
        assert epoch["terms"]["information"]["samples"] == TARGETS, epoch
        assert epoch["terms"]["cross_entropy"]["samples"] == SOURCES, epoch
    assert result["adapted"]["accuracy"] > result["source_only"]["accuracy"] + 0.05


def no_bound_was_passed(run):
    for log in (run.directory / "log").glob("graft-server-*.log"):
        assert "beyond_staleness" not in log.read_text()


def a_killed_worker_costs_no_sample(name, *keys):
    need_assets()
    sets = (*SHORT, *mode(name, *keys), "cluster.workers=3")
    with directory() as path, started(CONFIG, path / "run", sets=sets) as run:
        status = run.until(adapting)
        os.kill(next(m["pid"] for m in status["members"] if m["role"] == "worker"), signal.SIGKILL)
        each_sample_counted_once(run.ok())
        no_bound_was_passed(run)
        assert "view 2: 2 workers" in (run.directory / "log/coordinator.log").read_text()


def a_worker_killed_in_ssp_costs_no_sample():
    a_killed_worker_costs_no_sample("ssp", "staleness=1", "staleness_scaling=true")


def a_worker_killed_in_asp_costs_no_sample():
    a_killed_worker_costs_no_sample("asp", "delay_compensation=1.0")


def a_server_killed_in_asp_costs_the_epoch_and_no_more():
    need_assets()
    with directory() as path, started(CONFIG, path / "run", sets=(*SHORT, *mode("asp"))) as run:
        status = run.until(adapting)
        os.kill(next(m["pid"] for m in status["members"] if m["role"] == "server"), signal.SIGKILL)
        each_sample_counted_once(run.ok())


def one_worker_gives_the_same_weights_again():
    need_assets()
    hashes = set()
    for servers in (1, 2):
        sets = (*SHORT, *mode("asp"), "cluster.workers=1", f"cluster.servers={servers}")
        with directory() as path, started(CONFIG, path / "run", sets=sets) as run:
            hashes.add(run.ok()["weights_sha256"])
    assert len(hashes) == 1, hashes


def what_these_modes_lack_is_refused():
    for keys, word in ((mode("asp", "clip_norm=1.0"), "clip_norm"), ((*mode("ssp"), "cluster.replicas=1"), "replicas")):
        got = graft("check", str(CONFIG), *(part for key in keys for part in ("--set", key)))
        assert got.returncode != 0 and word in got.stderr and len(got.stderr.splitlines()) == 1, got.stderr
    need_assets()
    with directory() as path, started(CONFIG, path / "run", sets=(*SHORT, *mode("asp"))) as run:
        status = run.until(adapting)
        server = next(m["number"] for m in status["members"] if m["role"] == "server")
        got = subprocess.run([str(GRAFT), "drain", str(run.directory), str(server)], capture_output=True, text=True,
                             cwd=ROOT)
        assert got.returncode != 0 and "does not move parameters" in got.stderr, got
        run.ok()


if __name__ == "__main__":
    sys.exit(main([
        a_worker_killed_in_ssp_costs_no_sample,
        a_worker_killed_in_asp_costs_no_sample,
        a_server_killed_in_asp_costs_the_epoch_and_no_more,
        one_worker_gives_the_same_weights_again,
        what_these_modes_lack_is_refused,
    ]))
