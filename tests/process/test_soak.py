"""The soak, short: every answer explained, nothing left over, memory flat, with a reload every few seconds."""

import subprocess
import sys
from pathlib import Path

SOAK = Path(__file__).parents[1] / "soak" / "run.py"


def test_after_less_than_a_minute_of_faults_floods_and_reloads_nothing_is_left_over(environ, tmp_path):
    """All nine configurations come once. Memory still warms up in so short a time, and streams of 12 MB pass."""
    options = {"--seconds": "40", "--reload-s": "4", "--flat-mb": "20", "--keep": tmp_path}
    command = [sys.executable, SOAK, *(part for option in options.items() for part in option)]
    done = subprocess.run(command, capture_output=True, text=True, env=environ, timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr
