"""Damaged files of scripts/faults/mutate_files.py: each loads or is refused in one line."""

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "scripts" / "faults" / "mutate_files.py"


def test_damaged_files_load_or_are_refused():
    # Among the seeds from 100 on is a heap that HDF5 itself would read for ever.
    command = [sys.executable, str(SCRIPT), "--files", "60", "--seed", "100"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("60 files: ")
