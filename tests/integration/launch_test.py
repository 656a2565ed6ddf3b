#!/usr/bin/env python3
"""scripts/launch-ssh on three hosts, each with an OpenSSH server and an address of its own (network namespaces; without root this
machine three times): the demo job's weights, and nothing left anywhere, whatever happens."""
import contextlib
import os
import pathlib
import re
import shutil
import signal
import stat
import subprocess
import sys
import time

from demo_test import CONFIG, SHORT, adapting, need_assets, undisturbed
from harness import BUILD, CACHE, ROOT, Run, directory, main

sys.path.insert(0, str(ROOT / "tests/chaos"))
from hosts import hosts  # noqa: E402
from sshd import marked, sshd  # noqa: E402

LONG = ("stages.source.epochs=2", "stages.adapt.epochs=40")


class Launch(Run):
    """scripts/launch-ssh on the first host."""

    def __init__(self, host, config, directory, env, *options, sets=()):
        self.directory, self.mark = directory, env["GRAFT_TEST_MARK"]
        words = [ROOT / "scripts/launch-ssh", config, "--quiet", *options]
        for item in (f"run.directory={directory}", *sets):
            words += ["--set", item]
        self.output = open(directory.parent / "output", "w+b")
        self.process = host.run(words, cwd=directory.parent, env={**env, "GRAFT_BUILD": str(BUILD)}, stdout=self.output, stderr=subprocess.STDOUT)

    def nothing_is_left(self, seconds):
        limit = time.monotonic() + seconds
        while left := marked(self.mark):
            assert time.monotonic() < limit, left
            time.sleep(0.1)


@contextlib.contextmanager
def cluster():
    """Three hosts with a job of 3 servers and 3 workers; yields hosts, folder, environment, config."""
    need_assets()
    with directory() as path, hosts(3) as machines:
        keys = path / "ssh"
        keys.mkdir()
        with sshd(machines, keys, path) as env:
            text = CONFIG.read_text().replace("cluster = {", f'''cluster = {{
  bind = "{machines[0].address}"; transport = "tcp"; replicas = 1;
  hosts = (
    {{ login = "box1"; address = "{machines[0].address}"; servers = 1; programs = "{BUILD}"; }},
    {{ login = "box2"; address = "{machines[1].address}"; servers = 1; workers = 2; programs = "{BUILD}"; }},
    {{ login = "box3"; address = "{machines[2].address}"; servers = 1; workers = 1; programs = "{BUILD}"; }}
  );''')
            (path / "job.cfg").write_text(text)
            yield machines, path, env, path / "job.cfg"


@contextlib.contextmanager
def launched(*options, sets=SHORT):
    with cluster() as (machines, path, env, config):
        run = Launch(machines[0], config, path / "run", env, *options, sets=sets)
        try:
            yield machines, run
        finally:
            run.end()
            for pid, _ in marked(run.mark):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def keys_are_where_they_belong(run):
    """Only the secret of the role that runs there, for the owner alone, and in nobody's arguments."""
    folders = {}
    for _, words in marked(run.mark):
        if "--keys" in words and pathlib.Path(words[0]).name in ("graft-server", "graft-worker"):
            folders.setdefault(pathlib.Path(words[words.index("--keys") + 1]), set()).add(pathlib.Path(words[0]).name[6:])
    secrets = set()
    for folder, roles in folders.items():
        assert {f.name for f in folder.iterdir()} == {"allowed", *(f"{role}.secret" for role in roles)}, folder
        for secret in folder.glob("*.secret"):
            assert stat.S_IMODE(secret.stat().st_mode) == 0o600
            secrets.add(secret.read_text().split()[-1])
    assert len(folders) == 3 and len(secrets) == 3, folders
    for _, words in marked(run.mark):
        assert not any(secret in " ".join(words) for secret in secrets), words
    return folders


def a_job_on_three_hosts_ends_with_the_same_weights_and_nothing_stays_behind():
    with launched() as (_, run):
        run.until(adapting)
        folders = keys_are_where_they_belong(run)
        result = run.ok()
        assert result["weights_sha256"] == undisturbed()
        run.nothing_is_left(1)
        assert not any(folder.exists() for folder in folders), folders
        logs = [log.name for log in (run.directory / "log").iterdir()]
        assert sum("worker-" in name for name in logs) == 3 and sum("server-" in name for name in logs) == 3, logs
        assert all(" memory peak=" in log.read_text() for log in (run.directory / "log").glob("*-worker-*.log"))


