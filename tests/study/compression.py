#!/usr/bin/env python3
"""What compression of gradients costs the demo job: bytes that workers push, and the accuracy, beside uncompressed.

usage: compression.py [SEEDS]        (3)

All epochs, on two workers with a shard each and two servers; without CORAL, whose moments are sent as they are.
"""
import statistics

from measure import accuracies, mean_and_spread, seeds_wanted

from compression_test import APART, CONFIG, coded, pushed

KINDS = (("none", 1), ("bfloat16", 1), ("float16", 1), ("int8", 1), ("int8_stochastic", 1), ("top_k", 0.1), ("top_k", 0.01))


def study(seeds):
    whole = None
    print(f"{'compression':<18} {'pushed':>12} {'of it':>8}   accuracy over {seeds} seeds")
    for kind, share in KINDS:
        found, sent = accuracies(CONFIG, (*APART, *coded(kind, share)), seeds, pushed)
        mean = statistics.mean(sent)
        whole = whole or mean
        name = f"{kind} {share:g}" if kind == "top_k" else kind
        print(f"{name:<18} {mean / 2**20:8.1f} MiB {100 * mean / whole:6.1f} %   {mean_and_spread(found)}", flush=True)


study(seeds_wanted())
