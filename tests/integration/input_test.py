#!/usr/bin/env python3
"""What bad input gets: one clear line, exit status other than 0, nothing half-written, no process left, nothing lost."""
import os
import pathlib
import random
import signal
import socket
import sqlite3
import struct
import subprocess
import sys
import zlib

from harness import BUILD, CACHE, Skip, assert_nothing_left, directory, graft, listening, main, small_disk, started

ROWS = 64
COLUMNS = 6


def features(path, shift, labels=True, seed=1, bad_label=None):
    """Two classes as two clouds of points."""
    chance = random.Random(seed)
    lines = []
    for i in range(ROWS):
        label = i % 2
        values = [chance.gauss((1 if label else -1) + shift, 0.7) for _ in range(COLUMNS)]
        lines.append(",".join(f"{v:.4f}" for v in values) + (f",{bad_label if bad_label and i == 7 else 'ab'[label]}" if labels else ""))
    path.write_text("\n".join(lines) + "\n")


def small_job(path, **changes):
    """A job of two small CSV files and no network; returns the configuration's path."""
    features(path / "source.csv", 0.0)
    features(path / "target.csv", 0.8, seed=2)
    parts = {
        "cluster": "workers = 2; servers = 2; shards = 4; join_seconds = 20;",
        "model": 'file = ""; cut = ""; pool = "none";',
        "preprocess": f"width = {COLUMNS}; height = 1; channels = 1; mean = 0.0; std = 1.0;",
        "source": f'format = "csv"; split = "train"; path = "{path}/source.csv"; label_column = {COLUMNS}; '
                  f"width = {COLUMNS}; height = 1; channels = 1; value_max = 255.0;",
        "target": f'format = "csv"; split = "divide"; path = "{path}/target.csv"; label_column = {COLUMNS}; '
                  f"width = {COLUMNS}; height = 1; channels = 1; value_max = 255.0;",
        "divide": "[0.5, 0.0, 0.5]",
        "data": "",
        "stage": "epochs = 3; micro_batch = 4;",
        "losses": "cross_entropy = 1.0; coral = 1.0;",
        **changes,
    }
    config = path / "job.cfg"
    config.write_text(f"""
run = {{ name = "small"; directory = "{path}/run"; }};
cluster = {{ {parts['cluster']} }};
model = {{ {parts['model']} }};
data = {{
  classes = [ "a", "b" ];
  preprocess = {{ {parts['preprocess']} }};
  domains = (
    {{ name = "source"; labelled = true; sources = ( {{ {parts['source']} }} ); }},
    {{ name = "target"; labelled = false; divide = {parts['divide']}; sources = ( {{ {parts['target']} }} ); }}
  );
  {parts['data']}
}};
stages = (
  {{ name = "only"; domains = [ "source", "target" ]; {parts['stage']} losses = {{ {parts['losses']} }}; }}
);
""")
    return config


def refused(words, *options, sets=(), **changes):
    with directory() as path:
        with started(small_job(path, **changes), path / "run", *options, sets=sets) as run:
            return run.refused(*words)


def a_small_job_runs():
    with directory() as path, started(small_job(path), path / "run") as run:
        assert run.ok()["adapted"]["samples"] == ROWS // 2


def an_unknown_key_is_named_with_its_line_and_the_nearest_key():
    refused(["job.cfg:3", "cluster.worker", "cluster.workers"], cluster="worker = 2;")


def a_wrong_type_says_what_was_expected():
    refused(["job.cfg:", "epochs", "integer"], stage='epochs = "three";')


def a_value_out_of_range_says_the_range():
    refused(["epochs", "1"], stage="epochs = 0;")


def an_override_of_an_unknown_key_is_named():
    refused(["cluster.wrokers", "'workers'"], sets=["cluster.wrokers=3"])


def check_says_the_same_without_starting_anything():
    with directory() as path:
        config = small_job(path, cluster="worker = 2;")
        got = graft("check", config)
        assert got.returncode != 0 and "cluster.workers" in got.stderr
        assert not (path / "run").exists()


def a_missing_model_is_named():
    refused(["nothing.onnx", "No such file"], model='file = "/nowhere/nothing.onnx"; cut = ""; pool = "none";')


def a_truncated_model_is_named():
    model = CACHE / "demo/ch_PP-OCRv4_rec_infer.onnx"
    if not model.exists():
        raise Skip("the demo's model is not there")
    with directory() as path:
        (path / "half.onnx").write_bytes(model.read_bytes()[:5_000_000])
        got = graft("inspect", path / "half.onnx", "--input", "3x48x48")
        assert got.returncode != 0 and "half.onnx" in got.stderr and got.stderr.count("\n") == 1, got.stderr


