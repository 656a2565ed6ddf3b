#!/usr/bin/env python3
"""Keys: the same weights with them; nobody without one is answered, on any port; a capture played again, and noise on every
port, change nothing. GRAFT_NOISE_SECONDS (5): how long the noise lasts; `make noise` makes ten minutes of it."""
import contextlib
import os
import pathlib
import random
import socket
import subprocess
import threading
import time

from demo_test import CONFIG, SHORT, adapting, undisturbed
from harness import BUILD, ROOT, directory, graft, listening, main, started

NOISE_SECONDS = float(os.environ.get("GRAFT_NOISE_SECONDS", "5"))
CORPUS = ROOT / "tests/fuzz/corpus/message"
GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00"
# CURVE: the server's greeting and its WELCOME, which anybody's HELLO is worth that knows its public key.
GREETING_BYTES, HELLO_BYTES, WELCOME_BYTES = 64, 202, 170


def keygen(path):
    made = graft("keygen", path)
    assert made.returncode == 0, made.stderr
    return path


def secrets_of(keys):
    return {path: path.read_text().split()[3] for path in pathlib.Path(keys).glob("*.secret")}


def with_keys(keys):
    return (*SHORT, f'cluster.keys="{keys}"', 'cluster.transport="tcp"')


@contextlib.contextmanager
def member(program, *arguments):
    process = subprocess.Popen([str(BUILD / program), *map(str, arguments)], cwd=ROOT, stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def all_joined(status):
    return sum(m["state"] == "ready" for m in status["members"]) >= 2


def note_of(run):
    """The coordinator's port, once it listens."""
    note = run.directory / "endpoint"
    limit = time.monotonic() + 30
    while not note.exists() and time.monotonic() < limit:
        time.sleep(0.01)
    return int(note.read_text().split(",")[0].split()[0].rsplit(":", 1)[1])


# ---- keys ----


def with_keys_the_weights_are_the_same_and_no_secret_is_shown():
    expected = undisturbed()
    with directory() as path:
        secrets = secrets_of(keygen(path / "keys")).values()
        with started(CONFIG, path / "run", sets=with_keys(path / "keys")) as run:
            status = run.until(adapting)
            for pid in [run.process.pid] + [m["pid"] for m in status["members"]]:
                shown = b"".join(pathlib.Path(f"/proc/{pid}/{name}").read_bytes() for name in ("cmdline", "environ"))
                assert not any(secret.encode() in shown for secret in secrets)
            assert run.ok()["weights_sha256"] == expected
        for file in (path / "run").rglob("*"):
            assert file.is_dir() or not any(secret.encode() in file.read_bytes() for secret in secrets), file


def without_a_key_on_the_list_a_member_does_not_join():
    with directory() as path:
        keygen(path / "keys"), keygen(path / "other")
        known = (path / "keys/allowed").read_text().replace("worker ", "another ")
        (path / "other/allowed").write_text(known + (path / "other/allowed").read_text().splitlines()[2] + "\n")
        with started(CONFIG, path / "run", sets=with_keys(path / "keys")) as run:
            where = f"tcp://127.0.0.1:{note_of(run)}"
            with member("graft-worker", "--coordinator", where) as keyless, \
                    member("graft-worker", "--coordinator", where, "--keys", path / "other") as stranger:
                run.until(adapting)
                status = run.until(lambda s: "refused address=" in (path / "run/log/coordinator.log").read_text())
                assert not {keyless.pid, stranger.pid} & {m["pid"] for m in status["members"]}
                assert run.ok()["weights_sha256"] == undisturbed()


def beyond_loopback_keys_are_asked_for():
    with directory() as path, started(CONFIG, path / "run", sets=(*SHORT, 'cluster.bind="0.0.0.0"')) as run:
        run.refused("graft keygen", "0.0.0.0")


def connected_by_path(pid):
    """Does anybody hold a connection to this process's Unix socket?"""
    rows = [line.split() for line in pathlib.Path("/proc/net/unix").read_text().splitlines()[1:]]
    return any(row[5] == "03" and row[-1].startswith(f"/tmp/graft-{os.geteuid()}/{pid}-") for row in rows)


def on_one_host_members_use_unix_sockets_unless_told_otherwise():
    for transport in ("auto", "tcp"):
        with directory() as path, started(CONFIG, path / "run", sets=(*SHORT, f'cluster.transport="{transport}"')) as run:
            status = run.until(adapting)
            for server in [m["pid"] for m in status["members"] if m["role"] == "server"]:
                assert connected_by_path(server) == (transport == "auto"), transport
            assert run.ok()["weights_sha256"] == undisturbed()


# ---- a capture played again ----


class Recorder:
    """Passes connections on to a port and keeps what the clients said, a list of bytes a connection."""

    def __init__(self, port):
        self.port, self.said = port, []
        self.listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                server = socket.create_connection(("127.0.0.1", self.port))
                self.said.append(bytearray())
                for source, target, kept in ((client, server, self.said[-1]), (server, client, None)):
                    threading.Thread(target=self.pump, args=(source, target, kept), daemon=True).start()

    @staticmethod
    def pump(source, target, kept):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if kept is not None:
                    kept += data
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)


def answer_to(port, data):
    """What comes back, step by step of the handshake: each is given a second."""
    got = b""
    hello = GREETING_BYTES + HELLO_BYTES
    with socket.create_connection(("127.0.0.1", port)) as line, contextlib.suppress(ConnectionError):
        for step in (data[:GREETING_BYTES], data[GREETING_BYTES:hello], data[hello:]):
            line.sendall(step)
            line.settimeout(1)
            with contextlib.suppress(TimeoutError):
                while more := line.recv(65536):
                    got += more
    return got


