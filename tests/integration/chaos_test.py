#!/usr/bin/env python3
"""The short form of `make chaos`."""
import os
import subprocess
import sys

from demo_test import need_assets
from harness import ROOT, main


def faults_of_processes_and_of_the_network_change_nothing():
    need_assets()
    got = subprocess.run([sys.executable, ROOT / "tests/chaos/chaos.py", "5", "3"], capture_output=True, text=True,
                         env={**os.environ})
    print(got.stdout, end="")
    assert got.returncode == 0 and "the same weights as undisturbed" in got.stdout, got.stdout + got.stderr


if __name__ == "__main__":
    sys.exit(main([faults_of_processes_and_of_the_network_change_nothing]))
