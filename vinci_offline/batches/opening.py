"""Choose and open the source that a training run draws from."""

from __future__ import annotations

from collections.abc import Sequence

from vinci_offline.batches.names import TRANSITION, ColumnWish
from vinci_offline.batches.reader import ColumnReader, load_columns, row_bytes
from vinci_offline.batches.source import Resident, Source
from vinci_offline.batches.stream import Stream
from vinci_offline.data.dataset import Dataset
from vinci_offline.quality.survey import Survey
from vinci_offline.spec.units import Units


def choose_memory(
    datasets: Sequence[Dataset],
    columns: Sequence[ColumnWish] = TRANSITION,
    *,
    memory: str,
    budget: int,
    trajectories: bool = False,
) -> str:
    """Return ``device`` or ``stream``: ``auto`` streams where the columns would take more than the budget.

    Args:
        datasets: the rows, one dataset after the other.
        columns: the columns that the agent asks for.
        memory: ``device``, ``stream`` or ``auto``.
        budget: bytes.
        trajectories: True where the agent looks at other rows of a run.
    """
    if memory != "auto":
        return memory
    rows = sum(map(len, datasets))
    return "stream" if rows * row_bytes(datasets[0], columns, trajectories) > budget else "device"


def open_source(
    dataset: Dataset,
    columns: Sequence[ColumnWish] = TRANSITION,
    *,
    gamma: float,
    n_step: int = 1,
    memory: str = "device",
    budget: int = 2**31,
    batch_size: int = 256,
    trajectories: bool = False,
    known: Survey | None = None,
    units: Units | None = None,
) -> Source:
    """Open the rows of a dataset for an engine.

    Args:
        dataset: N rows.
        columns: the columns that the agent asks for; the transition is always among them.
        gamma: the discount factor a step.
        n_step: rewards summed before bootstrapping.
        memory: ``stream`` reads pools; anything else loads all rows.
        budget: bytes that the pools of a stream may take.
        batch_size: rows drawn a step.
        trajectories: True where the agent looks at other rows of a run.
        known: what `batches.first_read.first_read` found in the dataset; without it the rows are read to check them.
        units: the units of observations and actions; None takes those that the spaces alone give.

    Raises:
        VinciError: the rows cannot be trained on, or not within the budget.
    """
    if memory != "stream":
        return Resident(
            load_columns(
                dataset,
                columns,
                gamma=gamma,
                n_step=n_step,
                trajectories=trajectories,
                known=known,
                units=units,
            )
        )
    reader = ColumnReader(
        dataset, columns, gamma=gamma, n_step=n_step, trajectories=trajectories, known=known, units=units
    )
    reader.check_finite()
    return Stream(reader, budget=budget, batch_size=batch_size)
