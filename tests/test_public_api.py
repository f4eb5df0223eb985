"""The public names exist, and importing the package loads no heavy library."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import vinci_offline

HEAVY = ("tensorflow", "keras", "jax", "gymnasium", "pandas", "h5py", "matplotlib")


def test_every_public_name_exists_and_is_listed():
    assert sorted(vinci_offline.__all__) == vinci_offline.__all__
    assert set(vinci_offline.__all__) == set(vinci_offline._HOMES)
    for name in vinci_offline.__all__:
        assert getattr(vinci_offline, name).__doc__, name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = vinci_offline.nothing


@pytest.mark.parametrize(
    ("imported", "unwanted"),
    [
        ("vinci_offline", HEAVY),
        ("vinci_offline.data", ("tensorflow", "keras", "gymnasium")),
        ("vinci_offline.data.dataset", ("tensorflow", "keras", "gymnasium")),
        ("vinci_offline.envs.collect.collector", ("tensorflow", "keras")),
        ("vinci_offline.cli.app", (*HEAVY, "numpy")),
        ("vinci_offline.training.trainer", ("tensorflow", "keras", "jax")),
        ("vinci_offline.training.config", (*HEAVY, "numpy")),
        ("vinci_offline.training.result", ("tensorflow", "keras", "jax")),
        ("vinci_offline.envs.options", (*HEAVY, "numpy")),
        ("vinci_offline.curate.selection", (*HEAVY, "numpy")),
    ],
)
def test_imports_are_light(imported, unwanted):
    code = f"import sys, {imported}; print([name for name in {unwanted} if name in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


@pytest.mark.parametrize("used", ["Agent", "functional.td_target"])
def test_names_that_need_keras_are_imported_without_start_up_messages(used):
    environment = {key: value for key, value in os.environ.items() if key != "TF_CPP_MIN_LOG_LEVEL"}
    name = used.partition(".")[0]
    code = f"import sys; from vinci_offline import {name}; {used}; assert 'keras' in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stderr) == (0, "")


def test_names_on_the_api_page_are_public():
    page = Path(__file__).parents[1] / "docs" / "api.md"
    named = re.findall(r"^::: vinci_offline\.(\w+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(named) == vinci_offline.__all__
    for name in named:
        exec(f"from vinci_offline import {name}", {})
