"""The mathematics of the losses: pure functions of ``keras.ops``, one noun a file.

Each name is imported at first use, so that an agent's hyperparameters can be read without loading Keras.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

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
        action_error,
        advantage_weight,
        ensemble_loss,
        expectile_loss,
        huber_loss,
        l2_penalty,
        squared_error,
        value_metrics,
    )
    from vinci_offline.functional.targets import (
        chosen_value,
        clip_action,
        clipped_double,
        double_value,
        smoothed_action,
        td_target,
    )

_HOMES = {
    "action_error": "losses",
    "advantage_weight": "losses",
    "categorical_entropy": "distributions",
    "categorical_log_prob": "distributions",
    "chosen_value": "targets",
    "clip_action": "targets",
    "clipped_double": "targets",
    "double_value": "targets",
    "ensemble_loss": "losses",
    "expectile_loss": "losses",
    "gaussian_entropy": "distributions",
    "gaussian_log_prob": "distributions",
    "gradient": "gradients",
    "huber_loss": "losses",
    "invert_gradients": "gradients",
    "l2_penalty": "losses",
    "smoothed_action": "targets",
    "squared_error": "losses",
    "td_target": "targets",
    "value_metrics": "losses",
}

__all__ = [
    "action_error",
    "advantage_weight",
    "categorical_entropy",
    "categorical_log_prob",
    "chosen_value",
    "clip_action",
    "clipped_double",
    "double_value",
    "ensemble_loss",
    "expectile_loss",
    "gaussian_entropy",
    "gaussian_log_prob",
    "gradient",
    "huber_loss",
    "invert_gradients",
    "l2_penalty",
    "random",
    "smoothed_action",
    "squared_error",
    "td_target",
    "value_metrics",
]


def __getattr__(name: str) -> Any:
    if name == "random":
        return import_module(f"{__name__}.random")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
