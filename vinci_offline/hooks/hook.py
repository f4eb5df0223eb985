"""The hook protocol: what a training run tells whoever listens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vinci_offline.spec import EnvironmentSpec
from vinci_offline.types import Array

if TYPE_CHECKING:
    import keras

    from vinci_offline.agents.agent import Networks
    from vinci_offline.envs.evaluator import Evaluation


@dataclass(frozen=True)
class RunInfo:
    """What a hook may look at; the networks are the live ones, to be read and never written.

    Attributes:
        directory: the run directory.
        agent: the agent's name.
        config: everything in ``config.json``, hyperparameters under ``"hyperparameters"``.
        dataset: the dataset's summary, as ``vinci-offline info --json`` prints it.
        spec: the environment as the dataset remembers it.
        start_step: the global step at which this process starts: 0, or where a resumed run goes on.
        steps: the global step at which the run ends.
        nets: the agent's online and target networks by name.
        policy: raw observation to environment action, sharing weights with ``nets``.
        observations: ``[M, ...]`` a sample of at most 4,096 dataset observations.
    """

    directory: Path
    agent: str
    config: Mapping[str, Any]
    dataset: Mapping[str, Any]
    spec: EnvironmentSpec
    start_step: int
    steps: int
    nets: Networks
    policy: keras.Model
    observations: Array


class Hook:
    """Listens to a training run; override what you need, every method does nothing by default.

    The calls are ``start`` once, then ``metrics``, ``evaluation`` and ``note`` at steps that never decrease, then
    ``finish`` once. An exception in a hook ends the run.
    """

    def start(self, run: RunInfo) -> None:
        """The run is about to take its first step, or to go on after a resume.

        A hook that appends to files in ``run.directory`` drops what it wrote there past ``run.start_step``:
        those steps will be taken, and told, again.
        """

    def metrics(self, step: int, metrics: Mapping[str, float]) -> None:
        """Scalars at ``step``: means since the last call.

        They are keyed ``loss/critic``, ``gradient_norm/actor``, ``q/mean``, ``steps_per_second`` and so on; a
        phase that trains one half reports that half's alone, so keys come and go.
        """

    def evaluation(self, step: int, evaluation: Evaluation) -> None:
        """The policy was run in its environment at ``step``; called after that step's ``metrics``, if any."""

    def note(self, step: int, text: str) -> None:
        """Something happened at ``step`` that a reader of the run should know, in a sentence or two."""

    def finish(self, step: int) -> None:
        """The run ended at ``step``, done or interrupted."""
