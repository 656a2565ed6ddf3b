#!/usr/bin/env python3
"""What a large cluster costs its coordinator and its servers, on one machine: real ones, and workers that compute nothing
(tests/bench/swarm.c), up to 250 in a process because a socket is two open files.

    swarm.py [WORKERS... [servers=N] [steps=N] [replicas=N]]      10 100 1000 workers, 16 servers, 20 steps

The job is one with 1024 shards and low-rank adapters of the demo's network live (52,000 values in 68 blocks); only the cluster changes. CPU time and memory are the
kernel's, of the steps of one epoch.
"""
import json
import os
import pathlib
import resource
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))
from harness import BUILD, CACHE, GRAFT, ROOT, directory  # noqa: E402

SHARDS = 1024
PROCESS_WORKERS = 250
TICKS = os.sysconf("SC_CLK_TCK")

JOB = """
run = {{ name = "swarm"; }};
cluster = {{ shards = {shards}; death_ms = 60000; join_seconds = 300; }};
model = {{ file = "cache:demo/ch_PP-OCRv4_rec_infer.onnx"; cut = "p2o.AveragePool.1"; lora = {{ rank = 4; }}; }};
data = {{
  classes = [ "0", "1" ];
  preprocess = {{ width = 48; height = 48; mean = 127.5; std = 127.5; }};
  domains = (
    {{ name = "source"; sources = ( {{ format = "csv"; split = "train"; path = "{path}/source.csv";
       label_column = 1; width = 1; height = 1; }} ); }},
    {{ name = "target"; labelled = false; sources = (
       {{ format = "csv"; split = "train"; path = "{path}/target.csv"; width = 1; height = 1; }},
       {{ format = "csv"; split = "test"; path = "{path}/test.csv"; width = 1; height = 1; }} ); }}
  );
}};
stages = ( {{
  name = "only"; domains = [ "source", "target" ]; live = [ "*.lora_*" ]; epochs = 1; micro_batch = 1;
  losses = {{ cross_entropy = 1.0; information = 1.0; }};
}} );
"""


def write_job(path, steps):
    """One sample of the target for each shard and step; no worker looks at them."""
    (path / "source.csv").write_text("".join(f"{i % 256},{i % 2}\n" for i in range(SHARDS)))
    (path / "target.csv").write_text("".join(f"{i % 256}\n" for i in range(SHARDS * steps)))
    (path / "test.csv").write_text("1\n" * 8)
    (path / "job.cfg").write_text(JOB.format(path=path, shards=SHARDS))
    return path / "job.cfg"


def cpu_seconds(processes):
    total = 0
    for process in processes:
        fields = pathlib.Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def memory_mib(process):
    for line in pathlib.Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    raise AssertionError("no VmRSS")


class Cluster:
    def __init__(self, path, config, workers, servers, replicas):
        self.path, self.workers, self.processes = path, workers, []
        words = [GRAFT, "run", config, "--no-members", "--quiet"]
        for item in (f"run.directory={path}/run", f"cluster.workers={workers}", f"cluster.servers={servers}",
                     f"cluster.replicas={replicas}"):
            words += ["--set", item]
        self.coordinator = self.start(words, "coordinator")
        limit = time.monotonic() + 60
        while not (path / "run/endpoint").exists():
            assert time.monotonic() < limit and self.coordinator.poll() is None, (path / "coordinator.log").read_text()
            time.sleep(0.05)
        endpoint = (path / "run/endpoint").read_text().split()[0]
        self.servers = [self.start([BUILD / "graft-server", "--coordinator", endpoint], f"server{i}") for i in range(servers)]
        counts = [min(PROCESS_WORKERS, workers - at) for at in range(0, workers, PROCESS_WORKERS)]
        self.swarms = [self.start([BUILD / "swarm", endpoint, count], f"swarm{i}", stdout=subprocess.PIPE, text=True)
                       for i, count in enumerate(counts)]

    def start(self, words, name, **keywords):
        log = open(self.path / f"{name}.log", "wb")
        self.processes.append(subprocess.Popen([str(word) for word in words], cwd=ROOT, stderr=log,
                                               **{"stdout": log, **keywords}))
        return self.processes[-1]

    def state(self):
        return time.monotonic(), cpu_seconds([self.coordinator]), cpu_seconds(self.servers), memory_mib(self.coordinator), \
            max(memory_mib(server) for server in self.servers)

    def await_line(self, text):
        for line in self.swarms[0].stdout:
            if line.strip() == text:
                return self.state()
        raise AssertionError("\n".join(log.read_text(errors="replace") for log in self.path.glob("*.log")))

    def measure(self, meanwhile):
        before = self.await_line("begin")
        meanwhile(self)
        after = self.await_line("end")
        lines = [json.loads(swarm.communicate(timeout=300)[0].splitlines()[-1]) for swarm in self.swarms]
        assert self.coordinator.wait(300) == 0, (self.path / "coordinator.log").read_text()
        seconds, coordinator, servers = (b - a for a, b in zip(before[:3], after[:3]))
        total = {key: sum(line[key] for line in lines) for key in lines[0]}
        return {"workers": self.workers, "steps": lines[0]["steps"], "seconds": seconds, "coordinator_cpu": coordinator,
                "servers_cpu": servers, "coordinator_mib": after[3], "server_mib": after[4],
                **{key: total[key] for key in ("control", "heartbeats", "data_messages", "pushed_bytes", "weight_bytes")}}

    def close(self):
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()


def measure(workers, servers=16, steps=20, replicas=0, meanwhile=lambda cluster: None):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with directory() as path:
        cluster = Cluster(path, write_job(path, steps), workers, servers, replicas)
        try:
            return cluster.measure(meanwhile)
        finally:
            cluster.close()


ROW = "{:>7} | {:>9} | {:>12} | {:>18} | {:>15} | {:>20} | {:>12} | {:>9} | {:>14} | {:>11} | {:>8}"


def main(words):
    if not (CACHE / "demo/stamp").exists():
        print("the demo's model is not there: scripts/fetch-demo")
        return 1
    counts = [int(word) for word in words if word.isdigit()] or [10, 100, 1000]
    options = {key: int(value) for key, value in (word.split("=") for word in words if "=" in word)}
    print(ROW.format("workers", "a step ms", "servers, CPU", "the same, a worker", "coordinator CPU", "control msgs but", "heartbeats/s",
                     "pushed MB", "weights MB out", "coordinator", "a server"))
    print(ROW.format("", "", "ms a step", "us a step", "ms a second", "heartbeats, an epoch", "", "a step", "a step", "MiB", "MiB"), flush=True)
    for count in counts:
        got = measure(count, **options)
        steps = got["steps"]
        print(ROW.format(count, f"{got['seconds'] * 1e3 / steps:.0f}", f"{got['servers_cpu'] * 1e3 / steps:.0f}",
                         f"{got['servers_cpu'] * 1e6 / steps / count:.0f}", f"{got['coordinator_cpu'] * 1e3 / got['seconds']:.1f}",
                         got["control"], f"{got['heartbeats'] / got['seconds']:.0f}", f"{got['pushed_bytes'] / 1e6 / steps:.1f}",
                         f"{got['weight_bytes'] / 1e6 / steps:.1f}", f"{got['coordinator_mib']:.1f}", f"{got['server_mib']:.0f}"), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
