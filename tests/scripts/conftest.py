"""Import scripts from their own folders, as Python does when they run."""

import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS / "bench"))
    return SCRIPTS / "bench"


@pytest.fixture
def kill_training(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS / "faults"))
    import kill_training

    yield kill_training
    sys.modules.pop("kill_training")


@pytest.fixture
def fail_writes(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS / "faults"))
    import fail_writes

    yield fail_writes
    sys.modules.pop("fail_writes")


@pytest.fixture
def parity(monkeypatch):
    pytest.importorskip("d3rlpy")
    monkeypatch.syspath_prepend(str(SCRIPTS / "learning"))
    import parity

    yield parity
    for name in [
        name for name in sys.modules if name.split(".")[0] in ("parity", "pairing", "peer", "counterparts")
    ]:
        sys.modules.pop(name)


@pytest.fixture
def mutation(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import mutation

    return mutation


@pytest.fixture
def mutants(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import mutants

    return mutants


@pytest.fixture
def verdicts(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS / "learning"))
    import verdicts

    yield verdicts
    sys.modules.pop("verdicts")


@pytest.fixture
def first_hour(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS / "usability"))
    import first_hour

    yield first_hour
    sys.modules.pop("first_hour")
    sys.modules.pop("walk")


@pytest.fixture
def walk(first_hour):
    import walk

    return walk


@pytest.fixture
def pictures(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS / "usability"))
    import pictures

    yield pictures
    sys.modules.pop("pictures")
