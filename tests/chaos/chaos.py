#!/usr/bin/env python3
"""The demo job on three hosts (network namespaces) while processes are killed and stopped and the network fails, fault after
fault; it must end with the weights of a run that nothing disturbed. Needs root for the network's faults.

    chaos.py [FAULTS [SEED]]      100 faults by default; a fault begins when the one before has healed

Printed for each fault: how long no sample was worked on, and after how much silence deaths were declared. What was killed is started
anew, as a supervisor would; who only lost the coordinator comes back by itself.
"""
import contextlib
import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))
from harness import BUILD, CACHE, GRAFT, ROOT, Skip, fill, small_disk  # noqa: E402
from hosts import hosts  # noqa: E402

PORT, LATE_PORT = 7700, 7701
DEATH_MS = 2500
HEAL_SECONDS = 90
SETS = ("stages.source.epochs=2", f"cluster.death_ms={DEATH_MS}", "cluster.replicas=1", "cluster.join_seconds=60",
        "run.checkpoint_steps=3")


def job(run, epochs, *sets):
    words = [GRAFT, "run", ROOT / "configs/demo.cfg", "--quiet"]
    for item in (f"run.directory={run}", f"stages.adapt.epochs={epochs}", *SETS, *sets):
        words += ["--set", item]
    return words


