"""Mathematics of the losses: pure functions of ``keras.ops``.

Each name is imported at its first use. Reading an agent's hyperparameters therefore loads no Keras.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from vinci_offline.keras_setup import import_keras

if TYPE_CHECKING:
    from vinci_offline.functional import random
    from vinci_offline.functional.distributions import (
        categorical_entropy,
        categorical_log_prob,
        gaussian_entropy,
        gaussian_log_prob,
    )
    from vinci_offline.functional.gradients import gradient, invert_gradients
    from vinci_offline.functional.losses import (
        advantage_weight,
        ensemble_loss,
        expectile_loss,
        huber_loss,
        imitation_loss,
        l2_penalty,
        squared_error,
        value_metrics,
    )
    from vinci_offline.functional.targets import (
        batched_index,
        clip_action,
        clipped_double_q,
        double_q_learning,
        target_policy_smoothing,
        td_target,
    )

_HOMES = {
    "advantage_weight": "losses",
    "batched_index": "targets",
    "categorical_entropy": "distributions",
    "categorical_log_prob": "distributions",
    "clip_action": "targets",
    "clipped_double_q": "targets",
    "double_q_learning": "targets",
    "ensemble_loss": "losses",
    "expectile_loss": "losses",
    "gaussian_entropy": "distributions",
    "gaussian_log_prob": "distributions",
    "gradient": "gradients",
    "huber_loss": "losses",
    "imitation_loss": "losses",
    "invert_gradients": "gradients",
    "l2_penalty": "losses",
    "squared_error": "losses",
    "target_policy_smoothing": "targets",
    "td_target": "targets",
    "value_metrics": "losses",
}

__all__ = [
    "advantage_weight",
    "batched_index",
    "categorical_entropy",
    "categorical_log_prob",
    "clip_action",
    "clipped_double_q",
    "double_q_learning",
    "ensemble_loss",
    "expectile_loss",
    "gaussian_entropy",
    "gaussian_log_prob",
    "gradient",
    "huber_loss",
    "imitation_loss",
    "invert_gradients",
    "l2_penalty",
    "random",
    "squared_error",
    "target_policy_smoothing",
    "td_target",
    "value_metrics",
]


def __getattr__(name: str) -> Any:
    if name not in (*_HOMES, "random"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import_keras()  # quietly, before a module below does it
    if name == "random":
        return import_module(f"{__name__}.random")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
