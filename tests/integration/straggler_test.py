#!/usr/bin/env python3
"""A worker that has become slow loses shards to the others, and the weights stay the same."""
import os
import signal
import sys
import threading
import time

from demo_test import CONFIG, adapting, need_assets
from harness import directory, main, started

LONG = ("stages.source.epochs=1", "stages.adapt.epochs=8", "cluster.workers=2", "cluster.servers=1")


class Brake:
    """Lets a process run for a fifth of the time."""

    def __init__(self, pid):
        self.pid, self.ends = pid, threading.Event()
        self.thread = threading.Thread(target=self.pulse)
        self.thread.start()

    def pulse(self):
        while not self.ends.is_set():
            os.kill(self.pid, signal.SIGSTOP)
            time.sleep(0.16)
            os.kill(self.pid, signal.SIGCONT)
            time.sleep(0.04)

    def release(self):
        self.ends.set()
        self.thread.join()


def shards(status):
    return {m["pid"]: m["shards"] for m in status["members"] if m["role"] == "worker" and m["state"] == "ready"}


def rate(run, seconds=6):
    """Samples a second, over some seconds of training."""
    def place(status):
        return (status["epoch"] - 1) * status["total"] + status["done"]
    first, begun = place(run.until(adapting)), time.monotonic()
    time.sleep(seconds)
    return (place(run.until(adapting)) - first) / (time.monotonic() - begun)


def shards_move_away_from_a_slow_worker():
    need_assets()
    with directory() as path:
        with started(CONFIG, path / "calm", sets=LONG) as run:
            expected = run.ok()["weights_sha256"]
        with started(CONFIG, path / "run", sets=LONG) as run:
            even = shards(run.until(adapting))
            slow = min(even)
            assert set(even.values()) == {4}, even
            brake = Brake(slow)
            try:
                before = rate(run)
                run.until(lambda s: shards(s)[slow] < 4)
                after = rate(run)
            finally:
                brake.release()
            moved = shards(run.until(adapting))
            print(f"     {before:.0f} samples a second with 4 shards on a slow worker, {after:.0f} with {moved[slow]}")
            assert moved[slow] < 4 and sum(moved.values()) == 8, moved
            assert run.ok()["weights_sha256"] == expected


if __name__ == "__main__":
    sys.exit(main([shards_move_away_from_a_slow_worker]))
