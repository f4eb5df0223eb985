"""``vinci-offline train``."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vinci_offline.cli import completion
from vinci_offline.cli.console import print_json, say, tell
from vinci_offline.cli.next_steps import next_steps
from vinci_offline.cli.options import given_options, with_options
from vinci_offline.cli.signals import resumable
from vinci_offline.cli.train_options import Learner, Machine, Place
from vinci_offline.errors import UsageError
from vinci_offline.text import text_of
from vinci_offline.training.config import DEFAULT_AGENT, TrainingConfig

if TYPE_CHECKING:
    from vinci_offline.sweeps.seeds import SeedsOrder
    from vinci_offline.training.arguments import Checked
    from vinci_offline.training.result import TrainResult


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
    from vinci_offline.keras_setup import check_backend
    from vinci_offline.training.arguments import check_arguments

    check_backend(machine.backend)
    if machine.workers is not None and machine.seeds is None:
        raise UsageError("--workers trains several seeds at the same time: say how many with --seeds")
    learner, config = _filled(learner, config, given_options(ctx))
    agent = learner.agent or DEFAULT_AGENT
    checked = check_arguments(
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
    )
    result = _run(checked, files, replace(learner, agent=agent), config, machine, place)
    if result.interrupted:
        resumable()
    if json_:
        print_json(_summary_json(result))
    elif result.members:
        _print_seeds(result)
    else:
        _print_summary(result, f"{agent} on {', '.join(files)}")
    if not (json_ or result.interrupted):
        for note in result.notes:
            say(f"note: {note}")
        for line in next_steps(
            files, learner, config, replace(machine, seeds=None, workers=None), place, result
        ):
            say(line)
    if result.interrupted:
        raise KeyboardInterrupt


def _run(
    checked: Checked,
    files: Sequence[str],
    learner: Learner,
    config: TrainingConfig,
    machine: Machine,
    place: Place,
) -> TrainResult:
    """Train: several seeds in processes where these are faster, all else in this process."""
    from vinci_offline.keras_setup import import_keras
    from vinci_offline.sweeps.machine import has_a_gpu, workers_for_seeds

    slow = "--precision bfloat16 on a CPU: the results are right, but float32 is likely to be faster"
    workers = workers_for_seeds(machine.seeds or 1, machine.workers, machine.backend)
    if workers > 1:
        from vinci_offline.sweeps.seeds import train_seeds

        order = _order(checked, files, learner, config, machine, place)
        if order.left(resume=place.resume):
            if config.precision == "bfloat16" and not has_a_gpu(machine.backend):
                tell(slow)
            return train_seeds(order, workers, resume=place.resume, overwrite=place.overwrite)
    import_keras(machine.backend)
    from vinci_offline.training.precision import slow_here
    from vinci_offline.training.trainer import train as run_training

    if config.precision == "bfloat16" and slow_here():
        tell(slow)
    return run_training(checked.datasets, **vars(learner), **vars(config), seeds=machine.seeds, **vars(place))


def _order(
    checked: Checked,
    files: Sequence[str],
    learner: Learner,
    config: TrainingConfig,
    machine: Machine,
    place: Place,
) -> SeedsOrder:
    from vinci_offline.sweeps.seeds import SeedsOrder
    from vinci_offline.training.arguments import default_output

    return SeedsOrder(
        tuple(files),
        learner.agent or DEFAULT_AGENT,
        learner.settings or {},
        learner.networks,
        learner.init,
        place.env,
        place.env_kwargs,
        place.output or default_output(checked.datasets, checked.agent, "seeds"),
        tuple(replace(config, seed=config.seed + number) for number in range(machine.seeds or 1)),
        machine.backend,
    )


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
        "notes": list(result.notes),
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
