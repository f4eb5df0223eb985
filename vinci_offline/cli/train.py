"""``vinci-offline train``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from vinci_offline.cli.console import err, print_json
from vinci_offline.errors import UsageError

_WHAT = "What learns"
_HOW = "How it learns"
_OPTIMIZER = "How its optimizers step"
_REPORT = "Evaluation, logs and checkpoints"
_WHERE = "Where it goes"


def train(
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="FILE.h5", help="Dataset files, or names of shipped datasets."),
    ] = None,
    agent: Annotated[
        str,
        typer.Option(help="An agent's name (see [b]agents[/b]), or FILE.py:Class.", rich_help_panel=_WHAT),
    ] = "td3bc",
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="A hyperparameter of the agent; repeatable.",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    networks: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.py",
            help="Your own Keras networks: functions such as actor(env), critic(env).",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    only: Annotated[
        str | None, typer.Option(metavar="critic|actor", help="Train that half alone.", rich_help_panel=_WHAT)
    ] = None,
    phases: Annotated[
        str | None,
        typer.Option(
            metavar="PLAN", help="For instance critic:20000,actor:10000,both:70000.", rich_help_panel=_WHAT
        ),
    ] = None,
    init: Annotated[
        Path | None,
        typer.Option(metavar="RUN_DIR", help="Start from the networks of this run.", rich_help_panel=_WHAT),
    ] = None,
    steps: Annotated[int, typer.Option(help="Gradient steps.", rich_help_panel=_HOW)] = 100_000,
    batch_size: Annotated[int, typer.Option(help="Transitions a step.", rich_help_panel=_HOW)] = 256,
    gamma: Annotated[float, typer.Option(help="Discount factor.", rich_help_panel=_HOW)] = 0.99,
    n_step: Annotated[
        int, typer.Option(help="Rewards summed before bootstrapping.", rich_help_panel=_HOW)
    ] = 1,
    seed: Annotated[int, typer.Option(help="Seeds weights and every draw.", rich_help_panel=_HOW)] = 0,
    seeds: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Train N seeds from --seed on, each in RUN_DIR/seed-K.", rich_help_panel=_HOW
        ),
    ] = None,
    backend: Annotated[
        str | None,
        typer.Option(
            metavar="tensorflow|jax", help="What computes; KERAS_BACKEND unless given.", rich_help_panel=_HOW
        ),
    ] = None,
    jit: Annotated[
        str, typer.Option(metavar="auto|on|off", help="Compile with XLA.", rich_help_panel=_HOW)
    ] = "auto",
    precision: Annotated[
        str,
        typer.Option(metavar="float32|bfloat16", help="Arithmetic inside networks.", rich_help_panel=_HOW),
    ] = "float32",
    schedule: Annotated[
        str,
        typer.Option(
            metavar="constant|cosine",
            help="Learning rates over the run; by role, as actor:cosine.",
            rich_help_panel=_OPTIMIZER,
        ),
    ] = "constant",
    warmup: Annotated[
        int,
        typer.Option(help="Updates over which learning rates rise from zero.", rich_help_panel=_OPTIMIZER),
    ] = 0,
    clip_norm: Annotated[
        float | None,
        typer.Option(help="Greatest norm of a network's gradients.", rich_help_panel=_OPTIMIZER),
    ] = None,
    weight_decay: Annotated[
        float | None, typer.Option(help="Decoupled weight decay (AdamW).", rich_help_panel=_OPTIMIZER)
    ] = None,
    policy_ema: Annotated[
        float | None,
        typer.Option(
            metavar="RATE",
            help="Evaluate and save a policy of averaged weights, for instance 0.999.",
            rich_help_panel=_OPTIMIZER,
        ),
    ] = None,
    memory: Annotated[
        str,
        typer.Option(
            metavar="auto|device|stream",
            help="Hold all transitions, or read a part of them at a time; auto streams over the budget.",
            rich_help_panel=_HOW,
        ),
    ] = "auto",
    memory_budget: Annotated[
        str,
        typer.Option(
            metavar="SIZE", help="What streamed transitions may take, as 512MiB.", rich_help_panel=_HOW
        ),
    ] = "2GiB",
    eval_every: Annotated[
        int | None,
        typer.Option(help="Steps between evaluations in the environment.", rich_help_panel=_REPORT),
    ] = None,
    eval_episodes: Annotated[int, typer.Option(help="Episodes an evaluation.", rich_help_panel=_REPORT)] = 10,
    env: Annotated[
        str | None,
        typer.Option(help="Evaluate here instead of the dataset's environment.", rich_help_panel=_REPORT),
    ] = None,
    log_every: Annotated[
        int, typer.Option(help="Steps between rows of metrics.", rich_help_panel=_REPORT)
    ] = 1_000,
    checkpoint_every: Annotated[
        int, typer.Option(help="Steps between checkpoints.", rich_help_panel=_REPORT)
    ] = 10_000,
    validation: Annotated[
        float | None,
        typer.Option(
            metavar="FRACTION", help="Hold out this share of the episodes.", rich_help_panel=_REPORT
        ),
    ] = None,
    patience: Annotated[
        int | None,
        typer.Option(
            help="Stop after so many looks without a better held-out loss.", rich_help_panel=_REPORT
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="RUN_DIR",
            help="Default: runs/DATASET-AGENT-SEED, or -seeds with --seeds.",
            rich_help_panel=_WHERE,
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the run's last checkpoint.", rich_help_panel=_WHERE)
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the run that is there.", rich_help_panel=_WHERE)
    ] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")] = False,
) -> None:
    """Train an agent from stored transitions alone; no environment is stepped unless you ask for evaluations."""
    if not files:
        from vinci_offline.data.shipped import shipped_datasets

        names = ", ".join(shipped_datasets())
        raise UsageError(f"no dataset was given: name a file, or one of the shipped datasets: {names}")
    from vinci_offline.keras_setup import import_keras

    import_keras(backend)
    from vinci_offline.training.precision import slow_here
    from vinci_offline.training.trainer import train as run_training

    if precision == "bfloat16" and slow_here():
        err.print(
            "--precision bfloat16 on a CPU: the results are right, but float32 is likely to be faster",
            soft_wrap=True,
        )
    result = run_training(
        files,
        agent,
        output=output,
        settings=_settings(set_ or []),
        networks=networks,
        init=init,
        env=env,
        seeds=seeds,
        resume=resume,
        overwrite=overwrite,
        steps=steps,
        only=only,
        phases=phases,
        batch_size=batch_size,
        gamma=gamma,
        n_step=n_step,
        seed=seed,
        eval_every=eval_every,
        eval_episodes=eval_episodes,
        checkpoint_every=checkpoint_every,
        log_every=log_every,
        validation=validation,
        patience=patience,
        jit=jit,
        precision=precision,
        schedule=schedule,
        warmup=warmup,
        clip_norm=clip_norm,
        weight_decay=weight_decay,
        policy_ema=policy_ema,
        memory=memory,
        memory_budget=memory_budget,
    )
    if json_:
        print_json(
            {
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
        )
    elif result.members:
        _print_seeds(result)
    else:
        _print_summary(result)
    if result.interrupted:
        raise KeyboardInterrupt


def _settings(pairs: list[str]) -> dict[str, str]:
    settings: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise UsageError(f"--set {pair!r} is not KEY=VALUE")
        settings[key.strip()] = value.strip()
    return settings


def _print_summary(result: Any) -> None:
    metrics = result.final_metrics
    told = f"{result.steps:,} step{'' if result.steps == 1 else 's'}"
    if result.steps_per_second == result.steps_per_second:  # not NaN: this process took some
        told += f" at {result.steps_per_second:,.0f} a second"
        told += f" ({result.compiler}, compiled in {result.compile_seconds:.1f} s)"
    if "return/mean" in metrics:
        told += f", mean return {metrics['return/mean']:.2f}"
    if result.stopped_early:
        told += ", stopped early on the held-out loss"
    print(f"{result.run}: {told}")
    if result.interrupted:
        print("run the same command with --resume to go on")
    else:
        print(f"evaluate it with: vinci-offline evaluate {result.run}")
        if result.best_step not in (None, result.steps):
            print(f"its best was at step {result.best_step:,}: add --best for that policy")


def _seeds_json(result: Any) -> dict[str, Any]:
    if not result.members:
        return {}
    content = json.loads((result.run / "seeds.json").read_text(encoding="utf-8"))
    return {key: content[key] for key in ("final_metrics_std", "members")}


def _print_seeds(result: Any) -> None:
    from vinci_offline.cli.tables import show_table

    content = _seeds_json(result)
    names = [
        name
        for name in ("return/mean", *sorted(result.final_metrics))
        if name in result.final_metrics and name.startswith(("return/", "loss/"))
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
    first = result.members[0].run
    print(f"{result.run}: seeds.json has the whole of it")
    if result.interrupted:
        print("run the same command with --resume to go on")
    else:
        print(f"evaluate one with: vinci-offline evaluate {first}")


def _cells(values: Mapping[str, float | None], names: Sequence[str]) -> list[str]:
    found = (values.get(name) for name in names)
    return ["" if value is None else f"{value:.4g}" for value in found]