def replay(path, sets, arguments):
    """A whole cluster behind a recorder; returns the longest answer to what its members had said."""
    with started(CONFIG, path, "--no-members", sets=(*sets, "cluster.workers=1", "cluster.servers=1")) as run:
        port = note_of(run)
        recorder = Recorder(port)
        where = f"tcp://127.0.0.1:{recorder.listener.getsockname()[1]}"
        with member("graft-server", "--coordinator", where, *arguments), \
                member("graft-worker", "--coordinator", where, *arguments):
            before = run.until(lambda s: adapting(s) and all_joined(s))
            assert len(recorder.said) == 2 and all(len(said) > 500 for said in recorder.said)
            longest = max(len(answer_to(port, bytes(said))) for said in recorder.said)
            after = run.status()
            assert after is None or len(after["members"]) == len(before["members"])
            assert run.ok()["weights_sha256"] == undisturbed()
        recorder.listener.close()
        return longest


def a_capture_played_again_is_not_answered():
    with directory() as path:
        keygen(path / "keys")
        longest = replay(path / "run", with_keys(path / "keys"), ("--keys", path / "keys"))
        assert longest == GREETING_BYTES + WELCOME_BYTES, longest


# ---- noise ----


def frame(data, flags=0):
    if len(data) < 256:
        return bytes([flags, len(data)]) + data
    return bytes([flags | 2]) + len(data).to_bytes(8, "big") + data


def greeting(mechanism):
    return GREETING[:10] + b"\x03\x00" + mechanism.ljust(20, b"\0") + bytes(32)


def ready(draw):
    name = draw.choice((b"g" + draw.randbytes(8), draw.randbytes(draw.randrange(1, 40))))
    properties = b"".join(bytes([len(k)]) + k + len(v).to_bytes(4, "big") + v
                          for k, v in ((b"Socket-Type", b"DEALER"), (b"Identity", name)))
    return frame(b"\x05READY" + properties, 4)


def spoilt(draw, data):
    data = bytearray(data)
    for _ in range(draw.randrange(4)):
        data[draw.randrange(len(data))] = draw.randrange(256)
    return bytes(data)


def noise(draw, headers):
    """Bytes of a stranger: from plain noise to messages of the right form in a finished handshake."""
    kind = draw.randrange(6)
    if kind == 0:
        return draw.randbytes(draw.randrange(1, 20000))
    if kind == 1:
        return greeting(draw.choice((b"NULL", b"CURVE", b"PLAIN", draw.randbytes(20)))) + draw.randbytes(4000)
    if kind == 2:
        return greeting(b"CURVE") + frame(draw.choice((b"\x05HELLO", b"\x08INITIATE", b"\x07MESSAGE")) + draw.randbytes(194), 4)
    if kind == 3:
        return greeting(b"NULL") + ready(draw) + b"\x02" + (2**63 - 1).to_bytes(8, "big") + draw.randbytes(1000)
    data = greeting(b"NULL") + ready(draw)
    for _ in range(draw.randrange(1, 20)):
        header = spoilt(draw, draw.choice(headers)) if kind == 4 else draw.randbytes(draw.randrange(300))
        payloads = [draw.randbytes(draw.randrange(3000)) for _ in range(draw.randrange(3))]
        parts = [header, *payloads]
        data += b"".join(frame(part, 1 if i + 1 < len(parts) else 0) for i, part in enumerate(parts))
    return data


def make_noise(ports, until, seed, count):
    draw = random.Random(seed)
    headers = [path.read_bytes() for path in sorted(CORPUS.iterdir())]
    while not until.is_set():
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", draw.choice(ports)), 1) as line:
            line.settimeout(0.05)
            line.sendall(noise(draw, headers))
            line.recv(4096)
        count[0] += 1
        time.sleep(0.002)


def noisy_run(path, sets, seed):
    with started(CONFIG, path, sets=sets) as run:
        status = run.until(all_joined)
        pids = [run.process.pid] + [m["pid"] for m in status["members"]]
        ports = [port for pid in pids for port in listening(pid)]
        assert len(ports) == 3, ports  # the coordinator's and two servers'
        until, count = threading.Event(), [0]
        thread = threading.Thread(target=make_noise, args=(ports, until, seed, count))
        thread.start()
        try:
            assert run.ok()["weights_sha256"] == undisturbed()
        finally:
            until.set()
            thread.join()
        return count[0]


def under_noise(sets_of):
    seed = random.randrange(2**32)
    print(f"noise of seed {seed}", flush=True)
    limit, count = time.monotonic() + NOISE_SECONDS, 0
    while True:
        with directory() as path:
            count += noisy_run(path / "run", sets_of(path), seed)
        seed += 1
        if time.monotonic() > limit:
            break
    assert count > 10 * NOISE_SECONDS, f"only {count} connections"


def noise_on_every_port_changes_nothing_with_keys():
    under_noise(lambda path: with_keys(keygen(path / "keys")))


def noise_on_every_port_changes_nothing_without_keys():
    under_noise(lambda path: SHORT)


TESTS = [
    with_keys_the_weights_are_the_same_and_no_secret_is_shown,
    without_a_key_on_the_list_a_member_does_not_join,
    beyond_loopback_keys_are_asked_for,
    on_one_host_members_use_unix_sockets_unless_told_otherwise,
    a_capture_played_again_is_not_answered,
    noise_on_every_port_changes_nothing_with_keys,
    noise_on_every_port_changes_nothing_without_keys,
]

if __name__ == "__main__":
    raise SystemExit(main(TESTS))
