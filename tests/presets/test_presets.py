"""Published settings by task: every preset fits its agent, and what is given replaces its values."""

import json

import pytest
import typer
from typer.testing import CliRunner

from vinci_offline.agents.registry import agent_class
from vinci_offline.cli import train as train_command
from vinci_offline.cli.agents import agents
from vinci_offline.cli.app import app
from vinci_offline.cli.options import words_of
from vinci_offline.errors import UsageError
from vinci_offline.presets.library import preset_named, presets
from vinci_offline.training import trainer
from vinci_offline.training.arguments import with_preset
from vinci_offline.training.config import TrainingConfig


@pytest.mark.parametrize("name", presets())
def test_preset_fits_its_agent_and_the_options_of_a_run(name):
    preset = presets()[name]
    agent = agent_class(preset.agent).from_settings(preset.settings)
    for key, value in preset.settings.items():
        assert getattr(agent, key) == (tuple(value) if isinstance(value, list) else value)
    config = TrainingConfig(**preset.options)
    assert config.plan()[-1].stop >= 500_000
    assert "https://" in preset.source


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        # CORL's table of (beta_1, beta_2).
        ("rebrac/hopper-medium", {"actor_penalty": 0.01, "critic_penalty": 0.01}),
        ("rebrac/hopper-medium-replay", {"actor_penalty": 0.05, "critic_penalty": 0.5}),
        (
            "rebrac/antmaze-medium-diverse",
            {"actor_penalty": 0.001, "critic_penalty": 0.0, "critic_learning_rate": 5e-5},
        ),
        ("rebrac/pen-cloned", {"actor_penalty": 0.05, "critic_penalty": 0.5, "actor_learning_rate": 3e-4}),
        ("rebrac/walker2d-random", {"actor_penalty": 0.01, "critic_penalty": 0.0}),
        ("rebrac/halfcheetah-medium-expert", {"actor_penalty": 0.01, "critic_penalty": 0.1}),
        # The paper's (N, eta) and N.
        ("edac/walker2d-medium-expert", {"critics": 10, "diversity": 5.0}),
        ("edac/hopper", {"critics": 50, "diversity": 1.0}),
        ("sacn/hopper-medium", {"critics": 500}),
    ],
)
def test_preset_has_the_published_values(name, settings):
    assert settings.items() <= preset_named(name).settings.items()


def test_rebrac_takes_batches_of_1024_on_mujoco():
    assert preset_named("rebrac/hopper-medium").options == {"steps": 1_000_000, "batch_size": 1024}
    antmaze = {"steps": 1_000_000, "batch_size": 256, "gamma": 0.999, "reward": "scale:100"}
    assert preset_named("rebrac/antmaze-umaze").options == antmaze


def test_given_values_replace_those_of_the_preset():
    agent, settings, options = with_preset(
        "rebrac/hopper-medium", None, {"actor_penalty": "0.2"}, {"batch_size": 256, "seed": 3}
    )
    assert agent == "rebrac"
    assert settings == {"actor_penalty": "0.2", "critic_penalty": 0.01}
    assert options == {"steps": 1_000_000, "batch_size": 256, "seed": 3}


@pytest.mark.parametrize(
    ("name", "agent", "message"),
    [
        (
            "rebrac/hoper-medium",
            None,
            "`vinci-offline agents rebrac` lists.*did you mean 'rebrac/hopper-medium'",
        ),
        ("nothing", None, "named AGENT/TASK, of the agents awac, "),
        ("rebrac/hopper-medium", "td3bc", "sets what only rebrac has: agent 'td3bc' has no hyperparameter"),
    ],
)
def test_preset_that_does_not_fit_is_refused_in_one_line(name, agent, message):
    with pytest.raises(UsageError, match=message) as error:
        with_preset(name, agent, {}, {})
    assert "\n" not in str(error.value)


def test_preset_with_an_agent_object_is_refused():
    with pytest.raises(UsageError, match="give yours as settings"):
        with_preset("rebrac/hopper-medium", agent_class("rebrac")(), {}, {})


@pytest.fixture
def taken(monkeypatch):
    """Return what `check_arguments` is called with by the command and by the function; nothing is trained."""
    calls = []

    def check(_, agent, config, *, settings=None, **__):
        calls.append((agent, config, dict(settings or {})))
        raise UsageError("enough")

    monkeypatch.setattr("vinci_offline.training.arguments.check_arguments", check)
    monkeypatch.setattr(trainer, "check_arguments", check)
    return calls


def test_command_takes_the_preset_and_what_is_given_even_where_it_equals_a_default(taken):
    words = "train pendulum-mixed --preset rebrac/hopper-medium --batch-size 256 --set critic_penalty=0.5"
    CliRunner().invoke(app, words.split())
    ((agent, config, settings),) = taken
    assert (agent, config.batch_size, config.steps) == ("rebrac", 256, 1_000_000)
    assert settings == {"actor_penalty": "0.01", "critic_penalty": "0.5"}


def test_python_takes_the_preset_and_what_is_given(taken):
    with pytest.raises(UsageError, match="enough"):
        trainer.train("pendulum-mixed", preset="rebrac/hopper-medium-replay", batch_size=256)
    ((agent, config, settings),) = taken
    assert (agent, config.batch_size, config.steps) == ("rebrac", 256, 1_000_000)
    assert settings == {"actor_penalty": 0.05, "critic_penalty": 0.5}


def test_printed_commands_name_the_values_and_not_the_preset():
    learner = train_command.Learner(preset="cql/mujoco")
    learner, config = train_command._filled(learner, TrainingConfig(batch_size=32), {"batch_size"})
    words = words_of(learner)
    assert words[:4] == ["--agent", "cql", "--set", "hidden=256,256,256"]
    assert "--preset" not in words
    assert config.batch_size == 32


def test_agents_lists_presets_with_their_source():
    made = typer.Typer()
    made.command()(agents)
    shown = CliRunner().invoke(made, ["rebrac"]).stdout
    for text in (
        "rebrac/hopper-medium-replay",
        "--batch-size 1024 actor_penalty=0.05",
        "--batch-size 256 --gamma 0.999",
        "CORL",
    ):
        assert text in shown
    listed = json.loads(CliRunner().invoke(made, ["rebrac", "--json"]).stdout)["rebrac"]["presets"]
    assert listed["rebrac/hopper-medium"]["options"]["batch_size"] == 1024
