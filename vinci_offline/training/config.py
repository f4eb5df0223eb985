"""The options of a training run."""

from __future__ import annotations

from dataclasses import dataclass

from vinci_offline.errors import UsageError
from vinci_offline.training.optimization import Optimization
from vinci_offline.training.phases import Phase, plan_phases
from vinci_offline.training.sizes import parse_bytes

_LARGEST_BATCH = 2**20
"""Beyond any use, and near where TensorFlow ends the process instead of refusing."""


@dataclass(frozen=True)
class TrainingConfig:
    """How to train, apart from the agent and the data.

    Attributes:
        steps: gradient steps of a run without explicit phases.
        only: ``critic`` or ``actor`` trains that half alone.
        phases: a plan such as ``critic:20000,actor:10000``, instead of ``steps`` and ``only``.
        batch_size: transitions a step.
        gamma: discount factor a step.
        n_step: rewards summed before bootstrapping.
        seed: keys initial weights and every draw.
        eval_every: steps between evaluations in the environment; None never evaluates.
        eval_episodes: episodes an evaluation.
        checkpoint_every: steps between checkpoints.
        log_every: steps between rows of metrics.
        validation: fraction of the episodes that are held out; their losses are logged, and never learned from.
        patience: looks at the held-out loss, one every ``log_every`` steps, after the best of which training stops.
        jit: ``on`` compiles with XLA, ``off`` runs TensorFlow's graph, ``auto`` chooses by `choose_jit`.
        precision: ``float32``, or ``bfloat16`` inside the networks, as `training.precision` has it.
        schedule: ``constant``, ``cosine``, or by role, as ``actor:cosine``; this and the next four are described by
            `training.optimization.Optimization`.
        warmup: an update's first steps, over which its learning rate rises from zero.
        clip_norm: greatest global norm of a network's gradients; None clips nothing.
        weight_decay: decoupled weight decay, AdamW's; None decays nothing.
        policy_ema: rate of the averaged weights of the policy that is evaluated and saved; None averages nothing.
        memory: ``device`` holds all transitions in memory, ``stream`` a part of them at a time, ``auto`` streams where
            they would take more than ``memory_budget``.
        memory_budget: bytes, or text such as ``512MiB`` or ``2GB``, that streamed transitions may take.
    """

    steps: int = 100_000
    only: str | None = None
    phases: str | None = None
    batch_size: int = 256
    gamma: float = 0.99
    n_step: int = 1
    seed: int = 0
    eval_every: int | None = None
    eval_episodes: int = 10
    checkpoint_every: int = 10_000
    log_every: int = 1_000
    validation: float | None = None
    patience: int | None = None
    jit: str = "auto"
    precision: str = "float32"
    schedule: str = "constant"
    warmup: int = 0
    clip_norm: float | None = None
    weight_decay: float | None = None
    policy_ema: float | None = None
    memory: str = "auto"
    memory_budget: str | int = "2GiB"

    def __post_init__(self) -> None:
        for name in (
            "steps",
            "batch_size",
            "n_step",
            "eval_every",
            "eval_episodes",
            "checkpoint_every",
            "log_every",
            "patience",
        ):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"--{name.replace('_', '-')} must be at least 1, not {value}")
        if self.batch_size > _LARGEST_BATCH:
            raise UsageError(f"--batch-size must be at most {_LARGEST_BATCH:,}, not {self.batch_size:,}")
        if not 0.0 <= self.gamma <= 1.0:
            raise UsageError(f"--gamma must be from 0 to 1, not {self.gamma}")
        self._check_validation()
        if self.seed < 0:
            raise UsageError(f"--seed must not be negative, not {self.seed}")
        if self.jit not in ("auto", "on", "off"):
            raise UsageError(f"--jit must be auto, on or off, not {self.jit!r}")
        if self.precision not in ("float32", "bfloat16"):
            raise UsageError(f"--precision must be float32 or bfloat16, not {self.precision!r}")
        self.optimization()  # refuses what it cannot take
        if self.memory not in ("auto", "device", "stream"):
            raise UsageError(f"--memory must be auto, device or stream, not {self.memory!r}")
        self.budget()  # refuses what is no size

    def plan(self) -> tuple[Phase, ...]:
        """The phases of the run."""
        return plan_phases(self.steps, self.only, self.phases)

    def optimization(self) -> Optimization:
        """What the run adds to its agent's optimizers."""
        return Optimization(
            self.plan(), self.schedule, self.warmup, self.clip_norm, self.weight_decay, self.policy_ema
        )

    def budget(self) -> int:
        """The memory budget in bytes."""
        return parse_bytes(self.memory_budget, "--memory-budget")

    def _check_validation(self) -> None:
        if self.validation is not None and not 0.0 < self.validation < 1.0:
            raise UsageError(f"--validation must be a fraction between 0 and 1, not {self.validation}")
        if self.patience is not None and self.validation is None:
            raise UsageError(
                "--patience waits for the held-out loss: hold out episodes with --validation 0.1"
            )
