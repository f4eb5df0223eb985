"""``vinci-offline select``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from vinci_offline.cli.console import print_json
from vinci_offline.cli.tables import show_table
from vinci_offline.errors import UsageError

if TYPE_CHECKING:
    from vinci_offline.curate.select import Chosen
    from vinci_offline.data.dataset import Dataset
    from vinci_offline.data.hdf5.writer import Compression

_WHICH = "Which rows, in this order"
_DRAW = "How many"
_GOALS = "Goals, for Dict observations with achieved_goal and desired_goal"
_OUTPUT = "Output"


def select(
    sources: Annotated[
        list[str], typer.Argument(metavar="SRC...", help="Dataset files, or shipped datasets' names.")
    ],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DST", help="The dataset to write.")],
    episodes: Annotated[
        str | None,
        typer.Option(
            metavar="A:B",
            help="These of each source's episodes; -100: are the last hundred.",
            rich_help_panel=_WHICH,
        ),
    ] = None,
    where: Annotated[
        str | None,
        typer.Option(
            metavar="EXPR",
            help="A condition on rows ('reward > 0 and abs(action_0) < 0.5', 'step < 50') or on episodes "
            "('return >= 100', 'policy in (0, 2)').",
            rich_help_panel=_WHICH,
        ),
    ] = None,
    top_returns: Annotated[
        float | None,
        typer.Option(
            metavar="F", help="The fraction of episodes with the highest returns.", rich_help_panel=_WHICH
        ),
    ] = None,
    sample_episodes: Annotated[
        int | None, typer.Option(metavar="N", help="Draw so many whole episodes.", rich_help_panel=_DRAW)
    ] = None,
    sample: Annotated[
        int | None, typer.Option(metavar="N", help="Draw so many rows.", rich_help_panel=_DRAW)
    ] = None,
    weight: Annotated[
        str | None,
        typer.Option(
            metavar="W,W,...",
            help="The sources' shares of what is drawn; without a number, as much as they allow.",
            rich_help_panel=_DRAW,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the draws.", rich_help_panel=_DRAW)] = 0,
    split: Annotated[
        str | None,
        typer.Option(
            metavar="F:OTHER",
            help="Write this fraction of the episodes, and the others to OTHER.",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
    relabel: Annotated[
        str | None,
        typer.Option(
            metavar="future:K|random:K",
            help="Add K copies of each row with goals that were reached (HER).",
            rich_help_panel=_GOALS,
        ),
    ] = None,
    env: Annotated[
        str | None,
        typer.Option(metavar="ENV", help="Whose compute_reward rewards them.", rich_help_panel=_GOALS),
    ] = None,
    reward_threshold: Annotated[
        float | None,
        typer.Option(
            metavar="T", help="Or: 0 within this distance of the goal, else -1.", rich_help_panel=_GOALS
        ),
    ] = None,
    compress: Annotated[
        str, typer.Option(metavar="auto|none|lzf|gzip|blosc2", help="As in collect.", rich_help_panel=_OUTPUT)
    ] = "auto",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace what is there.", rich_help_panel=_OUTPUT)
    ] = False,
    json_: Annotated[
        bool, typer.Option("--json", help="Print one JSON object.", rich_help_panel=_OUTPUT)
    ] = False,
) -> None:
    """Filter, merge, sample and split datasets; where the rows come from is recorded.

    Refuses sources of unlike spaces. The same seed chooses the same rows. Files of a split appear together.
    """
    from vinci_offline.curate import select as selection
    from vinci_offline.curate.saving import save_together
    from vinci_offline.files import refuse_existing

    share, other = _split(split)
    for path in [output, *([] if other is None else [other])]:
        refuse_existing(path, overwrite=overwrite)
    choice = selection.Choice(
        episodes=_slice(episodes),
        where=where,
        top_returns=top_returns,
        sample_episodes=sample_episodes,
        sample=sample,
        weights=_weights(weight),
        seed=seed,
    )
    copies = _Copies(relabel, env, reward_threshold, seed)
    opened = selection.open_sources(sources)
    paths = [output, *([] if other is None else [other])]
    _refuse_sources(paths, opened)
    kept = selection.choose(opened, choice)
    parts = [kept] if share is None else [*selection.split(kept, share, seed)]
    described = choice.described() | ({} if share is None else {"split": share, "seed": seed})
    made = [_made(part, described, copies) for part in parts]
    saved = save_together(
        [(path, dataset) for path, (dataset, _, _) in zip(paths, made, strict=True)],
        compress=cast("Compression", compress),
        overwrite=overwrite,
    )
    _tell([(file, lost, notes) for file, (_, lost, notes) in zip(saved, made, strict=True)], as_json=json_)


class _Copies:
    """Relabelled copies, where they are asked for; what they need is checked before any work."""

    def __init__(self, relabel: str | None, env: str | None, threshold: float | None, seed: int) -> None:
        from vinci_offline.curate.goals import GoalReward, WithinDistance
        from vinci_offline.curate.relabel import Relabelling

        if relabel is None and (env is not None or threshold is not None):
            raise UsageError("--env and --reward-threshold reward relabelled rows: give --relabel")
        self._how = None if relabel is None else Relabelling.parse(relabel, seed)
        self._reward: GoalReward | None = None
        if self._how is None:
            return
        if (env is None) == (threshold is None):
            raise UsageError(
                "--relabel never guesses rewards: give --env ENV or --reward-threshold T, one of them"
            )
        if threshold is not None:
            self._reward = WithinDistance(threshold)
        elif env is not None:
            from vinci_offline.envs.goal_reward import EnvironmentReward
            from vinci_offline.envs.wrapper import EnvWrapper

            self._reward = EnvironmentReward(EnvWrapper(env))

    def added(self, dataset: Dataset) -> tuple[Dataset, list[str]]:
        """The dataset with its copies, and what is to be said of them."""
        if self._how is None or self._reward is None:
            return dataset, []
        from vinci_offline.curate.relabel import relabel

        made = relabel(dataset, self._how, self._reward)
        return made.dataset, list(made.notes)


def _made(
    part: list[Chosen], described: dict[str, object], copies: _Copies
) -> tuple[Dataset, list[str], list[str]]:
    from vinci_offline.curate.select import merged

    dataset, lost = merged(part, {"selection": described})
    dataset, notes = copies.added(dataset)
    return dataset, lost, notes


def _refuse_sources(paths: list[Path], sources: list[Dataset]) -> None:
    """Nothing that is read is written over, and no part over the other."""
    read = {source.path.resolve() for source in sources if source.path}
    if len({path.resolve() for path in paths}) < len(paths):
        raise UsageError(f"{paths[0]} is named for both parts: choose another name for one")
    for path in paths:
        if path.resolve() in read:
            raise UsageError(f"{path} is one of the sources: choose another name")


def _tell(written: list[tuple[Dataset, list[str], list[str]]], *, as_json: bool) -> None:
    if as_json:
        print_json({"parts": [_described(*each) for each in written]})
        return
    header = ("", "rows", "episodes", "mean return")
    tables = [(dataset, dataset.episode_columns["return"]) for dataset, _, _ in written]
    rows = [
        (str(each.path), f"{len(each):,}", f"{len(sums):,}", f"{sums.mean():.6g}") for each, sums in tables
    ]
    show_table(rows, header=header, numbers_from=1)
    for dataset, lost, notes in written:
        if lost:
            print(f"{dataset.path}: {', '.join(lost)} left out, since not all sources have them")
        for note in notes:
            print(f"{dataset.path}: {note}")


def _described(dataset: Dataset, lost: list[str], notes: list[str]) -> dict[str, object]:
    returns = dataset.episode_columns["return"]
    return {
        "file": str(dataset.path),
        "rows": len(dataset),
        "episodes": len(returns),
        "return_mean": float(returns.mean()),
        "left_out": lost,
        "notes": notes,
    }


def _slice(text: str | None) -> slice:
    if text is None:
        return slice(None)
    match = re.fullmatch(r"(-?\d*):(-?\d*)", text.strip())
    if match is None or "-" in (match[1], match[2]):
        raise UsageError(f"--episodes {text}: write it as 0:100, :100, or -100:")
    return slice(*(int(part) if part else None for part in match.groups()))


def _weights(text: str | None) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"--weight {text}: write a number a source, as in 1,2") from None


def _split(text: str | None) -> tuple[float | None, Path | None]:
    if text is None:
        return None, None
    match = re.fullmatch(r"(0?\.\d+):(.+)", text)
    if match is None:
        raise UsageError(f"--split {text}: write it as 0.9:OTHER.h5")
    return float(match[1]), Path(match[2])
