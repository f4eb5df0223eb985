"""The README's scripts pass their arguments on."""

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_demo_passes_its_arguments_to_the_command(tmp_path):
    for name in ("scripts", "pyproject.toml", "constraints.txt"):
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, tmp_path / name)
    command = tmp_path / ".venv/bin/vinci-offline"
    command.parent.mkdir(parents=True)
    command.write_text('#!/bin/sh\necho "$@"\n')
    command.chmod(0o755)
    stamp = subprocess.run(
        "cat pyproject.toml constraints.txt | cksum", shell=True, cwd=tmp_path, capture_output=True
    )
    (tmp_path / ".venv/made-run").write_bytes(stamp.stdout)
    done = subprocess.run([tmp_path / "scripts/demo", "-o", "my folder"], capture_output=True, text=True)
    assert done.stdout == "demo -o my folder\n", done.stderr
