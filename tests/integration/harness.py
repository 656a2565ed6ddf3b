"""Runs the real programs in private directories and looks at what they leave. Python's standard library only.

A test is a function whose name states the rule; it fails by AssertionError and skips by raising Skip. Every process it
starts is in a session of its own and is ended by id, whatever happens.
"""
import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("GRAFT_BUILD", ROOT / "build/release"))
GRAFT = BUILD / "graft"
CACHE = pathlib.Path(os.environ.get("GRAFT_CACHE") or pathlib.Path.home() / ".cache/graft")
DEADLINE = float(os.environ.get("GRAFT_TEST_DEADLINE", "120"))


class Skip(Exception):
    pass


class Run:
    """One `graft run`, going on in the background until wait()."""

    def __init__(self, config, directory, *options, sets=(), env=None):
        self.directory = pathlib.Path(directory)
        arguments = [str(GRAFT), "run", str(config), "--quiet", *options]
        for item in (f"run.directory={self.directory}", *sets):
            arguments += ["--set", item]
        self.output = tempfile.TemporaryFile()
        self.process = subprocess.Popen(arguments, cwd=ROOT, stdout=self.output, stderr=subprocess.STDOUT,
                                        start_new_session=True, env={**os.environ, **(env or {})})

    def status(self):
        """What the coordinator says now; None before it listens or after its end."""
        got = subprocess.run([str(GRAFT), "status", str(self.directory)], capture_output=True, text=True, cwd=ROOT)
        return json.loads(got.stdout) if got.returncode == 0 else None

    def until(self, condition):
        """Polls the status until condition(status) holds; returns it."""
        limit = time.monotonic() + DEADLINE
        while time.monotonic() < limit:
            status = self.status()
            if status and condition(status):
                return status
            assert self.process.poll() is None, "the run ended early:\n" + self.text()
            time.sleep(0.01)
        raise AssertionError(f"not reached in {DEADLINE} s; last status {status}")

    def wait(self):
        try:
            self.process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            self.end()
            raise AssertionError(f"still running after {DEADLINE} s:\n" + self.text())
        return self

    def text(self):
        self.output.seek(0)
        return self.output.read().decode(errors="replace")

    def members(self):
        """(role, pid) of all members that ever joined, from the coordinator's log."""
        log = self.directory / "log/coordinator.log"
        found = set()
        for line in log.read_text().splitlines() if log.exists() else []:
            if " member " in line:
                fields = dict(part.split("=", 1) for part in line.split() if "=" in part)
                found.add((fields["role"], int(fields["pid"])))
        return found

    def end(self):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def ok(self):
        self.wait()
        assert self.process.returncode == 0, f"exit status {self.process.returncode}:\n" + self.text()
        assert_nothing_left(self)
        return json.loads((self.directory / "result.json").read_text())

    def refused(self, *words, after_kill=False):
        """The run must fail with one line that holds all words, leave no process and no half-written file."""
        self.wait()
        text = self.text()
        assert self.process.returncode not in (0, 2) and self.process.returncode > 0, text
        lines = [line for line in text.splitlines() if line.startswith("graft")]
        assert len(lines) == 1, "expected one line of error:\n" + text
        for word in words:
            assert word in lines[0], f"'{word}' is missing in: {lines[0]}"
        assert_nothing_left(self, killed=after_kill)
        return lines[0]


def alive(pid):
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def listening(pid):
    """Ports that a process listens on."""
    inodes = set()
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            target = os.readlink(f"/proc/{pid}/fd/{fd}")
        except OSError:
            continue
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    rows = [line.split() for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {int(row[1].split(":")[1], 16) for row in rows if row[3] == "0A" and row[9] in inodes}


def assert_nothing_left(run, killed=False):
    """killed: the coordinator had no chance to clean up; what it left is removed by the next one."""
    limit = time.monotonic() + 5
    left = [pid for _, pid in run.members() if alive(pid)]
    while left and time.monotonic() < limit:
        time.sleep(0.05)
        left = [pid for pid in left if alive(pid)]
    assert not left, f"processes left behind: {left}"
    for log in run.directory.glob("log/*.log"):
        text = log.read_text(errors="replace")
        assert "Sanitizer" not in text and "internal error" not in text, f"{log.name}:\n{text}"
    assert "Sanitizer" not in run.text(), run.text()
    aside = list(run.directory.rglob("*.tmp-*")) if run.directory.exists() else []
    assert killed or not aside, f"half-written files left behind: {aside}"


@contextlib.contextmanager
def started(*arguments, **keywords):
    run = Run(*arguments, **keywords)
    try:
        yield run
    finally:
        run.end()


@contextlib.contextmanager
def small_disk(path, size):
    """A file system of its own at `path`, of so many bytes ("200k")."""
    path.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "graft-test", str(path)], capture_output=True).returncode != 0:
        raise Skip("tmpfs cannot be mounted here")
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


def fill(disk):
    """A file that takes all the room that is left; remove it to have it back."""
    filler = disk / "filler"
    with open(filler, "wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    return filler


@contextlib.contextmanager
def directory():
    path = pathlib.Path(tempfile.mkdtemp(prefix="graft-test-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def graft(*arguments):
    return subprocess.run([str(GRAFT), *map(str, arguments)], capture_output=True, text=True, cwd=ROOT, timeout=DEADLINE)


def main(tests):
    passed = failed = skipped = 0
    wanted = sys.argv[1:]
    for test in tests:
        if wanted and not any(word in test.__name__ for word in wanted):
            continue
        began = time.monotonic()
        try:
            test()
            passed += 1
            verdict = "ok  "
        except Skip as why:
            skipped += 1
            verdict = f"SKIP ({why})"
        except Exception:  # noqa: BLE001 - whatever it is, the next test still runs
            failed += 1
            verdict = "FAIL"
            traceback.print_exc(file=sys.stdout)
        print(f"{verdict} {test.__name__} ({time.monotonic() - began:.1f} s)", flush=True)
    print(f"{passed} passed, {failed} failed, {skipped} skipped", flush=True)
    return 1 if failed else 0
