"""Ending what was left behind, and nothing else."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.core.processes import ROOT

pytestmark = pytest.mark.crash

# A process with a child that starts others all the time, and counts how many of them were killed.
SPARED = """
import subprocess, sys
died = sum(subprocess.run(["sleep", "0.004"]).returncode != 0 for _ in range(60))
sys.exit(died > 0)
"""
ROOT_PROCESS = """
import os, subprocess, sys
from apps.core.process import kill_descendants
spared = subprocess.Popen([sys.executable, "-c", sys.argv[1]])
doomed = subprocess.Popen(["sleep", "600"])
while spared.poll() is None:
    kill_descendants(os.getpid(), spare=[spared.pid])
sys.exit(10 * (doomed.poll() is None) + spared.returncode)
"""


def test_what_a_spared_process_starts_meanwhile_is_spared_too() -> None:
    done = subprocess.run([sys.executable, "-c", ROOT_PROCESS, SPARED], cwd=ROOT, timeout=60, check=False)
    assert done.returncode == 0
