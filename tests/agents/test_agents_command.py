import json
import re
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from vinci_offline.agents.outline import outline
from vinci_offline.agents.registry import agents as registered
from vinci_offline.cli.agents import agents
from vinci_offline.errors import UsageError
from vinci_offline.testing.agent_contract import BOX, bench, evaluate_loss, transitions


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


def test_list_fits_a_terminal_without_splitting_names(app, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("rich.console.Console.is_terminal", property(lambda _: True))
    shown = CliRunner().invoke(app, []).stdout
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    assert max(map(len, plain.splitlines())) <= 80
    for name, cls in registered().items():
        assert f" {name} " in plain
        for network in outline(cls)["networks"]:
            assert network.startswith("bootstrap") or re.search(rf"\b{network}\b", plain), network
    for heading in ("continuous actions:", "Discrete actions:", "both kinds of action:"):
        assert heading in plain


def test_every_agent_says_when_to_choose_it_as_the_page_does():
    page = Path(__file__).parents[2].joinpath("docs/agents.md").read_text(encoding="utf-8").replace("`", "")
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in page.splitlines()
        if line.startswith("| ")
    ]
    choices = {name: row[3] for row in rows if len(row) == 4 for name in row[0].split(", ")}
    for name, cls in registered().items():
        assert cls.choose_when == choices[name], name


@pytest.mark.parametrize(
    "name", [name for name, cls in registered().items() if outline(cls)["actor_later"] is not None]
)
def test_actor_can_be_trained_later_where_critics_never_ask_it(name):
    cls = registered()[name]
    small = {"hidden": (8,), "latent_hidden": (8,), "critics": 2, "samples": 2, "discrepancy_samples": 2}
    agent = cls(**{key: value for key, value in small.items() if key in cls.__dataclass_fields__})
    made, batch = bench(agent, BOX), transitions(BOX, agent=agent)
    critics = [update for update in made.updates if update.role == "critic"]
    before = [evaluate_loss(made, update, batch)[0] for update in critics]
    for network in {"actor", "target_actor"} & set(made.nets):
        made.nets[network].set_weights([w + 0.3 for w in made.nets[network].get_weights()])
    after = [evaluate_loss(made, update, batch)[0] for update in critics]
    assert (after == before) == cls.actor_later
