"""The public names exist, and importing the package loads no heavy library."""

import subprocess
import sys

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
        ("vinci_offline.training.config", (*HEAVY, "numpy")),
        ("vinci_offline.envs.options", (*HEAVY, "numpy")),
        ("vinci_offline.curate.selection", (*HEAVY, "numpy")),
    ],
)
def test_imports_are_light(imported, unwanted):
    code = f"import sys, {imported}; print([name for name in {unwanted} if name in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
