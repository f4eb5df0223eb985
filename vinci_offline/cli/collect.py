"""``vinci-offline collect``."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Annotated, Any

import typer

from vinci_offline.cli.console import err
from vinci_offline.errors import UsageError

_MUCH = "How much"
_WHO = "Who acts"
_HOW = "How it runs"
_FILE = "What is stored"


def collect(
    env: Annotated[
        str,
        typer.Argument(metavar="ENV", help="A Gymnasium id, module:EnvId, or module:Class (file.py:Class)."),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE.h5", help="The dataset to write.")],
    steps: Annotated[
        int | None,
        typer.Option(
            help="Record exactly so many rows; the last episode is cut there.", rich_help_panel=_MUCH
        ),
    ] = None,
    episodes: Annotated[
        int | None, typer.Option(help="Record so many whole episodes.", rich_help_panel=_MUCH)
    ] = None,
    policy: Annotated[
        list[str] | None,
        typer.Option(
            metavar="P",
            help="random (the default), a .keras or .onnx file, a run directory, "
            "sb3:ALGO:FILE.zip[:VECNORMALIZE], file.py:object (module:object), gep[:file.py:descriptor] "
            "(goal exploration), or random-state: uniform states and actions, one step at a time. Repeat it to "
            "mix by episode.",
            rich_help_panel=_WHO,
        ),
    ] = None,
    noise: Annotated[
        str,
        typer.Option(
            metavar="X",
            help="Exploration: none, gaussian:SIGMA, ou:THETA:SIGMA, epsilon:E, or sample (the policy's own "
            "distribution). gaussian:0.5->0.1 anneals. SIGMA counts in half ranges of the actions.",
            rich_help_panel=_WHO,
        ),
    ] = "none",
    env_kwargs: Annotated[
        str | None,
        typer.Option(
            metavar="JSON", help="""The environment's arguments, as '{"g": 9.81}'.""", rich_help_panel=_WHO
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed records the same data.", rich_help_panel=_HOW)] = 0,
    workers: Annotated[
        int, typer.Option(help="Processes; their number does not change the data.", rich_help_panel=_HOW)
    ] = 1,
    lanes: Annotated[
        int,
        typer.Option(
            help="Environments a process steps side by side, sharing one policy call.", rich_help_panel=_HOW
        ),
    ] = 16,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted collection.", rich_help_panel=_HOW)
    ] = False,
    engine: Annotated[
        str,
        typer.Option(
            metavar="local|ray",
            help="Where the workers run: processes of this machine, or a Ray cluster.",
            rich_help_panel=_HOW,
        ),
    ] = "local",
    record_infos: Annotated[
        str | None,
        typer.Option(
            metavar="KEYS",
            help="Keys of the step's info to record, separated by commas.",
            rich_help_panel=_FILE,
        ),
    ] = None,
    float64: Annotated[
        bool,
        typer.Option(
            "--float64", help="Keep float64 values; they become float32 otherwise.", rich_help_panel=_FILE
        ),
    ] = False,
    compress: Annotated[
        str,
        typer.Option(
            metavar="auto|none|lzf|gzip|blosc2",
            help="auto: images alone, with gzip. none reads fastest.",
            rich_help_panel=_FILE,
        ),
    ] = "auto",
    frames: Annotated[
        str,
        typer.Option(
            metavar="auto|once|plain",
            help="once: store an observation once, though it is the next one of the row before; plain: twice. "
            "auto: once for images. Both read the same.",
            rich_help_panel=_FILE,
        ),
    ] = "auto",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the file that is there.", rich_help_panel=_FILE)
    ] = False,
) -> None:
    """Record a policy in an environment to a dataset file.

    Give --steps or --episodes. An interrupted collection goes on with --resume, and ends with the same data.
    """
    kwargs = _parse_kwargs(env_kwargs)
    from vinci_offline.envs.collect.collector import collect as record

    dataset = record(
        env,
        output,
        steps=steps,
        episodes=episodes,
        policy=policy or "random",
        noise=noise,
        seed=seed,
        workers=workers,
        engine=engine,
        lanes=lanes,
        env_kwargs=kwargs,
        record_infos=[key.strip() for key in record_infos.split(",") if key.strip()] if record_infos else (),
        float64=float64,
        compress=compress,  # type: ignore[arg-type]
        frames=frames,  # type: ignore[arg-type]
        resume=resume,
        overwrite=overwrite,
    )
    table = dataset.episodes
    if not math.isfinite(table["return"].sum()):
        err.print(
            f"{output} has rewards that are not finite: vinci-offline validate {output} says where",
            markup=False,
        )
    print(f"{output}: {len(dataset):,} rows")
    if policy != ["random-state"]:
        print(
            f"{len(table):,} episode{'s' if len(table) > 1 else ''}, mean return {table['return'].mean():.2f}"
        )


def _parse_kwargs(text: str | None) -> dict[str, Any]:
    try:
        kwargs = json.loads(text) if text else {}
    except json.JSONDecodeError as error:
        raise UsageError(
            f"--env-kwargs {text!r} is not JSON ({error}): write it as '{{\"g\": 9.81}}'"
        ) from error
    if not isinstance(kwargs, dict):
        raise UsageError(f"--env-kwargs {text!r} is not a JSON object: write it as '{{\"g\": 9.81}}'")
    return kwargs
