"""An OpenSSH server on each of hosts.py's hosts, and an `ssh` that knows them as box1, box2, … by a key without a passphrase."""
import contextlib
import getpass
import os
import pathlib
import shutil
import socket
import subprocess
import time

PASSED_ON = ("GRAFT_CACHE", "ASAN_OPTIONS", "LSAN_OPTIONS", "TSAN_OPTIONS", "UBSAN_OPTIONS")

SERVER = """\
ListenAddress {address}:{port}
HostKey {path}/host
AuthorizedKeysFile {path}/user.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
SetEnv {environment}
"""

CLIENT = """\
Host box{number}
HostName {address}
Port {port}
HostKeyAlias box
User {user}
IdentityFile {path}/user
IdentitiesOnly yes
UserKnownHostsFile {path}/known
StrictHostKeyChecking yes
"""


def server_program():
    return shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")


def free_port(host):
    """Each network namespace has all ports to itself."""
    if host.has_network:
        return 22
    with socket.socket() as one:
        one.bind((host.address, 0))
        return one.getsockname()[1]


def answers(host, port):
    probe = f"import socket; socket.create_connection(('{host.address}', {port}), 1).recv(1)"
    return subprocess.run(host.words(["python3", "-c", probe]), capture_output=True).returncode == 0


@contextlib.contextmanager
def sshd(machines, path, mark):
    """The environment of a program that shall find the `ssh`. All that the sessions run has GRAFT_TEST_MARK=mark in its own."""
    path = pathlib.Path(path)
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path / name], check=True)
    (path / "known").write_text("box " + (path / "host.pub").read_text())
    environment = " ".join(f"{name}={os.environ[name]}" for name in PASSED_ON if name in os.environ)
    if os.geteuid() == 0:
        os.makedirs("/run/sshd", mode=0o755, exist_ok=True)
    client, running = "", []
    try:
        for number, host in enumerate(machines, 1):
            port = free_port(host)
            words = {"address": host.address, "port": port, "path": path, "number": number, "user": getpass.getuser(),
                     "environment": f"GRAFT_TEST_MARK={mark} {environment}"}
            client += CLIENT.format(**words)
            (path / f"sshd{number}").write_text(SERVER.format(**words))
            running.append(host.run([server_program(), "-D", "-e", "-f", path / f"sshd{number}"],
                                    stdout=subprocess.DEVNULL, stderr=open(path / f"sshd{number}.log", "wb")))
            limit = time.monotonic() + 20
            while not answers(host, port):
                assert time.monotonic() < limit and running[-1].poll() is None, (path / f"sshd{number}.log").read_text()
                time.sleep(0.05)
        (path / "client").write_text(client)
        (path / "bin").mkdir()
        (path / "bin/ssh").write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {path}/client "$@"\n')
        (path / "bin/ssh").chmod(0o755)
        yield {**os.environ, "PATH": f"{path}/bin:{os.environ['PATH']}", "GRAFT_TEST_MARK": str(mark)}
    finally:
        for process in running:
            process.kill()
            process.wait()


def marked(mark):
    """(pid, arguments) of what runs with this mark."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and f"GRAFT_TEST_MARK={mark}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                arguments = (entry / "cmdline").read_bytes()
                if arguments:  # else it has ended and only waits to be reaped
                    found.append((int(entry.name), arguments.decode(errors="replace").split("\0")))
    return found
