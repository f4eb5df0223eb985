"""Formats and agents that other packages register through entry points."""

import json
import os
import subprocess
import sys

import pytest
from packages import AGENT, FORMAT, make_package

from vinci_offline.agents.registry import agent_class, agents
from vinci_offline.convert.conversion import read, write
from vinci_offline.convert.registry import find_format, format_for, recognise
from vinci_offline.errors import UsageError, VinciWarning


@pytest.fixture
def sums(tmp_path):
    path = tmp_path / "data.sums"
    path.write_text("sums\n" + "\n".join(f"{i / 100} {-i / 100} 1.0" for i in range(64)) + "\n")
    return path


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install a package for this test alone."""

    def install(name, source, **groups):
        monkeypatch.syspath_prepend(make_package(tmp_path / "site" / name, name, source, **groups))
        monkeypatch.delitem(sys.modules, name, raising=False)

    return install


@pytest.fixture
def both(install):
    install("vinci_sums", FORMAT + AGENT, formats={"sums": "SumFormat"}, agents={"copycat": "Copycat"})


def cli(*words, site):
    """Run the command line with a folder of packages on the path."""
    path = os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, "-c", "from vinci_offline.cli.app import main; main()", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": path},
    )


def test_registered_format_reads_and_writes(both, sums, tmp_path):
    assert recognise(sums).name == "sums"
    assert find_format("sums").title == "a file of sums"
    assert format_for(tmp_path / "new.sums").name == "sums"
    imported = read(sums)
    assert imported.decisions == ("each row is an episode",)
    write(imported.dataset, tmp_path / "copy.sums")
    assert read(tmp_path / "copy.sums").dataset == imported.dataset


def test_registered_agent_is_found(both):
    assert agent_class("copycat").name == "copycat"
    assert agents()["copycat"] is agent_class("copycat")


def test_unknown_names_list_the_registered_ones(both):
    with pytest.raises(UsageError, match=r"there are: vinci, .*csv, sums"):
        find_format("summ")
    with pytest.raises(UsageError, match=r"the agents are: .*copycat"):
        agent_class("copydog")


def test_registered_format_is_imported_only_when_no_other_fits(install, tmp_path):
    install("vinci_broken", "raise ValueError('no licence')", formats={"broken": "Broken"})
    (tmp_path / "rows.csv").write_text("observation_0,action_0\n1,2\n")
    assert recognise(tmp_path / "rows.csv").name == "csv"
    assert format_for(tmp_path / "new.csv").name == "csv"
    assert find_format("csv").name == "csv"
    assert "vinci_broken" not in sys.modules


def test_broken_package_is_named_and_leaves_the_others(install, both, sums):
    install("vinci_broken", "raise ValueError('no licence')", formats={"broken": "B"}, agents={"broken": "B"})
    named = r"the package vinci_broken registers 'broken' as vinci_broken:B, and importing that failed: "
    with pytest.warns(VinciWarning, match=named + "ValueError: no licence"):
        assert recognise(sums).name == "sums"
    with pytest.warns(VinciWarning, match=named):
        assert "copycat" in agents()
    with pytest.raises(UsageError, match=named) as caught:
        find_format("broken")
    assert "\n" not in str(caught.value)
    with pytest.raises(UsageError, match=named):
        agent_class("broken")


def test_registered_object_of_another_kind_is_refused(install):
    install("vinci_odd", "class Odd: pass", formats={"odd": "Odd"}, agents={"odd": "Odd"})
    with pytest.raises(UsageError, match=r"vinci_odd registers 'odd' .* no subclass of Format"):
        find_format("odd")
    with pytest.raises(UsageError, match=r"vinci_odd registers 'odd' .* no subclass of Agent"):
        agent_class("odd")


def test_built_in_names_are_not_shadowed(install, sums):
    install("vinci_thief", FORMAT + AGENT, formats={"csv": "SumFormat"}, agents={"bc": "Copycat"})
    assert type(find_format("csv")).__name__ == "CsvFormat"
    assert agent_class("bc").__name__ == "BC"
    with (
        pytest.warns(VinciWarning, match=r"vinci_thief registers 'csv' .* a name of vinci-offline"),
        pytest.raises(UsageError, match="the formats are vinci"),
    ):
        recognise(sums)
    with pytest.warns(VinciWarning, match=r"vinci_thief registers 'bc' .* a name of vinci-offline"):
        assert agents()["bc"].__name__ == "BC"


def test_first_of_two_packages_keeps_a_name(install, both):
    install("vinci_too", AGENT, agents={"copycat": "Copycat"})
    with pytest.warns(VinciWarning, match=r"vinci_too registers 'copycat' .* a name of vinci_sums"):
        assert agent_class("copycat").__module__ == "vinci_sums"


def test_command_line_finds_registered_packages(sums, tmp_path):
    site = make_package(
        tmp_path / "site",
        "vinci_sums",
        FORMAT + AGENT,
        formats={"sums": "SumFormat"},
        agents={"copycat": "Copycat"},
    )
    converted = cli("convert", sums, tmp_path / "data.h5", "--json", site=site)
    assert json.loads(converted.stdout)["rows"] == 64
    back = cli("convert", tmp_path / "data.h5", tmp_path / "back.sums", "--to", "sums", "--json", site=site)
    assert back.returncode == 0, back.stderr
    assert "copycat" in cli("agents", site=site).stdout
    run = tmp_path / "run"
    small = ["--steps", "4", "--batch-size", "4", "--set", "hidden=4", "--jit", "off", "--json", "-o", run]
    trained = cli("train", tmp_path / "data.h5", "--agent", "copycat", *small, site=site)
    assert trained.returncode == 0, trained.stderr
    assert json.loads((run / "config.json").read_text())["agent"] == "copycat"
