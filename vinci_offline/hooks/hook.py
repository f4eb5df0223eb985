"""The hook protocol: calls of a training run to its listeners."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vinci_offline.spec import EnvironmentSpec
from vinci_offline.spec.units import Units
from vinci_offline.types import Array

if TYPE_CHECKING:
    import keras

    from vinci_offline.agents.agent import Networks
    from vinci_offline.envs.evaluator import Evaluation


@dataclass(frozen=True)
class RunInfo:
    """Facts about a run. The networks are the live ones: a hook reads them and never writes them.

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
        observations: ``[M, ...]`` a sample of at most 4,096 observations of the dataset; by key for a Dict space.
        units: the units of observations and actions in ``nets``, and of rewards; None stands for those of the spaces.
        chosen: options and hyperparameters that differ from their defaults; None where that is not known.
        evaluation_due: True if the run goes on with the evaluation of ``start_step``, perhaps for the second time.
        actions: ``[M, ...]`` the recorded actions of the same rows as ``observations``; None where they are not known.
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
    observations: Array | Mapping[str, Array]
    units: Units | None = None
    chosen: Mapping[str, Any] | None = None
    evaluation_due: bool = False
    actions: Array | None = None


class Hook:
    """Listener to a training run. Override the methods you need; by default every method does nothing.

    The calls are ``start`` once, then ``compiling``, ``metrics``, ``evaluation`` and ``note`` at steps that never
    decrease, then ``finish`` once. An exception in a hook ends the run.
    """

    def start(self, run: RunInfo) -> None:
        """Receive the run before its first step, or before it goes on after a resume.

        A hook that appends to files in ``run.directory`` drops what it wrote there past ``run.start_step``:
        those steps will be taken and reported again.
        """

    def compiling(self, step: int) -> None:
        """Receive the word that the next updates are compiled now, at ``step``: no step is taken meanwhile."""

    def metrics(self, step: int, metrics: Mapping[str, float]) -> None:
        """Receive the scalars at ``step``: means since the last call.

        They are keyed ``loss/critic``, ``gradient_norm/actor``, ``q/mean``, ``steps_per_second`` and so on; a
        phase that trains one half reports only that half, so keys come and go.
        """

    def evaluation(self, step: int, evaluation: Evaluation) -> None:
        """Receive an evaluation of the policy at ``step``; it comes after the ``metrics`` of that step, if any."""

    def note(self, step: int, text: str) -> None:
        """Receive a sentence or two about an event at ``step``, such as an early stop."""

    def finish(self, step: int) -> None:
        """Receive the end of the run at ``step``, done or interrupted."""