def a_dead_host_is_reported_while_the_job_goes_on():
    with launched() as (machines, run):
        run.until(adapting)
        for pid, words in marked(run.mark):
            # All sessions are children of their host's server; the host dies with its members.
            if f"tcp://{machines[0].address}" in " ".join(words) and machines[2].address in words:
                with contextlib.suppress(ProcessLookupError):  # a shell that ended with its member
                    os.kill(pid, signal.SIGKILL)
        assert run.ok()["weights_sha256"] == undisturbed()
        assert re.search(r"launch-ssh: box3: the session ended with status \d+; the job goes on", run.text()), run.text()
        run.nothing_is_left(1)


def a_member_that_is_killed_comes_back():
    with launched(sets=LONG) as (_, run):
        status = run.until(adapting)
        victim = next(m for m in status["members"] if m["role"] == "worker")
        os.kill(victim["pid"], signal.SIGKILL)
        run.until(lambda s: sum(m["role"] == "worker" and m["state"] == "ready" for m in s["members"]) == 3
                  and any(m["pid"] == victim["pid"] and m["state"] == "dead" for m in s["members"]))
        assert re.search(r"launch-ssh: box\d: worker-\d ended with status 137, is started anew", run.text()), run.text()


def ctrl_c_ends_everything():
    with launched(sets=LONG) as (_, run):
        run.until(adapting)
        assert len(marked(run.mark)) >= 7
        run.process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        run.process.send_signal(signal.SIGINT)
        run.wait()
        assert run.process.returncode == 1 and "stopped at once" in run.text(), run.text()
        run.nothing_is_left(1)


def nothing_outlives_a_launcher_that_is_killed():
    with launched(sets=LONG) as (_, run):
        run.until(adapting)
        os.kill(run.process.pid, signal.SIGKILL)
        run.process.wait()
        run.nothing_is_left(8)


def what_is_wrong_is_said_before_anything_starts():
    with cluster() as (machines, path, env, config):
        def refused(words, *sets):
            run = Launch(machines[0], config, path / "run", env, sets=sets).wait()
            assert run.process.returncode == 1 and not run.directory.exists(), run.text()
            assert len(run.text().splitlines()) == 1 and re.search(words, run.text()), run.text()

        refused("box9", 'cluster.hosts.[1].login="box9"')
        refused("box2.*graft: .*not found", 'cluster.hosts.[1].programs="/nowhere"')
        refused(r"box2.*/nowhere: No such", 'cluster.hosts.[1].directory="/nowhere"')
        refused("cannot reach", 'cluster.bind="127.0.0.1"', 'cluster.hosts.[2].address="10.77.0.3"')
        other = path / "other"
        other.mkdir()
        (other / "graft").write_text("#!/bin/sh\necho graft 0.0.9 sse\n")
        (other / "graft").chmod(0o755)
        refused(r"box2 has graft 0\.0\.9 sse; here is graft \d", f'cluster.hosts.[1].programs="{other}"')
        elsewhere = path / "elsewhere"
        elsewhere.mkdir()
        names = ("printed-train-images.idx3-ubyte", "printed-train-labels.idx1-ubyte")
        for name in names:
            shutil.copy(CACHE / "demo" / name, path)
        sets = [f'data.domains.printed.sources.[0].{key}="{name}"' for key, name in zip(("path", "labels"), names)]
        sets.append(f'cluster.hosts.[2].directory="{elsewhere}"')
        refused(r"box3: .*printed-train-.*No such file", *sets)
        for name in names:
            data = bytearray((path / name).read_bytes())
            data[-1] ^= 1
            (elsewhere / name).write_bytes(data)
        refused("box3: its data or model differ", *sets)


if __name__ == "__main__":
    sys.exit(main([
        a_job_on_three_hosts_ends_with_the_same_weights_and_nothing_stays_behind,
        a_dead_host_is_reported_while_the_job_goes_on,
        a_member_that_is_killed_comes_back,
        ctrl_c_ends_everything,
        nothing_outlives_a_launcher_that_is_killed,
        what_is_wrong_is_said_before_anything_starts,
    ]))
