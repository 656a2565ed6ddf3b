"""Hosts that are network namespaces, joined by a bridge in one more. Needs root and a kernel that gives them; else this machine
alone is the one host, and the network cannot be disturbed. Everything is removed at the end."""
import contextlib
import os
import shutil
import subprocess

NET = "10.77.0"


class Unable(Exception):
    """This machine gives no network namespaces."""


class Here:
    """This machine in the place of a host."""
    address = "127.0.0.1"
    has_network = False

    def words(self, words):
        return list(map(str, words))

    def run(self, words, **keywords):
        return subprocess.Popen(self.words(words), start_new_session=True, **keywords)


def sh(*words, check=True):
    got = subprocess.run(words, capture_output=True, text=True)
    if check and got.returncode != 0:
        raise Unable(f"{' '.join(words)}: {got.stderr.strip()}")
    return got


class Host(Here):
    has_network = True

    def __init__(self, prefix, number):
        self.name, self.address = f"{prefix}{number}", f"{NET}.{number}"
        self.switch, self.port = f"{prefix}s", f"p{number}"

    def words(self, words):
        return ["ip", "netns", "exec", self.name, *map(str, words)]

    def up(self, is_up=True):
        sh("ip", "-n", self.switch, "link", "set", self.port, "up" if is_up else "down")

    def mute(self, is_mute=True):
        """Nothing gets out of it; all that is sent to it still arrives. A bucket smaller than any packet drops each one."""
        if is_mute:
            sh("ip", "netns", "exec", self.name, "tc", "qdisc", "add", "dev", "eth0", "root", "tbf",
               "rate", "8kbit", "burst", "20", "limit", "20")
        else:
            sh("ip", "netns", "exec", self.name, "tc", "qdisc", "del", "dev", "eth0", "root")

    def shape(self, rate):
        """What leaves it, as tc(8) says rates. The bucket holds a few of the 64 KiB packets that one kernel hands itself."""
        sh("ip", "netns", "exec", self.name, "tc", "qdisc", "add", "dev", "eth0", "root", "tbf",
           "rate", rate, "burst", "256kb", "latency", "50ms")


def make(prefix, names):
    sh("ip", "netns", "add", f"{prefix}s")
    sh("ip", "-n", f"{prefix}s", "link", "add", "br0", "type", "bridge")
    sh("ip", "-n", f"{prefix}s", "link", "set", "br0", "up")
    made = []
    for number, name in enumerate(names, 1):
        host = Host(prefix, number)
        sh("ip", "netns", "add", name)
        sh("ip", "-n", f"{prefix}s", "link", "add", host.port, "type", "veth", "peer", "name", "eth0", "netns", name)
        sh("ip", "-n", f"{prefix}s", "link", "set", host.port, "master", "br0", "up")
        sh("ip", "-n", name, "addr", "add", f"{host.address}/24", "dev", "eth0")
        sh("ip", "-n", name, "link", "set", "eth0", "up")
        sh("ip", "-n", name, "link", "set", "lo", "up")
        made.append(host)
    return made


@contextlib.contextmanager
def hosts(count):
    prefix = f"graft{os.getpid()}"
    names = [f"{prefix}{i}" for i in range(1, count + 1)]
    try:
        try:
            made = make(prefix, names)
        except (Unable, FileNotFoundError) as why:
            print(f"one host, no network faults: {why}", flush=True)
            made = [Here()] * count
        yield made
    finally:
        for name in (*names, f"{prefix}s") if shutil.which("ip") else ():
            for pid in sh("ip", "netns", "pids", name, check=False).stdout.split():
                sh("kill", "-9", pid, check=False)
            sh("ip", "netns", "del", name, check=False)

