#!/usr/bin/env python3
"""What ssp and asp do to the demo job: accuracy over seeds, and seconds an epoch while workers are stopped for a while.

usage: modes.py [SEEDS]        (3)
"""
import os
import random
import signal
import threading
import time

from measure import accuracies, directory, mean_and_spread, seeds_wanted, started

from demo_test import CONFIG, adapting
from modes_test import mode

MODES = (("bsp", ()), ("ssp", ()), ("asp", ()))
WORKERS_8 = (("asp", ()), ("asp", ("staleness_scaling=true",)), ("asp", ("delay_compensation=2.0",)))
EPOCHS, STOPPED, RUNNING = 4, 0.3, 0.1


def of(name, keys, workers):
    return (*mode(name, *keys), f"cluster.workers={workers}")


def pulse(workers, wanders, end):
    """Stops one of them at a time: always the same, or any."""
    draw = random.Random(1)
    while not end.is_set():
        victim = draw.choice(workers) if wanders else workers[0]
        try:
            os.kill(victim, signal.SIGSTOP)
            time.sleep(STOPPED)
            os.kill(victim, signal.SIGCONT)
        except ProcessLookupError:
            return
        time.sleep(0 if wanders else RUNNING)


def seconds_an_epoch(name, wanders=None):
    sets = (*of(name, (), 4), "stages.source.epochs=1", f"stages.adapt.epochs={EPOCHS}")
    with directory() as path, started(CONFIG, path / "run", sets=sets) as run:
        status, end = run.until(adapting), threading.Event()
        workers = sorted(m["pid"] for m in status["members"] if m["role"] == "worker")
        thread = threading.Thread(target=pulse, args=(workers, wanders, end))
        if wanders is not None:
            thread.start()
        try:
            return run.ok()["seconds"]["stages"]["adapt"] / EPOCHS
        finally:
            end.set()
            if wanders is not None:
                thread.join()


def study(seeds):
    print(f"accuracy over {seeds} seeds")
    for workers, cases in ((2, MODES), (8, WORKERS_8)):
        for name, keys in cases:
            found, _ = accuracies(CONFIG, of(name, keys, workers), seeds)
            print(f"{name:<4} {workers} workers {' '.join(keys):<24} {mean_and_spread(found)}", flush=True)
    print(f"seconds an epoch with 4 workers\n{'':<5} undisturbed  one slow  wandering")
    for name, _ in MODES:
        print(f"{name:<5} {seconds_an_epoch(name):11.1f} {seconds_an_epoch(name, False):9.1f} {seconds_an_epoch(name, True):10.1f}", flush=True)


study(seeds_wanted())
