"""Accuracy of a job over seeds, for the figures of README and docs; runs the real programs (tests/integration/harness.py)."""
import pathlib
import statistics
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))
from harness import directory, started


def accuracies(config, sets, seeds, look=lambda run: None):
    """Per seed 1 … seeds: percent of test samples that the adapted network gets right, and what `look` sees of the run."""
    found = []
    for seed in range(1, seeds + 1):
        with directory() as path, started(config, path / "run", sets=(*sets, f"run.seed={seed}")) as run:
            found.append((100 * run.ok()["adapted"]["accuracy"], look(run)))
    return [accuracy for accuracy, _ in found], [seen for _, seen in found]


def mean_and_spread(values):
    return f"{statistics.mean(values):.2f} ± {statistics.stdev(values) if len(values) > 1 else 0:.2f} %"


def seeds_wanted():
    return int(sys.argv[1]) if len(sys.argv) > 1 else 3