def a_label_outside_the_classes_is_named_with_its_line():
    with directory() as path:
        config = small_job(path)
        features(path / "source.csv", 0.0, bad_label="c")
        with started(config, path / "run") as run:
            run.refused("source.csv:8", "'c'")


def an_empty_split_is_named():
    refused(["target", "train"], divide="[0.0, 0.5, 0.5]")


def a_line_with_too_few_columns_is_named():
    with directory() as path:
        config = small_job(path)
        (path / "source.csv").write_text("1,2,a\n" * ROWS)
        with started(config, path / "run") as run:
            run.refused("source.csv")


def png(path, width=8, height=8):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    rows = b"".join(b"\0" + bytes((x * 30 + y * 7) % 256 for x in range(width)) for y in range(height))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)) +
                     chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def picture_job(path, broken, share):
    for label in "ab":
        (path / "pictures" / label).mkdir(parents=True)
        for i in range(16):
            png(path / "pictures" / label / f"{i:02}.png")
    for i in range(broken):
        (path / f"pictures/a/{i:02}.png").write_bytes(b"\x89PNG\r\n\x1a\nnot a picture")
    features(path / "target.csv", 0.0)
    return small_job(
        path,
        preprocess="width = 3; height = 2; channels = 1; mean = 127.5; std = 127.5;",
        source=f'format = "folder"; split = "train"; path = "{path}/pictures";',
        target=f'format = "csv"; split = "divide"; path = "{path}/target.csv"; label_column = 6; width = 3; '
               f"height = 2; channels = 1; value_max = 1.0;",
        data=f"unreadable_share_max = {share};")


def pictures_that_do_not_decode_are_skipped_counted_and_listed():
    with directory() as path, started(picture_job(path, 2, 0.5), path / "run") as run:
        result = run.ok()
        listed = sorted(pathlib.Path(u["path"]).name for u in result["unreadable"])
        assert listed == ["00.png", "01.png"], result["unreadable"]


def too_many_unreadable_pictures_stop_the_run():
    with directory() as path, started(picture_job(path, 2, 0.01), path / "run") as run:
        run.refused("unreadable_share_max")


def data_that_changed_since_the_manifest_are_noticed():
    with directory() as path:
        config = small_job(path, cluster="workers = 1; servers = 1; shards = 4;")
        with started(config, path / "run", "--no-members") as run:
            run.until(lambda s: s["phase"] == "join")
            features(path / "source.csv", 5.0, seed=9)
            endpoint = (path / "run/endpoint").read_text().split()[0]
            members = []
            try:
                members.append(subprocess.Popen([BUILD / "graft-server", "--coordinator", endpoint], stderr=subprocess.DEVNULL))
                # A server that says HELLO after the end would wait for an answer for 30 s.
                run.until(lambda s: any(m["role"] == "server" and m["state"] == "ready" for m in s["members"]))
                members.append(subprocess.Popen([BUILD / "graft-worker", "--coordinator", endpoint], stderr=subprocess.DEVNULL))
                run.refused("data differ")
                for process in members:
                    process.wait(10)
            finally:
                for process in members:
                    process.kill()
                    process.wait()


def a_port_in_use_is_named():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        refused([str(port), "cluster.port"], sets=[f"cluster.port={port}"])


def binding_beyond_loopback_without_keys_is_refused():
    refused(["without keys"], sets=["cluster.bind=0.0.0.0"])


def a_second_coordinator_on_the_same_run_directory_is_refused():
    with directory() as path:
        config = small_job(path, cluster="workers = 1; servers = 1; shards = 4;")
        with started(config, path / "run", "--no-members") as first:
            first.until(lambda s: True)
            with started(config, path / "run") as second:
                second.refused(str(first.process.pid))


def resume_with_another_configuration_is_refused():
    with directory() as path:
        with started(small_job(path), path / "run") as run:
            run.ok()
        with started(small_job(path), path / "run", "--resume", sets=["run.seed=5"]) as run:
            run.refused("run")


