"""``vinci-offline train``."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vinci_offline.cli import completion
from vinci_offline.cli.console import print_json, say, tell
from vinci_offline.cli.options import given_options, key_values, with_options, words_of
from vinci_offline.cli.signals import resumable
from vinci_offline.envs.options import json_object
from vinci_offline.errors import UsageError, VinciError
from vinci_offline.options import option
from vinci_offline.text import command, text_of
from vinci_offline.training.config import DEFAULT_AGENT, HOW, LEARNS, REPORTS, TrainingConfig

if TYPE_CHECKING:
    from vinci_offline.training.run import TrainResult

_WHERE = "Where it goes"


@dataclass(frozen=True)
class Learner:
    """Options that say what learns."""

    agent: str | None = option(
        None,
        f"An agent's name (see [b]agents[/b]), or FILE.py:Class; else the preset's, or {DEFAULT_AGENT}.",
        panel=LEARNS,
    )
    preset: str | None = option(
        None,
        "What was published for a task, as rebrac/hopper-medium; other options replace its values.",
        panel=LEARNS,
        metavar="AGENT/TASK",
    )
    settings: dict[str, str] | None = option(
        None,
        "A hyperparameter of the agent. Repeat it for more.",
        panel=LEARNS,
        flags=("--set",),
        metavar="KEY=VALUE",
        parse=key_values,
        repeat=True,
    )
    networks: Path | None = option(
        None,
        "Your own Keras networks: functions such as actor(env), critic(env).",
        panel=LEARNS,
        metavar="FILE.py",
    )
    init: Path | None = option(None, "Start from the networks of this run.", panel=LEARNS, metavar="RUN_DIR")


@dataclass(frozen=True)
class Machine:
    """Options that say what computes, and how many runs."""

    seeds: int | None = option(
        None, "Train N seeds from --seed on, each in RUN_DIR/seed-K.", panel=HOW, metavar="N"
    )
    backend: str | None = option(
        None, "Library that computes; KERAS_BACKEND unless given.", panel=HOW, choices=("tensorflow", "jax")
    )


@dataclass(frozen=True)
class Place:
    """Options that say where the run is evaluated and kept."""

    env: str | None = option(
        None, "Evaluate in this environment instead of the dataset's own.", panel=REPORTS, metavar="ENV"
    )
    env_kwargs: dict[str, Any] | None = option(
        None,
        """Its arguments, as '{"g": 9.81}'; the dataset's own environment keeps its others.""",
        panel=REPORTS,
        metavar="JSON",
        parse=json_object,
    )
    output: Path | None = option(
        None,
        "Default: runs/DATASET-AGENT-SEED, or -seeds with --seeds.",
        panel=_WHERE,
        flags=("-o", "--output"),
        metavar="RUN_DIR",
    )
    resume: bool = option(False, "Go on from the run's last checkpoint.", panel=_WHERE)
    overwrite: bool = option(False, "Replace the run that is there.", panel=_WHERE)


@with_options
def train(
    ctx: typer.Context,
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILE.h5",
            help="Dataset files, or names of shipped datasets.",
            autocompletion=completion.datasets,
        ),
    ] = None,
    *,
    learner: Learner,
    config: TrainingConfig,
    machine: Machine,
    place: Place,
    json_: Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")] = False,
) -> None:
    """Train an agent from stored transitions alone; no environment is stepped unless you ask for evaluations."""
    if not files:
        from vinci_offline.data.shipped import shipped_datasets

        names = ", ".join(shipped_datasets())
        raise UsageError(f"no dataset was given: name a file, or one of the shipped datasets: {names}")
    from vinci_offline.keras_setup import check_backend, import_keras
    from vinci_offline.training.arguments import check_arguments

    check_backend(machine.backend)
    learner, config = _filled(learner, config, given_options(ctx))
    agent = learner.agent or DEFAULT_AGENT
    datasets = check_arguments(
        files,
        agent,
        config,
        settings=learner.settings,
        networks=learner.networks,
        init=learner.init,
        env=place.env,
        env_kwargs=place.env_kwargs,
        output=place.output,
        seeds=machine.seeds,
        resume=place.resume,
        overwrite=place.overwrite,
    ).datasets
    import_keras(machine.backend)
    from vinci_offline.training.precision import slow_here
    from vinci_offline.training.trainer import train as run_training

    if config.precision == "bfloat16" and slow_here():
        tell("--precision bfloat16 on a CPU: the results are right, but float32 is likely to be faster")
    result = run_training(datasets, **vars(learner), **vars(config), seeds=machine.seeds, **vars(place))
    if result.interrupted:
        resumable()
    if json_:
        print_json(_summary_json(result))
    elif result.members:
        _print_seeds(result)
    else:
        _print_summary(result, f"{agent} on {', '.join(files)}")
    if not (json_ or result.interrupted):
        for line in _next_steps(files, learner, config, replace(machine, seeds=None), place, result):
            say(line)
    if result.interrupted:
        raise KeyboardInterrupt


