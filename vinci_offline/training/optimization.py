"""Optimizer options of a run, for any agent: learning-rate schedules, clipping, weight decay, averaging."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vinci_offline.errors import UsageError
from vinci_offline.text import did_you_mean
from vinci_offline.training.phases import Phase

if TYPE_CHECKING:
    import keras

    from vinci_offline.agents.update import Update

_SCHEDULES = ("constant", "cosine")


@dataclass(frozen=True)
class Optimization:
    """Changes to the agent's optimizers; none by default.

    Attributes:
        phases: the run's plan; a cosine spans the steps at which its update runs.
        schedule: ``constant``, ``cosine``, or by role, as ``actor:cosine``. The cosine ends at zero
            (Loshchilov and Hutter, 2017, https://arxiv.org/abs/1608.03983, eq. 5, without restarts).
        warmup: number of steps over which an update's learning rate rises linearly from zero.
        clip_norm: greatest global norm of a network's gradients; greater ones are scaled down to it (Pascanu,
            Mikolov and Bengio, 2013, https://arxiv.org/abs/1211.5063, algorithm 1).
        weight_decay: each step also subtracts ``learning rate * weight_decay * weight``. With Adam this is AdamW
            (Loshchilov and Hutter, 2019, https://arxiv.org/abs/1711.05101, algorithm 2).
        policy_ema: evaluate and save a policy of averaged weights. After each step that moves the weights,
            ``average = policy_ema * average + (1 - policy_ema) * weights`` (Polyak and Juditsky, 1992,
            https://doi.org/10.1137/0330046, with exponential weights).

    Raises:
        UsageError: a value is out of its range.
    """

    phases: tuple[Phase, ...] = ()
    schedule: str = "constant"
    warmup: int = 0
    clip_norm: float | None = None
    weight_decay: float | None = None
    policy_ema: float | None = None

    def __post_init__(self) -> None:
        _parse_schedule(self.schedule)
        if self.warmup < 0:
            raise UsageError(f"--warmup must not be negative, not {self.warmup}")
        if self.clip_norm is not None and not 0 < self.clip_norm < float("inf"):
            raise UsageError(f"--clip-norm must be above 0, not {self.clip_norm}")
        if self.weight_decay is not None and not 0 <= self.weight_decay < float("inf"):
            raise UsageError(f"--weight-decay must be from 0 on, not {self.weight_decay}")
        if self.policy_ema is not None and not 0 <= self.policy_ema < 1:
            raise UsageError(f"--policy-ema must be from 0 to below 1, not {self.policy_ema}")

    @property
    def depends_on_steps(self) -> bool:
        """True if the number of steps changes the first steps already, as a cosine does."""
        return "cosine" in _parse_schedule(self.schedule).values()

    def check_roles(self, agent: str, roles: Sequence[str]) -> None:
        """Check that an agent has the roles that the schedule names.

        Raises:
            UsageError: the agent lacks a role.
        """
        for role in _parse_schedule(self.schedule):
            if role not in ("", *roles):
                raise UsageError(
                    f"--schedule: agent {agent!r} has no role {role!r}; it has {', '.join(roles)}"
                    + did_you_mean(role, roles)
                )

    def optimizer(self, update: Update) -> keras.optimizers.Optimizer:
        """Return the update's optimizer with the run's changes.

        Raises:
            UsageError: the agent's optimizer has its own schedule or clipping, which the run would replace; or the
                warm-up is not shorter than the cosine.
        """
        made = update.optimizer()
        changes: dict[str, Any] = {}
        rate = self._learning_rate(update, made)
        if rate is not None:
            changes["learning_rate"] = rate
        if self.clip_norm is not None:
            changes["global_clipnorm"] = self.clip_norm
        if self.weight_decay:
            changes["weight_decay"] = self.weight_decay
        if not changes:
            return made
        try:
            return type(made).from_config({**made.get_config(), **changes})
        except (TypeError, ValueError) as error:
            raise UsageError(
                f"the optimizer of {update.name!r}, {type(made).__name__}, does not take "
                f"{', '.join(changes)}: {str(error).splitlines()[0]}"
            ) from error

    def steps_of(self, update: Update) -> int:
        """Return how often the update runs in all phases."""
        every = update.every
        return sum(
            phase.stop // every - phase.start // every
            for phase in self.phases
            if phase.role in (None, update.role)
        )

    def _learning_rate(self, update: Update, made: keras.optimizers.Optimizer) -> Any:
        """Return a schedule that starts from the optimizer's own rate, or None for no change."""
        from keras.optimizers.schedules import CosineDecay, PolynomialDecay

        schedules = _parse_schedule(self.schedule)
        cosine = schedules.get(update.role, schedules.get("", "constant")) == "cosine"
        steps = self.steps_of(update)
        never_runs = cosine and not steps
        if never_runs or not (cosine or self.warmup):
            return None
        rate = made.get_config()["learning_rate"]
        if not isinstance(rate, float):
            raise UsageError(
                f"the optimizer of {update.name!r} has a schedule of its own: "
                "leave out --schedule and --warmup, or remove the agent's schedule"
            )
        if not cosine:
            return PolynomialDecay(0.0, self.warmup, end_learning_rate=rate, power=1.0)
        if self.warmup >= steps:
            raise UsageError(
                f"--warmup {self.warmup} leaves no steps to the cosine of {update.name!r}, "
                f"which is updated {steps} times in this run: give a smaller --warmup"
            )
        if not self.warmup:
            return CosineDecay(rate, steps)
        return CosineDecay(0.0, steps - self.warmup, warmup_target=rate, warmup_steps=self.warmup)


def _parse_schedule(text: str) -> dict[str, str]:
    """Parse ``cosine`` or ``critic:constant,actor:cosine`` into schedules by role; the empty name is the default."""
    schedules: dict[str, str] = {}
    for part in text.split(","):
        role, _, kind = part.strip().rpartition(":")
        if kind not in _SCHEDULES or not (role.isidentifier() or not role):
            raise UsageError(
                f"--schedule: {part.strip()!r} is not {' or '.join(_SCHEDULES)}, "
                "nor ROLE:SCHEDULE, as in actor:cosine"
            )
        if not role:
            schedules.clear()
        schedules[role] = kind
    return schedules
