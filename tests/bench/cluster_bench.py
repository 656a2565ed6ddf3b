#!/usr/bin/env python3
"""What copies on a second server cost a step, and a head of 100 MB on two hosts joined by 1 Gbit/s beside max(compute, transfer).
Real processes; the hosts are network namespaces (as root), whose links tc's token bucket shapes."""
import json
import pathlib
import statistics
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "chaos"))
import swarm
from harness import BUILD, CACHE, GRAFT, ROOT, directory, started
from hosts import Here, hosts

SIDE, CLASSES, SHARDS, MICRO_BATCH, STEPS = 80, 4096, 2, 8, 12
FEATURES = SIDE * SIDE
HEAD_BYTES = 4 * CLASSES * (FEATURES + 1)
LINK_BITS = 1e9
TURNS = 3

HEAD_JOB = """
cluster = {{ workers = 1; servers = 1; shards = {shards}; security = "none"; transport = "tcp"; heartbeat_ms = 50;
             death_ms = 20000; join_seconds = 60; }};
data = {{
  classes = [ {classes} ];
  preprocess = {{ width = {side}; height = {side}; channels = 1; }};
  domains = ( {{ name = "all"; sources = (
    {{ format = "csv"; split = "train"; path = "{path}/train.csv"; label_column = {features};
       width = {side}; height = {side}; }},
    {{ format = "csv"; split = "test"; path = "{path}/test.csv"; label_column = {features};
       width = {side}; height = {side}; }} ); }} );
}};
stages = ( {{ name = "only"; domains = [ "all" ]; epochs = 1; micro_batch = {micro_batch};
              optimizer = {{ kind = "sgd"; rate = 1e-6; }}; }} );
"""


def replication_of_real_jobs():
    """Seconds of the demo's second stage, copies off and on in turns."""
    seconds = {0: [], 1: []}
    for _ in range(TURNS):
        for replicas in seconds:
            with directory() as path, started(ROOT / "configs/demo.cfg", path / "run", sets=(
                    "stages.source.epochs=1", "stages.adapt.epochs=5", f"cluster.replicas={replicas}")) as run:
                epochs = run.ok()["epochs"]
                seconds[replicas] += [epoch["seconds"] for epoch in epochs if epoch["stage"] == "adapt"][1:]
    return {replicas: statistics.median(values) for replicas, values in seconds.items()}


def replication_of_steps():
    """Of 4 workers that compute nothing, so that nothing hides the copying: milliseconds of a step, and of the servers' CPU."""
    steps = {0: [], 1: []}
    for _ in range(TURNS):
        for replicas in steps:
            got = swarm.measure(4, servers=2, steps=100, replicas=replicas)
            steps[replicas].append((got["seconds"] * 1e3 / got["steps"], got["servers_cpu"] * 1e3 / got["steps"]))
    return {replicas: [statistics.median(column) for column in zip(*values)] for replicas, values in steps.items()}


def write_head_job(path):
    samples = SHARDS * MICRO_BATCH * STEPS
    line = ",".join(str(i * i % 10) for i in range(FEATURES))
    (path / "train.csv").write_text("".join(f"{line},{i % CLASSES}\n" for i in range(samples)))
    (path / "test.csv").write_text(f"{line},0\n")
    (path / "job.cfg").write_text(HEAD_JOB.format(shards=SHARDS, features=FEATURES, side=SIDE, micro_batch=MICRO_BATCH, path=path,
                                                  classes=", ".join(f'"{i}"' for i in range(CLASSES))))


def step_seconds(path, first, second):
    """Coordinator and server on the first host, the worker on the second: from the first to the last step of an epoch."""
    running = []

    def run(host, *words):
        log = open(path / f"{len(running)}.log", "wb")
        running.append(host.run(words, stdout=log, stderr=subprocess.STDOUT, cwd=ROOT))
        return running[-1]

    try:
        coordinator = run(first, GRAFT, "run", path / "job.cfg", "--no-members", "--quiet", "--set", f"run.directory={path}/run",
                          "--restart", "--set", f"cluster.bind={first.address}", "--set", "cluster.port=7700")
        address = f"tcp://{first.address}:7700"
        run(first, BUILD / "graft-server", "--coordinator", address, "--bind", first.address)
        run(second, BUILD / "graft-worker", "--coordinator", address)
        seen = []
        while coordinator.poll() is None:
            got = subprocess.run(first.words([GRAFT, "status", path / "run"]), capture_output=True, text=True)
            if got.returncode == 0 and (status := json.loads(got.stdout))["phase"] == "train" and status["done"] > 0:
                if not seen or status["done"] > seen[-1][1]:
                    seen.append((time.monotonic(), status["done"]))
            time.sleep(0.02)
        assert coordinator.returncode == 0, (path / "0.log").read_text()
    finally:
        for process in running:
            if process.poll() is None:
                process.kill()
            process.wait()
    # The first step is not whole, and the last one's weights are not waited for.
    (begun, before), (ended, after) = seen[1], seen[-1]
    return (ended - begun) / ((after - before) / (SHARDS * MICRO_BATCH))


def large_head():
    with directory() as path, hosts(2) as machines:
        write_head_job(path)
        near = step_seconds(path, Here(), Here())
        transfer = HEAD_BYTES * 8 / LINK_BITS
        print(f"head of {HEAD_BYTES / 1e6:.0f} MB, 1 worker and 1 server: {near:.2f} s a step on one host (computing, copying, updating)")
        if not machines[0].has_network:
            print("no shaped link: that needs root and network namespaces")
            return
        for machine in machines:
            machine.shape("1gbit")
        far = step_seconds(path, *machines)
        print(f"on two hosts, 1 Gbit/s: {far:.2f} s a step; gradients or weights alone need {transfer:.2f} s; bound max(compute, "
              f"transfer) = {max(near, transfer):.2f} s, reached {max(near, transfer) / far * 100:.0f} %")


def main():
    if not (CACHE / "demo/stamp").exists():
        print("the demo's model and data are not there: scripts/fetch-demo")
        return 1
    large_head()
    steps, epochs = replication_of_steps(), replication_of_real_jobs()
    print(f"a step of 4 workers that compute nothing, 2 servers: {steps[0][0]:.1f} ms, with cluster.replicas = 1 {steps[1][0]:.1f} ms; "
          f"the servers' CPU time {steps[0][1]:.1f} and {steps[1][1]:.1f} ms")
    print(f"an epoch of the demo's adapt stage (8 steps and its scores), 2 workers, 2 servers: {epochs[0] * 1e3:.0f} ms, with "
          f"replicas {epochs[1] * 1e3:.0f} ms")
    return 0


if __name__ == "__main__":
    sys.exit(main())