def _filled(
    learner: Learner, config: TrainingConfig, given: Collection[str]
) -> tuple[Learner, TrainingConfig]:
    """Return the options with the values of the preset, where none were given."""
    if learner.preset is None:
        return learner, config
    from vinci_offline.training.arguments import with_preset

    named = {name: value for name, value in vars(config).items() if name in given}
    agent, settings, options = with_preset(learner.preset, learner.agent, learner.settings or {}, named)
    texts = {key: text_of(value) for key, value in settings.items()}
    return replace(learner, agent=agent, settings=texts, preset=None), replace(config, **options)


def _summary_json(result: TrainResult) -> dict[str, object]:
    return {
        "run": str(result.run),
        "steps": result.steps,
        "steps_per_second": result.steps_per_second,
        "compiler": result.compiler,
        "compile_seconds": result.compile_seconds,
        "final_metrics": dict(result.final_metrics),
        "stopped_early": result.stopped_early,
        "best_step": result.best_step,
        **_seeds_json(result),
    }


def _print_summary(result: TrainResult, what: str) -> None:
    metrics = result.final_metrics
    told = f"{what}, {result.steps:,} step{'' if result.steps == 1 else 's'}"
    if result.steps_per_second == result.steps_per_second:  # not NaN: this process took some
        told += f" at {result.steps_per_second:,.0f} a second"
        told += f" ({result.compiler}, compiled in {result.compile_seconds:.1f} s)"
    if "return/mean" in metrics:
        told += f", mean return {metrics['return/mean']:.2f}"
    if "value/initial" in metrics:
        told += f", {_value_words(metrics)}"
    if result.stopped_early:
        told += ", stopped early on the held-out loss"
    say(f"{result.run}: {told}")


def _value_words(metrics: Mapping[str, float]) -> str:
    """Say what the evaluated policy is worth."""
    states = int(metrics["value/states"])
    told = (
        f"value of the policy {metrics['value/initial']:.4g} over {states:,} first state{'s' * (states > 1)}"
    )
    if "value/cvar_10" in metrics:
        told += f", {metrics['value/cvar_10']:.4g} over its worst tenth"
    return told


def _next_steps(
    files: Sequence[str],
    learner: Learner,
    config: TrainingConfig,
    machine: Machine,
    place: Place,
    result: TrainResult,
) -> Iterator[str]:
    """Say how to go on, in commands that work as they are printed."""
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


def _seeds_json(result: TrainResult) -> dict[str, Any]:
    if not result.members:
        return {}
    from vinci_offline.runs.seeds_directory import SeedsDirectory

    content = SeedsDirectory(result.run).read()
    return {key: content[key] for key in ("final_metrics_std", "members")}


def _print_seeds(result: TrainResult) -> None:
    from vinci_offline.cli.tables import show_table

    content = _seeds_json(result)
    names = [
        name
        for name in ("return/mean", "value/initial", *sorted(result.final_metrics))
        if name in result.final_metrics and (name == "value/initial" or name.startswith(("return/", "loss/")))
    ]
    names = list(dict.fromkeys(names))
    rows = [
        [f"seed {member['seed']}", f"{member['steps']:,}", *_cells(member["final_metrics"], names)]
        for member in content["members"]
    ]
    rows += [
        ["mean", "", *_cells(result.final_metrics, names)],
        ["deviation", "", *_cells(content["final_metrics_std"], names)],
    ]
    show_table(rows, ["", "steps", *names], numbers_from=1)
    say(f"{result.run}: seeds.json has the whole of it")


def _cells(values: Mapping[str, float | None], names: Sequence[str]) -> list[str]:
    found = (values.get(name) for name in names)
    return ["" if value is None else f"{value:.4g}" for value in found]
