import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from vinci_offline.cli.agents import agents
from vinci_offline.errors import UsageError


@pytest.fixture
def app():
    made = typer.Typer()
    made.command()(agents)
    return made


def test_json_lists_every_agent(app):
    result = CliRunner().invoke(app, ["--json"])
    content = json.loads(result.stdout)
    assert {"bc", "ddpg", "dqn", "iql", "td3bc"} <= set(content)
    assert content["iql"]["hyperparameters"]["expectile"] == {
        "default": 0.7,
        "type": "float",
        "doc": "tau of eq. 5: 0.5 evaluates the behaviour policy, near 1 its best actions "
        "(0.9 for antmaze in the paper)",
    }


def test_tables_are_printed_to_standard_output(app):
    result = CliRunner().invoke(app, ["td3bc"])
    assert result.stderr == ""
    for text in ("td3bc", "continuous actions", "follows at 0.005 every 2 steps", "alpha", "2.5"):
        assert text in result.stdout


def test_markup_in_descriptions_is_printed_as_text(app, tmp_path):
    file = tmp_path / "marked.py"
    source = (
        Path(__file__)
        .with_name("own_agent.py")
        .read_text()
        .replace("weighted by reward", "[red]weighted[/red]")
    )
    file.write_text(source)
    assert "[red]weighted[/red]" in CliRunner().invoke(app, [f"{file}:OwnAgent"]).stdout


def test_unknown_agent_is_refused(app):
    result = CliRunner().invoke(app, ["tdbc3"])
    assert isinstance(result.exception, UsageError)
    assert "the agents are: awac, bc, bcq, " in str(result.exception)
