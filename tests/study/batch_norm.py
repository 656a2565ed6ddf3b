#!/usr/bin/env python3
"""Whether moving the statistics of batch normalisation helps a small network from printed to handwritten digits.

usage: batch_norm.py [SEEDS]        (3)

Network and job of tests/integration/batch_norm_test.py: random weights, 8 epochs on printed digits, 10 to adapt, all live.
"""
from measure import accuracies, directory, mean_and_spread, seeds_wanted

from batch_norm_test import write_job


def study(seeds):
    print(f"{'batch_norm':<12} accuracy over {seeds} seeds")
    for mode in ("frozen", "train"):
        with directory() as path:
            config = write_job(path, source_epochs=8, adapt_epochs=10, source_mode=mode, adapt_mode=mode)
            print(f"{mode:<12} {mean_and_spread(accuracies(config, (), seeds)[0])}", flush=True)


study(seeds_wanted())
