"""What scripts/fetch-* share: one line of error for the user, checked downloads by the package clients."""
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import zipfile


class Failed(Exception):
    """Carries the one line the user sees."""


def say(text):
    print("%s: %s" % (os.path.basename(sys.argv[0]), text), flush=True)


def cache_folder():
    return os.environ.get("GRAFT_CACHE") or os.path.expanduser("~/.cache/graft")


def sha(path):
    h = hashlib.sha256()
    with open(path, "rb") as f:
        for chunk in iter(lambda: f.read(1 << 20), b""):
            h.update(chunk)
    return h.hexdigest()


def is_right(path, want_sha, size=None):
    try:
        return (size is None or os.path.getsize(path) == size) and sha(path) == want_sha
    except OSError:
        return False


def run(command, cwd, what):
    if shutil.which(command[0]) is None:
        raise Failed("%s: needs the program '%s'" % (what, command[0]))
    env = dict(os.environ, npm_config_cache=os.path.join(cwd, ".npm"), npm_config_update_notifier="false")
    done = subprocess.run(command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=900, text=True, errors="replace")
    if done.returncode:
        lines = [l.strip() for l in done.stdout.splitlines() if l.strip()]
        worst = [l for l in lines if l.startswith(("E:", "npm ERR!", "npm error", "dpkg", "ERROR:"))] or lines[-1:] or ["no message"]
        raise Failed("%s: %s failed: %s" % (what, " ".join(command[:2]), worst[0]))
    return done.stdout


def download(command, package, temp, want_sha, size=None):
    """Runs a client that leaves one file in its directory, a new one under temp; returns the file's path."""
    say("downloading %s" % package)
    cwd = os.path.join(temp, package.replace("/", "-"))
    os.makedirs(cwd)
    run(command + [package], cwd, package)
    found = [f for f in os.listdir(cwd) if f.endswith((".tgz", ".whl"))]
    if len(found) != 1:
        raise Failed("%s: %s left %d archives, not one" % (package, command[0], len(found)))
    path = os.path.join(cwd, found[0])
    if not is_right(path, want_sha, size):
        raise Failed("%s: the archive has %d bytes with SHA-256 %s, not %s" % (package, os.path.getsize(path), sha(path), want_sha))
    return path


def npm(package, temp, want_sha, size=None):
    return download(["npm", "pack", "--silent", "--ignore-scripts"], package, temp, want_sha, size)


def finish(main, usage):
    """Ends the script with main's status; whatever the world does wrong becomes one line."""
    name = os.path.basename(sys.argv[0])
    if sys.argv[1:] in (["-h"], ["--help"]):
        print(usage.strip())
        sys.exit(0)
    if len(sys.argv) > 1:
        print("%s: takes no arguments" % name, file=sys.stderr)
        sys.exit(2)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))      # so that the temp dir goes too
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
    except (Failed, OSError, subprocess.TimeoutExpired, KeyError, tarfile.TarError, zipfile.BadZipFile) as e:
        print("%s: error: %s" % (name, e), file=sys.stderr)
        sys.exit(1)