class Member:
    """A place where a worker or server runs; when its process was killed or the job has ended, a new one is started."""

    def __init__(self, host, role, coordinator, logs, number):
        self.host, self.role, self.coordinator = host, role, coordinator
        self.log = logs / f"{role}-{number}.log"
        self.process = None
        self.may_end = True
        self.keep()

    def keep(self):
        if self.process is not None and self.process.poll() is None:
            return
        assert self.may_end, f"{self.role} on {self.host.address} ended by itself; see {self.log}"
        self.may_end = False
        bind = ("--bind", self.host.address) if self.role == "server" else ()
        self.process = self.host.run([BUILD / f"graft-{self.role}", "--coordinator", self.coordinator, *bind, "--log", self.log],
                                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def signal(self, number):
        self.may_end |= number == signal.SIGKILL
        os.killpg(self.process.pid, number)


class Cluster:
    def __init__(self, path, machines, epochs):
        self.path, self.machines, self.epochs = path, machines, epochs
        self.disk = path / "disk" if (path / "disk").exists() else None
        self.run = (self.disk or path) / "run"
        self.coordinator = None
        self.members = []
        self.start_coordinator()
        first, second, third = machines
        near, late = f"tcp://{first.address}:{PORT}", f"tcp://{third.address}:{LATE_PORT}"
        self.proxy = third.run([sys.executable, pathlib.Path(__file__).with_name("proxy.py"), third.address, LATE_PORT,
                                first.address, PORT, 50])
        places = ((first, "server", near), (second, "server", near), (third, "server", late),
                  (first, "worker", near), (second, "worker", near), (third, "worker", late))
        for number, (host, role, address) in enumerate(places):
            self.members.append(Member(host, role, address, path, number))

    def start_coordinator(self, *options):
        self.output = open(self.path / "coordinator.out", "ab")
        self.coordinator = self.machines[0].run(
            [*job(self.run, self.epochs, f"cluster.bind={self.machines[0].address}", f"cluster.port={PORT}",
                  'cluster.security="none"', 'cluster.transport="tcp"', "cluster.servers=3", "cluster.workers=3"), "--no-members", *options],
            stdout=self.output, stderr=subprocess.STDOUT, cwd=ROOT)

    def status(self):
        got = subprocess.run(self.machines[0].words([GRAFT, "status", self.run]), capture_output=True, text=True, cwd=ROOT)
        return json.loads(got.stdout) if got.returncode == 0 else None

    def log(self):
        path = self.run / "log/coordinator.log"
        return path.read_text().splitlines() if path.exists() else []

    def place(self, status):
        """How far the job is; grows with every sample."""
        return (status["stage"], status["epoch"], status["phase"], status["done"])

    def tend(self):
        for member in self.members:
            member.keep()

    def ended(self):
        return self.coordinator.poll() is not None

    def close(self):
        for process in (self.coordinator, self.proxy, *(member.process for member in self.members)):
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


# ---- faults: each does its harm, and returns what it was ----

def any_of(cluster, chance, role):
    return chance.choice([m for m in cluster.members if m.role == role])


def killed(role):
    def fault(cluster, chance):
        member = any_of(cluster, chance, role)
        member.signal(signal.SIGKILL)
        return f"{role} on {member.host.address} killed"
    return fault


def stopped(role, seconds):
    def fault(cluster, chance):
        member = any_of(cluster, chance, role)
        member.signal(signal.SIGSTOP)
        time.sleep(seconds)
        member.signal(signal.SIGCONT)
        return f"{role} on {member.host.address} stopped for {seconds} s"
    return fault


def cut(seconds, how):
    def fault(cluster, chance):
        host = chance.choice(cluster.machines[1:])
        if how == "link":
            host.up(False)
        else:
            host.mute()
        time.sleep(seconds)
        if how == "link":
            host.up()
        else:
            host.mute(False)
        return f"{host.address} {'cut off' if how == 'link' else 'mute'} for {seconds} s"
    return fault


def stalled(cluster, _):
    os.killpg(cluster.proxy.pid, signal.SIGUSR1)
    return "the late line stalls for 2 s"


def coordinator_killed(cluster, _):
    os.killpg(cluster.coordinator.pid, signal.SIGKILL)
    cluster.coordinator.wait()
    cluster.start_coordinator("--resume")
    return "coordinator killed and resumed"


def disk_full(cluster, _):
    """Training goes on, or the job ends with one line and is resumed when there is room again. (Then its members were told to
    end, too.)"""
    said = (cluster.path / "coordinator.out").stat().st_size
    filler = fill(cluster.disk)
    time.sleep(3)
    ended = cluster.ended()
    if ended:
        lines = (cluster.path / "coordinator.out").read_text()[said:].splitlines()
        assert sum(line.startswith("graft ") for line in lines) == 1 and "full" in lines[-1] or "No space left" in lines[-1], lines
        assert not list(cluster.run.rglob("*.tmp-*")), list(cluster.run.rglob("*.tmp-*"))
    filler.unlink()
    if ended:
        for member in cluster.members:
            member.may_end = True
        cluster.start_coordinator("--resume")
    return f"disk full for 3 s, {'the job ended and was resumed' if ended else 'training went on'}"


def both_copies_killed(cluster, chance):
    for member in chance.sample([m for m in cluster.members if m.role == "server"], 2):
        member.signal(signal.SIGKILL)
    return "two servers killed at once"


NETWORK_FAULTS = [cut(1, "link"), cut(5, "link"), cut(1, "mute"), cut(5, "mute")]
FAULTS = [killed("worker"), killed("worker"), killed("server"), killed("server"), stopped("worker", 1), stopped("worker", 4),
          stopped("server", 1), stopped("server", 4), stalled, coordinator_killed, disk_full, both_copies_killed, *NETWORK_FAULTS]


def silences(cluster):
    """Of the deaths so far, in seconds."""
    return [int(found.group(1)) / 1000 for line in cluster.log() if (found := re.search(r"silent for (\d+) ms", line))]


def await_progress(cluster, since):
    """Until samples are worked on again by a full cluster; the longest time without any progress."""
    begun = last_moved = time.monotonic()
    longest, place = 0.0, None
    calm = 0
    while time.monotonic() - begun < HEAL_SECONDS:
        cluster.tend()
        if cluster.ended():
            return longest
        status = cluster.status()
        now = time.monotonic()
        if status:
            moved = place is not None and cluster.place(status) != place
            place = cluster.place(status)
            ready = [m for m in status["members"] if m["state"] == "ready"]
            if moved:
                longest = max(longest, now - (last_moved if calm else since))
                last_moved = now
                calm += len(ready) == 6
            if calm >= 3:
                return longest
        time.sleep(0.05)
    raise AssertionError(f"not healed after {HEAL_SECONDS} s; see {cluster.path}; last status {json.dumps(cluster.status())}")


def undisturbed(path, epochs):
    subprocess.run(job(path / "calm", epochs, "cluster.servers=2"), cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return json.loads((path / "calm/result.json").read_text())["weights_sha256"]


def torment(cluster, faults, chance):
    kinds = [fault for fault in FAULTS if (cluster.machines[1].has_network or fault not in NETWORK_FAULTS) and
             (cluster.disk or fault is not disk_full)]
    order, count = [], 0
    while count < faults and not cluster.ended():
        order = order or chance.sample(kinds, len(kinds))
        before, begun = len(silences(cluster)), time.monotonic()
        text = order.pop()(cluster, chance)
        lost = await_progress(cluster, begun)
        count += 1
        noticed = "".join(f", a death after {silence:.2f} s of silence" for silence in silences(cluster)[before:])
        print(f"{count:4d} {text:44s} no progress for {lost:5.2f} s{noticed}", flush=True)
    return count


def main(faults=100, seed=1):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    signal.signal(signal.SIGINT, lambda *_: sys.exit(1))
    if not (CACHE / "demo/stamp").exists():
        print("SKIP the demo's model and data are not there: scripts/fetch-demo")
        return 0
    path = pathlib.Path(tempfile.mkdtemp(prefix="graft-chaos-"))
    epochs = 4 + faults * 2
    cluster = None
    try:
        expected = undisturbed(path, epochs)
        with contextlib.ExitStack() as stack:
            machines = stack.enter_context(hosts(3))
            with contextlib.suppress(Skip):
                stack.enter_context(small_disk(path / "disk", "64m"))
            cluster = Cluster(path, machines, epochs)
            while not (status := cluster.status()) or status["stage"] != "adapt":
                assert not cluster.ended(), (path / "coordinator.out").read_text()
                time.sleep(0.1)
            count = torment(cluster, faults, random.Random(seed))
            while not cluster.ended():
                cluster.tend()
                time.sleep(0.2)
            text = (path / "coordinator.out").read_text()
            assert cluster.coordinator.returncode == 0, text
            longest = max(silences(cluster), default=0)
            got = json.loads((cluster.run / "result.json").read_text())["weights_sha256"]
        assert got == expected, f"{got}, undisturbed {expected}"
        assert count == faults, f"the job ended after {count} faults: more epochs are needed"
        print(f"{count} faults, the same weights as undisturbed: {got[:16]}…; at most {longest:.2f} s of "
              "silence before a death was declared")
        shutil.rmtree(path)
        return 0
    finally:
        if cluster is not None:
            cluster.close()


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
