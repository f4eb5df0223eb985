"""``vinci-offline select``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from vinci_offline.cli import completion
from vinci_offline.cli.console import print_json, say
from vinci_offline.cli.options import with_options
from vinci_offline.cli.tables import show_table
from vinci_offline.curate.selection import Selection
from vinci_offline.data.episode_columns import FRAGMENT
from vinci_offline.errors import UsageError
from vinci_offline.options import check_options, option

if TYPE_CHECKING:
    from vinci_offline.curate.kept_rows import KeptRows
    from vinci_offline.data.dataset import Dataset
    from vinci_offline.data.hdf5.filters import Compression

_GOALS = "Goals, for Dict observations with achieved_goal and desired_goal"
_OUTPUT = "Output"


@dataclass(frozen=True)
class Copies:
    """Options of the relabelled copies."""

    relabel: str | None = option(
        None,
        "Add K copies of each row with goals that were reached (HER).",
        panel=_GOALS,
        metavar="future:K|random:K",
    )
    env: str | None = option(
        None, "Environment whose compute_reward scores the copies.", panel=_GOALS, metavar="ENV"
    )
    reward_threshold: float | None = option(
        None, "Or: 0 within this distance of the goal, else -1.", panel=_GOALS, metavar="T"
    )


@dataclass(frozen=True)
class Output:
    """Options of the files that are written."""

    flatten: bool = option(
        False, "Make one vector of the keys of Dict observations, goals too.", panel=_OUTPUT
    )
    split: str | None = option(
        None,
        "Write this fraction of the episodes, and the others to OTHER.",
        panel=_OUTPUT,
        metavar="F:OTHER",
    )
    compress: str = option(
        "auto", "As in collect.", panel=_OUTPUT, choices=("auto", "none", "lzf", "gzip", "blosc2")
    )
    overwrite: bool = option(False, "Replace what is there.", panel=_OUTPUT)
    json: bool = option(False, "Print one JSON object.", panel=_OUTPUT)

    def __post_init__(self) -> None:
        check_options(self)


@with_options
def select(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SRC...",
            help="Dataset files, or shipped datasets' names.",
            autocompletion=completion.datasets,
        ),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DST", help="The dataset to write.")],
    choice: Selection,
    copies: Copies,
    written: Output,
) -> None:
    """Filter, merge, sample and split datasets; where the rows come from is recorded.

    Refuses sources of unlike spaces. The same seed chooses the same rows. Files of a split appear together.
    """
    from vinci_offline.curate import select as selection
    from vinci_offline.curate.saving import save_together
    from vinci_offline.data.hdf5.target import check_target

    share, other = _split(written.split)
    paths = [output, *([] if other is None else [other])]
    for path in paths:
        check_target(path, overwrite=written.overwrite)
    relabeller = _Relabeller(copies, choice.seed)
    opened = selection.open_sources(sources)
    _refuse_sources(paths, opened)
    kept = selection.choose(opened, choice)
    parts = [kept] if share is None else [*selection.split(kept, share, choice.seed)]
    described = choice.described() | ({} if share is None else {"split": share, "seed": choice.seed})
    said = selection.fragments_left_out(opened, choice)
    made = [_made(part, described, relabeller, said, flat=written.flatten) for part in parts]
    saved = save_together(
        [(path, dataset) for path, (dataset, _, _) in zip(paths, made, strict=True)],
        compress=cast("Compression", written.compress),
        overwrite=written.overwrite,
    )
    _tell(
        [(file, lost, notes) for file, (_, lost, notes) in zip(saved, made, strict=True)],
        as_json=written.json,
    )


class _Relabeller:
    """Maker of relabelled copies; it checks the options before any work.

    Args:
        copies: the options.
        seed: of the goals that are drawn.
    """

    def __init__(self, copies: Copies, seed: int) -> None:
        from vinci_offline.curate.goals import GoalReward, WithinDistance
        from vinci_offline.curate.relabel import Relabelling

        relabel, env, threshold = copies.relabel, copies.env, copies.reward_threshold
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
        """Return the dataset with its copies, and notes on them."""
        if self._how is None or self._reward is None:
            return dataset, []
        from vinci_offline.curate.relabel import relabel

        made = relabel(dataset, self._how, self._reward)
        return made.dataset, list(made.notes)


def _made(
    part: list[KeptRows],
    described: dict[str, object],
    relabeller: _Relabeller,
    said: list[str],
    *,
    flat: bool,
) -> tuple[Dataset, list[str], list[str]]:
    from vinci_offline.curate.select import merged

    dataset, lost = merged(part, {"selection": described})
    dataset, notes = relabeller.added(dataset)
    if flat:
        from vinci_offline.curate.flatten import flatten

        dataset, more = flatten(dataset)
        notes = [*notes, *more]
    return dataset, lost, [*said, *notes]


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
    from vinci_offline.data.episodes import whole_returns

    header = ("", "rows", "episodes", "mean return")
    rows = []
    for each, _, _ in written:
        returns = whole_returns(each.episode_columns)
        mean = f"{returns.mean():.6g}" if len(returns) else "no whole episode"
        rows.append((str(each.path), f"{len(each):,}", f"{len(each.episode_columns[FRAGMENT]):,}", mean))
    show_table(rows, header=header, numbers_from=1)
    for dataset, lost, notes in written:
        if lost:
            say(f"{dataset.path}: {', '.join(lost)} left out, since not all sources have them")
        for note in [*notes, *_fragments(dataset)]:
            say(f"{dataset.path}: {note}")


def _fragments(dataset: Dataset) -> list[str]:
    """Return a line if the mean return leaves out fragments."""
    fragment = dataset.episode_columns[FRAGMENT]
    if not fragment.any() or fragment.all():
        return []
    return [f"{fragment.sum():,} of {len(fragment):,} episodes are fragments, left out of the mean return"]


def _described(dataset: Dataset, lost: list[str], notes: list[str]) -> dict[str, object]:
    from vinci_offline.data.episodes import whole_returns

    fragment, returns = dataset.episode_columns[FRAGMENT], whole_returns(dataset.episode_columns)
    return {
        "file": str(dataset.path),
        "rows": len(dataset),
        "episodes": len(fragment),
        "fragments": int(fragment.sum()),
        "return_mean": float(returns.mean()) if len(returns) else None,
        "left_out": lost,
        "notes": notes,
    }


def _split(text: str | None) -> tuple[float | None, Path | None]:
    if text is None:
        return None, None
    match = re.fullmatch(r"(0?\.\d+):(.+)", text)
    if match is None:
        raise UsageError(f"--split {text}: write it as 0.9:OTHER.h5")
    return float(match[1]), Path(match[2])