def an_unfinished_run_is_not_thrown_away_unasked():
    with directory() as path:
        config = small_job(path, stage="epochs = 5000; micro_batch = 4;")
        with started(config, path / "run") as run:
            run.until(lambda s: s["phase"] == "train" and s["epoch"] > 2)
            os.kill(run.process.pid, signal.SIGKILL)
            run.process.wait()
        kept = {step.name for step in (path / "run/checkpoints").iterdir()}
        assert kept
        with started(config, path / "run") as run:
            run.refused("--resume", "--restart", after_kill=True)
        assert kept == {step.name for step in (path / "run/checkpoints").iterdir()}
        with started(config, path / "run", "--restart", sets=["stages.only.epochs=2"]) as run:
            run.ok()


def an_epoch_that_the_journal_does_not_know_is_trained_again():
    with directory() as path:
        with started(small_job(path), path / "run") as run:
            expected = run.ok()
        with sqlite3.connect(path / "run/run.db") as journal:
            journal.execute("DELETE FROM epoch WHERE epoch = (SELECT max(epoch) FROM epoch)")
        with started(small_job(path), path / "run", "--resume") as run:
            result = run.ok()
        assert result["weights_sha256"] == expected["weights_sha256"]
        assert [e["epoch"] for e in result["epochs"]] == [e["epoch"] for e in expected["epochs"]]


def stop_by_command_keeps_the_epoch():
    with directory() as path:
        config = small_job(path, stage="epochs = 5000; micro_batch = 4;")
        with started(config, path / "run") as run:
            run.until(lambda s: s["phase"] == "train" and s["epoch"] > 2)
            assert graft("stop", path / "run").returncode == 0
            run.refused("--resume")


def strangers_bytes_on_every_port_change_nothing():
    with directory() as path:
        longer = {"stage": "epochs = 200; micro_batch = 4;"}
        with started(small_job(path, **longer), path / "calm") as run:
            expected = run.ok()["weights_sha256"]
        chance = random.Random(3)
        with started(small_job(path, **longer), path / "run") as run:
            status = run.until(lambda s: len(s["members"]) == 4)
            ports = listening(run.process.pid)
            for member in status["members"]:
                if member["role"] == "server":
                    ports |= listening(member["pid"])
            assert len(ports) == 3, ports
            for port in ports:
                for greeting in (b"", b"\xff\0\0\0\0\0\0\0\x01\x7f", b"GET / HTTP/1.1\r\n\r\n"):
                    with socket.create_connection(("127.0.0.1", port)) as stranger:
                        try:
                            stranger.sendall(greeting + chance.randbytes(20000))
                        except OSError:
                            pass  # they hung up, as they should
            assert run.ok()["weights_sha256"] == expected


def a_full_disk_while_checkpointing_is_one_line_and_loses_nothing():
    with directory() as path, small_disk(path / "small", "200k") as small:
        config = small_job(path, stage="epochs = 200; micro_batch = 4;")
        with started(config, small / "run", sets=["run.checkpoints_kept=200"]) as run:
            run.refused("No space left")
        kept = sorted((small / "run/checkpoints").iterdir())
        assert kept and all((step / "run.json").exists() for step in kept)


def a_killed_coordinator_leaves_no_member_behind():
    with directory() as path:
        config = small_job(path, stage="epochs = 5000; micro_batch = 4;")
        with started(config, path / "run") as run:
            run.until(lambda s: s["phase"] == "train")
            os.kill(run.process.pid, signal.SIGKILL)
            run.process.wait()
            assert_nothing_left(run, killed=True)


if __name__ == "__main__":
    sys.exit(main([
        a_small_job_runs,
        an_unknown_key_is_named_with_its_line_and_the_nearest_key,
        a_wrong_type_says_what_was_expected,
        a_value_out_of_range_says_the_range,
        an_override_of_an_unknown_key_is_named,
        check_says_the_same_without_starting_anything,
        a_missing_model_is_named,
        a_truncated_model_is_named,
        a_label_outside_the_classes_is_named_with_its_line,
        an_empty_split_is_named,
        a_line_with_too_few_columns_is_named,
        pictures_that_do_not_decode_are_skipped_counted_and_listed,
        too_many_unreadable_pictures_stop_the_run,
        data_that_changed_since_the_manifest_are_noticed,
        a_port_in_use_is_named,
        binding_beyond_loopback_without_keys_is_refused,
        a_second_coordinator_on_the_same_run_directory_is_refused,
        resume_with_another_configuration_is_refused,
        an_unfinished_run_is_not_thrown_away_unasked,
        an_epoch_that_the_journal_does_not_know_is_trained_again,
        stop_by_command_keeps_the_epoch,
        strangers_bytes_on_every_port_change_nothing,
        a_full_disk_while_checkpointing_is_one_line_and_loses_nothing,
        a_killed_coordinator_leaves_no_member_behind,
    ]))
