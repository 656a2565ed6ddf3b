#!/usr/bin/env python3
"""What a trunk in bfloat16 costs the demo job in accuracy.

usage: trunk_dtype.py [SEEDS]        (3)
"""
from measure import accuracies, mean_and_spread, seeds_wanted

from demo_test import CONFIG


def study(seeds):
    print(f"{'trunk_dtype':<12} accuracy over {seeds} seeds")
    for dtype in ("float32", "bfloat16"):
        found, _ = accuracies(CONFIG, (f'model.trunk_dtype="{dtype}"',), seeds)
        print(f"{dtype:<12} {mean_and_spread(found)}", flush=True)


study(seeds_wanted())
