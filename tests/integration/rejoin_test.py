#!/usr/bin/env python3
"""Members that were started by hand come back to a coordinator that was killed and resumed; not for ever."""
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time

from demo_test import CONFIG, SHORT, adapting, undisturbed
from harness import BUILD, DEADLINE, ROOT, directory, main, started


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextlib.contextmanager
def members(path, port):
    started_here = []
    try:
        for role in ("server", "server", "worker", "worker"):
            words = [BUILD / f"graft-{role}", "--coordinator", f"tcp://127.0.0.1:{port}", "--log", path / f"{len(started_here)}.log"]
            started_here.append(subprocess.Popen(words, cwd=ROOT, stderr=subprocess.PIPE, start_new_session=True, text=True))
        yield started_here
    finally:
        for process in started_here:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def kill_when_adapting(run):
    run.until(lambda s: adapting(s) and s["epoch"] >= 2)
    os.kill(run.process.pid, signal.SIGKILL)
    run.process.wait()


def members_come_back_to_a_coordinator_that_was_started_again():
    expected, port = undisturbed(), free_port()
    sets = (*SHORT, f"cluster.port={port}", "run.checkpoint_steps=2")
    with directory() as path, members(path, port) as processes:
        with started(CONFIG, path / "run", "--no-members", sets=sets) as run:
            kill_when_adapting(run)
        with started(CONFIG, path / "run", "--no-members", "--resume", sets=sets) as run:
            assert run.ok()["weights_sha256"] == expected
        for process in processes:
            assert process.wait(DEADLINE) == 0 and process.stderr.read() == ""
        logs = [(path / f"{i}.log").read_text() for i in range(4)]
        assert all(log.count(" again ") == 1 for log in logs), logs


def members_that_find_none_end_with_one_line():
    undisturbed()
    port = free_port()
    sets = (*SHORT, f"cluster.port={port}", "cluster.heartbeat_ms=100", "cluster.death_ms=500", "cluster.join_seconds=6")
    with directory() as path, members(path, port) as processes:
        with started(CONFIG, path / "run", "--no-members", sets=sets) as run:
            kill_when_adapting(run)
        begun = time.monotonic()
        for process in processes:
            assert process.wait(DEADLINE) == 1
            lines = process.stderr.read().splitlines()
            assert len(lines) == 1 and "no answer from a coordinator within 6 s" in lines[0], lines
        assert time.monotonic() - begun > 5


if __name__ == "__main__":
    sys.exit(main([members_come_back_to_a_coordinator_that_was_started_again, members_that_find_none_end_with_one_line]))
