"""Arguments of a run that are checked before Keras is needed."""

import dataclasses

import pytest

from vinci_offline.data.dataset import Dataset
from vinci_offline.errors import SpecError, UsageError
from vinci_offline.runs.seeds_directory import SeedsDirectory
from vinci_offline.spec import DictSpace
from vinci_offline.training.arguments import check_action_kind, check_arguments, evaluation_environment
from vinci_offline.training.config import TrainingConfig

CONFIG = TrainingConfig(eval_every=5)


@pytest.fixture(scope="module")
def spec():
    found = Dataset.open("pendulum-mixed").spec
    return dataclasses.replace(found, kwargs={"g": 5.0}, max_episode_steps=50)


@pytest.mark.parametrize(
    ("own", "expected"),
    [(None, {"g": 5.0, "max_episode_steps": 50}), ({"g": 2.0}, {"g": 2.0, "max_episode_steps": 50})],
)
def test_own_environment_keeps_its_arguments_where_it_is_named(spec, own, expected):
    assert evaluation_environment(CONFIG, spec, "Pendulum-v1", own) == ("Pendulum-v1", expected)


def test_unnamed_environment_is_that_of_the_dataset(spec):
    assert evaluation_environment(CONFIG, spec, None, {"g": 2.0}) == (spec, {"g": 2.0})


def test_other_environment_has_no_arguments_of_the_dataset(spec):
    pendulum = "gymnasium.envs.classic_control.pendulum:PendulumEnv"
    assert evaluation_environment(CONFIG, spec, pendulum, None) == (pendulum, {})


def test_existing_run_of_several_seeds_is_found_first(tmp_path):
    SeedsDirectory(tmp_path / "runs").claim([0, 1], resume=False, overwrite=False)
    with pytest.raises(UsageError, match="a run of several seeds: --resume goes on with it"):
        check_arguments("pendulum-mixed", "bc", TrainingConfig(), output=tmp_path / "runs", seeds=2)
    with pytest.raises(UsageError, match="holds the seeds 0 to 1"):
        check_arguments(
            "pendulum-mixed", "bc", TrainingConfig(), output=tmp_path / "runs", seeds=1, resume=True
        )
    check_arguments("pendulum-mixed", "bc", TrainingConfig(), output=tmp_path / "runs", seeds=3, resume=True)
    assert SeedsDirectory(tmp_path / "runs").read()["seeds"] == [0, 1]


def test_actions_that_are_a_dict_are_refused(spec):
    from vinci_offline.agents.td3bc import TD3BC

    several = dataclasses.replace(spec, action_space=DictSpace({"force": spec.action_space}))
    with pytest.raises(SpecError, match="several at once"):
        check_action_kind(TD3BC(), several)
