#!/usr/bin/env python3
"""Members that join, leave or are replaced by their backups while the demo job runs: the same weights, and no step lost."""
import os
import signal
import subprocess
import sys

from demo_test import CONFIG, SHORT, adapting, need_assets, undisturbed
from harness import GRAFT, ROOT, directory, main, started

# More epochs than there is time for: the run goes on while members come and go.
LONG = ("stages.source.epochs=2", "stages.adapt.epochs=12")
_long = []


def undisturbed_long():
    need_assets()
    if not _long:
        with directory() as path, started(CONFIG, path / "run", sets=LONG) as run:
            _long.append((run.ok()["weights_sha256"], len(loads(run))))
    return _long[0]


def log(run):
    return (run.directory / "log/coordinator.log").read_text().splitlines()


def loads(run):
    return [line for line in log(run) if " load " in line]


def ask(run, *arguments):
    got = subprocess.run([str(GRAFT), arguments[0], str(run.directory), *map(str, arguments[1:])],
                         capture_output=True, text=True, cwd=ROOT)
    return got.returncode, got.stdout + got.stderr


def ready(status, role):
    return [m["number"] for m in status["members"] if m["role"] == role and m["state"] == "ready"]


def a_backup_takes_over_from_a_killed_server_without_a_rewind():
    expected, calm_loads = undisturbed_long()
    with directory() as path, started(CONFIG, path / "run", sets=(*LONG, "cluster.servers=3", "cluster.replicas=1")) as run:
        status = run.until(lambda s: adapting(s) and s["epoch"] >= 2)
        victim = next(m for m in status["members"] if m["role"] == "server" and m["state"] == "ready")
        os.kill(victim["pid"], signal.SIGKILL)
        assert run.ok()["weights_sha256"] == expected
        assert any(" death " in line for line in log(run))
        assert len(loads(run)) == calm_loads, f"{len(loads(run))} loads, {calm_loads} without a death"


def members_join_and_leave_a_running_job():
    expected, calm_loads = undisturbed_long()
    with directory() as path, started(CONFIG, path / "run", sets=(*LONG, "cluster.servers=1", "cluster.workers=1")) as run:
        run.until(adapting)
        assert ask(run, "scale", "workers=3", "servers=3")[0] == 0
        status = run.until(lambda s: len(ready(s, "worker")) == 3 and len(ready(s, "server")) == 3)
        first = {role: min(ready(status, role)) for role in ("worker", "server")}
        for role in first:
            code, text = ask(run, "drain", first[role])
            assert code == 0, text
        gone = run.until(lambda s: all(m["state"] == "left" for m in s["members"] if m["number"] in first.values()))
        assert gone["phase"] in ("train", "predict"), gone["phase"]
        assert run.ok()["weights_sha256"] == expected
        assert len(loads(run)) == calm_loads


def the_last_of_a_role_and_strangers_cannot_be_drained():
    need_assets()
    with directory() as path, started(CONFIG, path / "run", sets=(*SHORT, "cluster.servers=1")) as run:
        status = run.until(adapting)
        code, text = ask(run, "drain", ready(status, "server")[0])
        assert code == 1 and "is the last server" in text, text
        code, text = ask(run, "drain", 99)
        assert code == 1 and "no member 99" in text, text
        code, text = ask(run, "scale", "workers=0")
        assert code == 2, text
        assert run.ok()["weights_sha256"] == undisturbed()


if __name__ == "__main__":
    sys.exit(main([
        a_backup_takes_over_from_a_killed_server_without_a_rewind,
        members_join_and_leave_a_running_job,
        the_last_of_a_role_and_strangers_cannot_be_drained,
    ]))
