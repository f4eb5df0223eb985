"""Seeds of episodes. Each depends on the seed of the whole and the episode's number alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

# Keep the starting states of evaluations apart from those of data recorded with the same seed, and those that choose
# the best state of a run apart from those that score it.
_EVALUATION = 0x6576616C
_SELECTION = 0x73656C65


class EpisodeSeeds(Protocol):
    """Seeds and generators of numbered episodes."""

    def start(self, episode: int) -> int:
        """Return the seed of ``env.reset``."""

    def rng(self, episode: int) -> np.random.Generator:
        """Return the generator of the policy and its noise, independent of the environment's."""


@dataclass(frozen=True)
class CollectionSeeds:
    """Seeds of the episodes of a collection."""

    seed: int

    def start(self, episode: int) -> int:
        """Return the seed of ``env.reset``."""
        return int(np.random.SeedSequence((self.seed, episode, 0)).generate_state(1)[0])

    def rng(self, episode: int) -> np.random.Generator:
        """Return the generator of the policy and its noise."""
        return np.random.default_rng(np.random.SeedSequence((self.seed, episode, 1)))


@dataclass(frozen=True)
class EvaluationSeeds:
    """Seeds of the episodes of an evaluation.

    Attributes:
        seed: the seed of the whole.
        selection: True for evaluations that choose among policies. They have starting states and draws of their own,
            so a policy is not scored on what chose it.
    """

    seed: int
    selection: bool = False

    def start(self, episode: int) -> int:
        """Return the seed of ``env.reset``."""
        return int(self._sequences(episode)[0].generate_state(1)[0])

    def rng(self, episode: int) -> np.random.Generator:
        """Return the generator of the policy."""
        return np.random.default_rng(self._sequences(episode)[1])

    def _sequences(self, episode: int) -> list[np.random.SeedSequence]:
        stream = _SELECTION if self.selection else _EVALUATION
        return np.random.SeedSequence((stream, self.seed, episode)).spawn(2)
