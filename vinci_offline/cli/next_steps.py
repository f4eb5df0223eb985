"""The last lines of ``vinci-offline train``: how to go on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from vinci_offline.cli.options import words_of
from vinci_offline.cli.train_options import Learner, Machine, Place
from vinci_offline.errors import VinciError
from vinci_offline.text import command
from vinci_offline.training.config import TrainingConfig

if TYPE_CHECKING:
    from vinci_offline.training.result import TrainResult

JUDGED, RANDOM = "evaluation_policy", "random"
"""The setting of an agent that evaluates a policy, and its value for the uniform one."""


def next_steps(
    files: Sequence[str],
    learner: Learner,
    config: TrainingConfig,
    machine: Machine,
    place: Place,
    result: TrainResult,
) -> Iterator[str]:
    """Say how to go on, in commands that work as they are printed."""
    from vinci_offline.runs.run_directory import RunDirectory

    first = result.members[0] if result.members else result
    if first.untrained:
        # A role can be trained alone where the others are trained.
        *others, last = first.untrained
        schedule = config.schedule.partition(":")[0]
        rest = replace(config, only=None if others else last, phases=None, schedule=schedule)
        words = [
            *words_of(replace(learner, init=first.run)),
            *words_of(rest),
            *words_of(machine),
            *words_of(replace(place, output=_free(first.run, last), resume=False, overwrite=False)),
        ]
        roles = f"{' and '.join(first.untrained)} are" if others else f"{last} is"
        yield f"its {roles} untrained; train {'them' if others else 'it'} with: {command('train', *files, *words)}"
        return
    settings = RunDirectory(first.run).config()["hyperparameters"]
    if JUDGED in settings:
        yield _judge_again(str(settings[JUDGED]), bool(settings.get("stochastic")), files)
        return
    environment = _environment_words(first.run, place)
    if environment is None:
        yield "the data name no environment that can be made here: evaluate needs one, as --env"
        return
    one = "one" if result.members else "it"
    yield f"evaluate {one} with: {command('evaluate', first.run, *environment)}"
    if result.best_step not in (None, result.steps):
        measure = "return in evaluations" if config.eval_every else "held-out loss"
        best = command("evaluate", first.run, "--best", *environment)
        yield f"its best {measure} was at step {result.best_step:,}; compare that policy with: {best}"


def _judge_again(policy: str, stochastic: bool, files: Sequence[str]) -> str:
    """Say how to judge the policy of a run of `fqe` further. The run has no policy of its own to evaluate."""
    from vinci_offline.policies.stored_file import policy_file

    told = f"this is the value of {'the random policy' if policy == RANDOM else policy}, and says nothing of its error"
    words = ["estimate", policy, *files, "--method", "fqe,dice"]
    if stochastic and Path(policy).is_dir():
        drawn = policy_file(policy, stochastic=True) != policy_file(policy, stochastic=False)
        words += ["--stochastic"] * drawn
    elif stochastic and policy != RANDOM:
        return told  # a file alone does not tell whether it holds a distribution
    return told if len(files) > 1 else f"{told}; get an interval with: {command(*words)}"


def _free(run: Path, role: str) -> Path:
    """Return a name for the run that trains a role of another."""
    names = (run.with_name(f"{run.name}-{role}{n or ''}") for n in range(100))
    return next((name for name in names if not name.exists()), run)


def _environment_words(run: Path, place: Place) -> list[str] | None:
    """Return the words that `evaluate` needs to know the environment of a run; None where it can make none."""
    from vinci_offline.envs.making import make_env
    from vinci_offline.runs.run_directory import RunDirectory

    if place.env is not None or place.env_kwargs is not None:  # `train` has evaluated there
        return words_of(Place(env=place.env, env_kwargs=place.env_kwargs))
    spec = RunDirectory(run).environment()
    if spec.id is None:
        return None
    try:
        make_env(spec).close()
    except VinciError:
        return None
    return []
