"""What an algorithm is: hyperparameters, the networks they need, and the updates that train them."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, TypeAlias

from vinci_offline.agents.settings import check_limits, parse_settings, setting
from vinci_offline.agents.update import Target, Update, adam
from vinci_offline.batches.names import TRANSITION, ColumnWish
from vinci_offline.errors import UsageError
from vinci_offline.networks.nets import Networks

if TYPE_CHECKING:
    import keras

    from vinci_offline.batches.batch import Batch
    from vinci_offline.batches.rows import Rows
    from vinci_offline.networks.builder import NetworkBuilder
    from vinci_offline.types import Tensor

__all__ = ["ActionKind", "Agent", "Networks", "Target", "Update", "adam", "setting"]

ActionKind: TypeAlias = Literal["continuous", "discrete"]


@dataclass(frozen=True)
class Agent(ABC):
    """An algorithm: a frozen dataclass of hyperparameters, without state, loop or logger.

    A field's ``metadata["doc"]`` says what it is and cites its source; `vinci-offline agents` prints it.

    Attributes:
        action_kinds: the action spaces that it can learn on.
        columns: what its batches hold, by name; see `vinci_offline.batches.names`.
        roles: the parts that phases can train alone, in the order in which they are told.
        trajectories: whether `batch` looks along the trajectory of a row (windows, goals): streamed pools then keep
            trajectories whole.
    """

    name: ClassVar[str] = ""
    action_kinds: ClassVar[tuple[ActionKind, ...]] = ("continuous",)
    columns: ClassVar[tuple[ColumnWish, ...]] = TRANSITION
    roles: ClassVar[tuple[str, ...]] = ("critic", "actor")
    trajectories: ClassVar[bool] = False

    normalize_observations: bool = setting(
        True,
        "normalise observations by the dataset's mean and deviation, (x - mean) / (std + 1e-3) "
        "(Fujimoto and Gu, 2021, section 5)",
    )

    def __post_init__(self) -> None:
        check_limits(self)

    @abstractmethod
    def networks(self, build: NetworkBuilder) -> Mapping[str, keras.Model | keras.Variable]:
        """Make the online networks by name, on raw observations and scaled actions; the learner adds targets.

        A learned scalar (``build.scalar``) is a network too.
        """

    @abstractmethod
    def updates(self) -> tuple[Update, ...]:
        """Return the updates in the order in which one global step runs them; no two train the same network."""

    @abstractmethod
    def policy(self, nets: Networks, build: NetworkBuilder) -> keras.Model:
        """Make the deterministic policy: raw observation in, environment action out, stock Keras layers only."""

    def stochastic_policy(self, nets: Networks, build: NetworkBuilder) -> keras.Model | None:
        """Make a model from a raw observation to ``{"mean", "log_std"}`` in environment units or ``{"logits"}``.

        Returns:
            None where the policy has no such distribution.
        """
        return None

    def sampler(self, nets: Networks, build: NetworkBuilder) -> keras.Model | None:
        """Make a model from ``{"observation", "noise"}`` to an environment action, for policies that only sample.

        Whoever acts draws the noise, standard normal, so that acting is reproducible.

        Returns:
            None where the policy is no such sampler.
        """
        return None

    def batch(self, rows: Rows, key: Tensor) -> Batch:
        """Make what the losses of one step see of the rows drawn.

        Args:
            rows: the drawn rows, and ways to look beyond them.
            key: seeds random draws, as in a loss.
        """
        return rows.at(rows.index)

    def to_json(self) -> dict[str, Any]:
        """Return the hyperparameters as JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Self:
        """Make the agent with hyperparameters given as strings (``--set key=value``) or JSON values.

        Raises:
            UsageError: a name that the agent does not have, or a value that does not fit.
        """
        values = parse_settings(cls, settings)
        try:
            return cls(**values)
        except ValueError as error:
            raise UsageError(f"agent {cls.name!r}: {error}") from error
