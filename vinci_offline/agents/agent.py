"""Base class of algorithms: hyperparameters, networks, and the updates that train the networks."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from vinci_offline.agents.settings import check_limits, parse_settings, setting
from vinci_offline.agents.update import ActionKind, Target, Update, adam
from vinci_offline.batches.names import TRANSITION, ColumnWish
from vinci_offline.errors import UsageError, VinciError
from vinci_offline.loading import describe
from vinci_offline.networks.nets import Networks

if TYPE_CHECKING:
    import keras

    from vinci_offline.batches.batch import Batch
    from vinci_offline.batches.rows import Rows
    from vinci_offline.functional import PolicyValues
    from vinci_offline.networks.builder import NetworkBuilder
    from vinci_offline.types import Tensor

__all__ = ["ActionKind", "Agent", "Networks", "Target", "Update", "adam", "setting"]


@dataclass(frozen=True)
class Agent(ABC):
    """An algorithm: a frozen dataclass of hyperparameters. It has no state, no loop and no logger.

    A field's ``metadata["doc"]`` describes it and cites its source; `vinci-offline agents` prints it.

    Attributes:
        action_kinds: kinds of action spaces that it supports.
        columns: names of the columns in its batches; see `vinci_offline.batches.names`.
        roles: parts that a phase can train alone, in the order of reports.
        needs: the roles that must be trained before a role can be trained alone, because its losses use their networks.
        actor_later: True if no critic's loss uses the actor, so that an actor can be taken from finished critics. Else
            critics that are trained alone evaluate the actor as it stands.
        choose_when: when to choose the agent, a few words for `vinci-offline agents`.
        trajectories: True if `batch` reads other rows of the same trajectory (windows, goals). Streamed pools then
            keep trajectories whole.
    """

    name: ClassVar[str] = ""
    action_kinds: ClassVar[tuple[ActionKind, ...]] = ("continuous",)
    columns: ClassVar[tuple[ColumnWish, ...]] = TRANSITION
    roles: ClassVar[tuple[str, ...]] = ("critic", "actor")
    needs: ClassVar[Mapping[str, tuple[str, ...]]] = {"actor": ("critic",)}
    actor_later: ClassVar[bool] = False
    choose_when: ClassVar[str] = ""
    trajectories: ClassVar[bool] = False

    normalize_observations: bool = setting(
        True,
        "normalise observations by the dataset's mean and deviation, (x - mean) / (std + 1e-3), as TD3+BC's paper does "
        "(Fujimoto and Gu, 2021, section 5)",
    )

    def __new__(cls, *_: Any, **__: Any) -> Self:
        """Refuse a class that lacks a method; Python's own TypeError would come without advice."""
        if missing := sorted(cls.__abstractmethods__):
            told = f"agent {cls.name or cls.__name__!r} lacks the method{'s' * (len(missing) > 1)}"
            raise UsageError(
                f"{told} {', '.join(missing)}: write {'them' if len(missing) > 1 else 'it'} in {cls.__name__}"
            )
        return super().__new__(cls)

    def __post_init__(self) -> None:
        check_limits(self)

    @abstractmethod
    def networks(self, build: NetworkBuilder) -> Mapping[str, keras.Model | keras.Variable]:
        """Make the online networks by name. Their inputs are raw observations and scaled actions.

        The learner adds target networks. A learned scalar (``build.scalar``) counts as a network.
        """

    @abstractmethod
    def updates(self) -> tuple[Update, ...]:
        """Return the updates of one global step, in order. No two updates train the same network."""

    @abstractmethod
    def policy(self, nets: Networks, build: NetworkBuilder) -> keras.Model:
        """Make the deterministic policy: raw observation in, environment action out, stock Keras layers only."""

    def stochastic_policy(self, nets: Networks, build: NetworkBuilder) -> keras.Model | None:
        """Make a model from a raw observation to ``{"mean", "log_std"}`` in environment units or ``{"logits"}``.

        Returns:
            The model; None if the policy has no such distribution.
        """
        return None

    def sampler(self, nets: Networks, build: NetworkBuilder) -> keras.Model | None:
        """Make a model from ``{"observation", "noise"}`` to an environment action, for policies that can only sample.

        The caller draws the standard normal noise. Acting is therefore reproducible.

        Returns:
            The model; None for other policies.
        """
        return None

    def values(
        self, nets: Networks, observation: Any, key: Tensor, allowed: Tensor | None = None
    ) -> PolicyValues | None:
        """Return the values of the policy's actions at some observations, of an agent that evaluates a policy.

        Training reports their mean over the first observations of whole episodes, ``value/initial``.

        Args:
            nets: the agent's networks.
            observation: ``[B, ...]``, or a dict by key.
            key: key of random draws, as in a loss.
            allowed: ``[B, n]`` the mask of choices, where the data have them beside the observation.

        Returns:
            None for other agents.
        """
        return None

    def too_short(
        self, trained: Mapping[str, int], gamma: float, longest: int, n_step: int = 1
    ) -> str | None:
        """Return why an agent's values cannot be right after so few steps; None if they can, and for most agents.

        Args:
            trained: gradient steps of each role.
            gamma: the discount.
            longest: rows of the longest episode.
            n_step: rewards of each target.
        """
        return None

    def batch(self, rows: Rows, key: Tensor) -> Batch:
        """Make the batch of one step from the drawn rows.

        Args:
            rows: the drawn rows, with access to other rows.
            key: key of random draws, as in a loss.
        """
        return rows.at(rows.index)

    def to_json(self) -> dict[str, Any]:
        """Return the hyperparameters as JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Self:
        """Make the agent from hyperparameters as strings (``--set key=value``) or JSON values.

        Raises:
            UsageError: a name is unknown, or a value does not fit.
        """
        values = parse_settings(cls, settings)
        try:
            return cls(**values)
        except VinciError:
            raise
        except ValueError as error:
            raise UsageError(f"agent {cls.name!r}: {error}") from error
        except Exception as error:  # of a user's class
            raise UsageError(f"agent {cls.name!r}: {describe(error)}") from error
