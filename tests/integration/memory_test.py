#!/usr/bin/env python3
"""What `graft inspect --memory` says before a run against what the processes took; limits and refusals. The demo's model and
data, with an empty feature cache: with a full one less is needed."""
import contextlib
import os
import re
import sys

from harness import CACHE, GRAFT, ROOT, Skip, directory, graft, main, started

CONFIG = ROOT / "configs/demo.cfg"
MIB = 1024 * 1024
TOLERANCE = 0.10
SANITIZED = "release" not in str(GRAFT)
SHORT = ("stages.source.epochs=1", "stages.adapt.epochs=1")
# The same network, all of it live, on the handwritten digits with their labels.
WHOLE_NETWORK = """
run = { name = "whole"; };
cluster = { workers = 2; servers = 1; shards = 4; };
model = { file = "cache:demo/ch_PP-OCRv4_rec_infer.onnx"; cut = "p2o.AveragePool.1"; };
data = {
  classes = [ "0", "1", "2", "3", "4", "5", "6", "7", "8", "9" ];
  preprocess = { width = 48; height = 48; mean = 127.5; std = 127.5; };
  domains = ( { name = "handwritten"; divide = [ 0.3, 0.0, 0.7 ]; sources = ( { format = "csv"; path = "cache:demo/handwritten.csv";
    label_column = 64; width = 8; height = 8; value_max = 16.0; } ); } );
};
stages = ( { name = "train"; domains = [ "handwritten" ]; live = [ "*" ]; epochs = 1; micro_batch = 32;
  losses = { cross_entropy = 1.0; }; } );
"""


@contextlib.contextmanager
def empty_cache():
    if not (CACHE / "demo/stamp").exists():
        raise Skip("the demo's model and data are not there: scripts/fetch-demo")
    with directory() as path:
        (path / "demo").symlink_to(CACHE / "demo", target_is_directory=True)
        before = os.environ.get("GRAFT_CACHE")
        os.environ["GRAFT_CACHE"] = str(path)
        try:
            yield path
        finally:
            os.environ.pop("GRAFT_CACHE")
            if before is not None:
                os.environ["GRAFT_CACHE"] = before


def plan(config, sets):
    """Bytes of a worker and of a server, as shown."""
    got = graft("inspect", "--memory", config, *(part for item in sets for part in ("--set", item)))
    assert got.returncode == 0, got.stderr
    return [float(line.split()[1]) * MIB for line in got.stdout.splitlines() if line.split()[0] == "peak"]


def took(run, program):
    """The most that a member of the kind had in physical memory."""
    logs = list((run.directory / "log").glob(f"{program}-*.log"))
    peaks = [int(re.search(r"memory peak=(\d+)", log.read_text()).group(1)) for log in logs]
    assert peaks, f"no log of {program}"
    return max(peaks)


def job(config, path, sets):
    """Runs it; the hash, and what workers and servers took."""
    with started(config, path, sets=sets) as run:
        result = run.ok()
        return result["weights_sha256"], took(run, "graft-worker"), took(run, "graft-server")


def near(what, planned, taken):
    print(f"     {what}: planned {planned / MIB:.1f} MiB, took {taken / MIB:.1f} MiB ({taken / planned - 1:+.1%})")
    assert SANITIZED or abs(taken - planned) <= TOLERANCE * planned, f"{what}: planned {planned / MIB:.1f} MiB, " \
                                                                     f"took {taken / MIB:.1f} MiB"


def the_processes_take_what_was_planned_with_the_last_layer_live():
    with empty_cache() as path:
        planned = plan(CONFIG, SHORT)
        _, worker, server = job(CONFIG, path / "run", SHORT)
        near("worker", planned[0], worker)
        near("server", planned[1], server)


def the_largest_cluster_can_be_planned():
    with empty_cache():
        worker, server = plan(CONFIG, ("cluster.servers=256", "cluster.replicas=1"))
        assert worker > 0 and server > 0


def with_the_whole_network_live_too_and_a_limit_changes_no_bit():
    with empty_cache() as path:
        config = path / "whole.cfg"
        config.write_text(WHOLE_NETWORK)
        planned = plan(config, ())[0]
        free, worker, _ = job(config, path / "free", ())
        near("without a limit", planned, worker)
        refusal = graft("inspect", "--memory", config, "--set", "cluster.memory_limit=1").stderr
        least = int(re.search(r"a worker needs (\d+) bytes", refusal).group(1))
        assert least < 0.8 * planned, f"{least / MIB:.1f} MiB"
        limited = (f"cluster.memory_limit={int(least * 1.05)}",)
        planned = plan(config, limited)[0]
        assert planned <= least * 1.05
        same, worker, _ = job(config, path / "limited", limited)
        near("with a limit", planned, worker)
        assert same == free, f"{same} with a limit, {free} without"


def a_job_that_cannot_fit_is_refused_before_the_start_with_the_number():
    with empty_cache() as path:
        sets = (*SHORT, "cluster.memory_limit=50000000")
        with started(CONFIG, path / "run", sets=sets) as run:
            line = run.refused("a worker needs", "cluster.memory_limit allows 50000000", "micro_batch")
        assert int(re.search(r"needs (\d+) bytes", line).group(1)) > 50000000
        assert not (path / "features").exists() or not list((path / "features").rglob("*.features")), "it began"
        got = graft("check", CONFIG, "--set", "cluster.memory_limit=50000000")
        assert got.returncode == 1 and "a worker needs" in got.stderr and "sound" not in got.stdout, got.stdout + got.stderr
        got = graft("check", CONFIG, "--set", "cluster.memory_limit=2000000000")
        assert got.returncode == 0 and "sound" in got.stdout, got.stderr


if __name__ == "__main__":
    sys.exit(main([
        the_processes_take_what_was_planned_with_the_last_layer_live,
        the_largest_cluster_can_be_planned,
        with_the_whole_network_live_too_and_a_limit_changes_no_bit,
        a_job_that_cannot_fit_is_refused_before_the_start_with_the_number,
    ]))
