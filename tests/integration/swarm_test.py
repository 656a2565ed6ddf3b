#!/usr/bin/env python3
"""The short form of `make swarm`: a coordinator is not asked for more by longer or more steps, and memory is small for a worker."""
import signal
import sys
import time

from demo_test import need_assets
from harness import ROOT, main

sys.path.insert(0, str(ROOT / "tests/bench"))
import swarm  # noqa: E402

WORKERS, SERVERS, STEPS = 50, 4, 6


def fifty_workers_train_and_the_coordinator_hears_heartbeats_only():
    """Not even while a server is away for longer than the coordinator's patience (2 s)."""
    need_assets()

    def pause(cluster):
        cluster.servers[0].send_signal(signal.SIGSTOP)
        time.sleep(7)
        cluster.servers[0].send_signal(signal.SIGCONT)

    got = swarm.measure(WORKERS, SERVERS, STEPS, meanwhile=pause)
    assert got["steps"] == STEPS, got
    assert got["seconds"] > 6, got
    assert got["control"] <= 2 * WORKERS, got
    assert got["pushed_bytes"] > 0 and got["weight_bytes"] > 0, got
    assert got["coordinator_mib"] < 400, got  # sanitizers included


if __name__ == "__main__":
    sys.exit(main([fifty_workers_train_and_the_coordinator_hears_heartbeats_only]))
