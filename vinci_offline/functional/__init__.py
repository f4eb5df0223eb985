"""Mathematics of the losses: pure functions of ``keras.ops``.

Each name is imported at its first use. Reading an agent's hyperparameters therefore loads no Keras.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from vinci_offline.keras_setup import import_keras

if TYPE_CHECKING:
    from vinci_offline.functional import random
    from vinci_offline.functional.cross_entropy import cross_entropy_method
    from vinci_offline.functional.distributions import (
        categorical_entropy,
        categorical_log_prob,
        gaussian_entropy,
        gaussian_log_prob,
    )
    from vinci_offline.functional.gradients import gradient, invert_gradients, multiplier_loss
    from vinci_offline.functional.images import random_shift
    from vinci_offline.functional.latents import (
        latent_distribution,
        latent_divergence,
        maximum_mean_discrepancy,
    )
    from vinci_offline.functional.losses import (
        advantage_weight,
        ensemble_loss,
        expectile_loss,
        exponent_shift,
        gumbel_loss,
        huber_loss,
        imitation_loss,
        l2_penalty,
        pairwise_likeness,
        quantile_huber_loss,
        soft_maximum,
        squared_error,
        value_metrics,
    )
    from vinci_offline.functional.masks import masked
    from vinci_offline.functional.policies import (
        PolicyValues,
        action_values,
        negative_log_likelihood,
        policy_entropy,
        policy_value,
        repeat_rows,
        sample_action,
        sampled_values,
        uniform_policy,
        values_under_actor,
        values_under_policy,
    )
    from vinci_offline.functional.squashing import log_squash_slope, squash
    from vinci_offline.functional.targets import (
        batched_index,
        clip_action,
        clipped_double_q,
        double_q_learning,
        target_policy_smoothing,
        td_target,
    )

_HOMES = {
    "PolicyValues": "policies",
    "action_values": "policies",
    "advantage_weight": "losses",
    "batched_index": "targets",
    "categorical_entropy": "distributions",
    "categorical_log_prob": "distributions",
    "clip_action": "targets",
    "clipped_double_q": "targets",
    "cross_entropy_method": "cross_entropy",
    "double_q_learning": "targets",
    "ensemble_loss": "losses",
    "expectile_loss": "losses",
    "exponent_shift": "losses",
    "gaussian_entropy": "distributions",
    "gaussian_log_prob": "distributions",
    "gradient": "gradients",
    "gumbel_loss": "losses",
    "huber_loss": "losses",
    "imitation_loss": "losses",
    "invert_gradients": "gradients",
    "l2_penalty": "losses",
    "latent_distribution": "latents",
    "latent_divergence": "latents",
    "log_squash_slope": "squashing",
    "masked": "masks",
    "maximum_mean_discrepancy": "latents",
    "multiplier_loss": "gradients",
    "negative_log_likelihood": "policies",
    "pairwise_likeness": "losses",
    "policy_entropy": "policies",
    "policy_value": "policies",
    "quantile_huber_loss": "losses",
    "random_shift": "images",
    "repeat_rows": "policies",
    "sample_action": "policies",
    "sampled_values": "policies",
    "soft_maximum": "losses",
    "squared_error": "losses",
    "squash": "squashing",
    "target_policy_smoothing": "targets",
    "td_target": "targets",
    "uniform_policy": "policies",
    "value_metrics": "losses",
    "values_under_actor": "policies",
    "values_under_policy": "policies",
}

__all__ = [
    "PolicyValues",
    "action_values",
    "advantage_weight",
    "batched_index",
    "categorical_entropy",
    "categorical_log_prob",
    "clip_action",
    "clipped_double_q",
    "cross_entropy_method",
    "double_q_learning",
    "ensemble_loss",
    "expectile_loss",
    "exponent_shift",
    "gaussian_entropy",
    "gaussian_log_prob",
    "gradient",
    "gumbel_loss",
    "huber_loss",
    "imitation_loss",
    "invert_gradients",
    "l2_penalty",
    "latent_distribution",
    "latent_divergence",
    "log_squash_slope",
    "masked",
    "maximum_mean_discrepancy",
    "multiplier_loss",
    "negative_log_likelihood",
    "pairwise_likeness",
    "policy_entropy",
    "policy_value",
    "quantile_huber_loss",
    "random",
    "random_shift",
    "repeat_rows",
    "sample_action",
    "sampled_values",
    "soft_maximum",
    "squared_error",
    "squash",
    "target_policy_smoothing",
    "td_target",
    "uniform_policy",
    "value_metrics",
    "values_under_actor",
    "values_under_policy",
]


def __getattr__(name: str) -> Any:
    if name not in (*_HOMES, "random"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import_keras()  # quietly, before a module below does it
    if name == "random":
        return import_module(f"{__name__}.random")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
