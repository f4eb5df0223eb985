"""Options of a training run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

from vinci_offline.calls import check_call, speaking_python
from vinci_offline.errors import UsageError
from vinci_offline.options import check_options, option
from vinci_offline.training.optimization import Optimization
from vinci_offline.training.phases import Phase, plan_phases
from vinci_offline.training.rewards import parse_rewards
from vinci_offline.training.sizes import parse_bytes

_LARGEST_BATCH = 2**20
"""No use needs more. Near this size TensorFlow ends the process instead of raising an error."""

DEFAULT_AGENT = "td3bc"

LEARNS = "What learns"
HOW = "How it learns"
OPTIMIZER = "How its optimizers step"
REPORTS = "Evaluation, logs and checkpoints"


@dataclass(frozen=True)
class TrainingConfig:
    """Options of a run, apart from the agent and the data; the fields are the keyword arguments of `train`.

    Raises:
        UsageError: a value is not valid, or two of them contradict each other.
    """

    steps: int = option(100_000, "Gradient steps.", panel=HOW, low=1)
    only: str | None = option(None, "Train this half alone.", panel=LEARNS, metavar="critic|actor")
    phases: str | None = option(
        None,
        "Train halves in turn, for instance critic:20000,actor:10000,both:70000.",
        panel=LEARNS,
        metavar="PLAN",
    )
    batch_size: int = option(256, "Transitions in each step.", panel=HOW, low=1, high=_LARGEST_BATCH)
    gamma: float = option(0.99, "Discount factor.", panel=HOW, low=0, high=1)
    n_step: int = option(1, "Rewards summed before bootstrapping.", panel=HOW, low=1)
    reward: str | None = option(
        None,
        "Change rewards as they are read: scale:X, shift:X, normalize (returns then differ by 1000), or several.",
        panel=HOW,
        metavar="scale:X,shift:X",
    )
    random_shift: int | None = option(
        None,
        "Move images at random by up to this many pixels in each batch; DrQ takes 4.",
        panel=HOW,
        metavar="PIXELS",
        low=1,
    )
    seed: int = option(0, "Seed of the initial weights and of every draw.", panel=HOW, low=0)
    eval_every: int | None = option(
        None, "Steps between evaluations in the environment; none without it.", panel=REPORTS, low=1
    )
    eval_episodes: int = option(10, "Episodes of an evaluation.", panel=REPORTS, low=1)
    checkpoint_every: int = option(10_000, "Steps between checkpoints.", panel=REPORTS, low=1)
    log_every: int = option(1_000, "Steps between rows of metrics.", panel=REPORTS, low=1)
    validation: float | None = option(
        None,
        "Hold out this share of the episodes and log the losses on them.",
        panel=REPORTS,
        metavar="FRACTION",
    )
    patience: int | None = option(
        None, "Stop after this many log rows without a better held-out loss.", panel=REPORTS, low=1
    )
    jit: str = option("auto", "Compile with XLA.", panel=HOW, choices=("auto", "on", "off"))
    precision: str = option(
        "float32", "Arithmetic inside the networks.", panel=HOW, choices=("float32", "bfloat16")
    )
    schedule: str = option(
        "constant",
        "Learning rates over the run; one role alone as actor:cosine.",
        panel=OPTIMIZER,
        metavar="constant|cosine",
    )
    warmup: int = option(0, "Updates over which learning rates rise from zero.", panel=OPTIMIZER, low=0)
    clip_norm: float | None = option(None, "Greatest norm of a network's gradients.", panel=OPTIMIZER)
    weight_decay: float | None = option(None, "Decoupled weight decay (AdamW).", panel=OPTIMIZER)
    policy_ema: float | None = option(
        None,
        "Evaluate and save a policy of averaged weights; 0.999 is a usual rate.",
        panel=OPTIMIZER,
        metavar="RATE",
    )
    memory: str = option(
        "auto",
        "Hold all transitions on the device, or stream parts of them; auto streams data beyond the budget.",
        panel=HOW,
        choices=("auto", "device", "stream"),
    )
    memory_budget: str | int = option(
        "2GiB", "Memory for streamed transitions, such as 512MiB.", panel=HOW, metavar="SIZE"
    )

    def __post_init__(self) -> None:
        with speaking_python(TrainingConfig):
            check_call(TrainingConfig, (), vars(self))
            check_options(self)
            self._check_validation()
            parse_rewards(self.reward)  # checks it
            self.optimization()  # checks the schedule and its values
            self.budget()  # checks the size

    def plan(self) -> tuple[Phase, ...]:
        """Return the phases of the run."""
        return plan_phases(self.steps, self.only, self.phases)

    def optimization(self) -> Optimization:
        """Return the changes to the agent's optimizers."""
        return Optimization(
            self.plan(), self.schedule, self.warmup, self.clip_norm, self.weight_decay, self.policy_ema
        )

    def budget(self) -> int:
        """Return the memory budget in bytes."""
        return parse_bytes(self.memory_budget, "--memory-budget")

    def _check_validation(self) -> None:
        if self.validation is not None and not 0.0 < self.validation < 1.0:
            raise UsageError(f"--validation must be a fraction between 0 and 1, not {self.validation}")
        if self.patience is not None and self.validation is None:
            raise UsageError("--patience needs a held-out loss: hold out episodes with --validation 0.1")


class TrainingOptions(TypedDict, total=False):
    """Keyword arguments of `train` that are fields of `TrainingConfig`, for editors and type checkers."""

    steps: int
    only: str | None
    phases: str | None
    batch_size: int
    gamma: float
    n_step: int
    reward: str | None
    random_shift: int | None
    seed: int
    eval_every: int | None
    eval_episodes: int
    checkpoint_every: int
    log_every: int
    validation: float | None
    patience: int | None
    jit: str
    precision: str
    schedule: str
    warmup: int
    clip_norm: float | None
    weight_decay: float | None
    policy_ema: float | None
    memory: str
    memory_budget: str | int
