#!/usr/bin/env python3
"""Coded gradients on the demo job: fewer bytes, and still the same weights whatever the cluster and whoever dies."""
import os
import re
import signal
import sys

from demo_test import CONFIG, SHORT, adapting, need_assets
from harness import directory, main, started

# One shard a worker, which would be sent alone anyway; no CORAL, whose moments are sent as they are.
APART = ("cluster.shards=2", "cluster.workers=2", "stages.adapt.losses.coral=0.0")


def coded(kind, share=0.02):
    return tuple(f"stages.[{i}].compression.{key}={value}" for i in (0, 1) for key, value in (("kind", f'"{kind}"'), ("share", share)))


def pushed(run):
    """Bytes of sums that all workers sent."""
    logs = [path.read_text() for path in run.directory.glob("log/graft-worker-*.log")]
    return sum(int(n) for log in logs for n in re.findall(r" pushed .*?bytes=(\d+)", log))


def run_once(*sets, kill=None):
    with directory() as path, started(CONFIG, path / "run", sets=(*SHORT, *APART, *sets)) as run:
        if kill:
            status = run.until(lambda s: adapting(s) and s["epoch"] >= 1)
            os.kill(next(m["pid"] for m in status["members"] if m["role"] == kill and m["state"] == "ready"), signal.SIGKILL)
        return run.ok()["weights_sha256"], pushed(run), (run.directory / "log/coordinator.log").read_text().count(" load ")


def the_weights_do_not_depend_on_the_cluster_or_a_death():
    need_assets()
    plain, _, _ = run_once()
    for kind in ("top_k", "int8_stochastic"):
        expected, _, loads = run_once(*coded(kind))
        assert expected != plain
        assert run_once(*coded(kind), "cluster.workers=1", "cluster.servers=3")[0] == expected, kind
        got, _, loads_after = run_once(*coded(kind), "cluster.replicas=1", kill="worker")
        assert got == expected, kind
        # Only who keeps errors must go back to the start of the epoch.
        assert (loads_after > loads) == (kind != "int8_stochastic"), (kind, loads, loads_after)


def fewer_bytes_are_pushed():
    need_assets()
    _, plain, _ = run_once()
    for kind, least, most in (("bfloat16", 0.45, 0.55), ("float16", 0.45, 0.55), ("int8", 0.22, 0.32), ("top_k", 0.03, 0.11)):
        share = run_once(*coded(kind))[1] / plain
        assert least < share < most, f"{kind}: {share:.3f} of the bytes"


if __name__ == "__main__":
    sys.exit(main([
        the_weights_do_not_depend_on_the_cluster_or_a_death,
        fewer_bytes_are_pushed,
    ]))
