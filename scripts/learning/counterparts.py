"""d3rlpy's configuration of each agent, with the agent's own settings: widths, rates, penalties.

An agent without an entry has no counterpart. Where d3rlpy lacks a setting, `counterpart` says which.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from d3rlpy import algos
from d3rlpy.models.encoders import VectorEncoderFactory
from d3rlpy.models.q_functions import QRQFunctionFactory

from vinci_offline.agents.registry import agent_class

FIXED: dict[str, Any] = {"alpha_learning_rate": 0.0}
"""Settings of d3rlpy's CQL whose penalty has a fixed weight."""

Made: TypeAlias = tuple[Any, dict[str, Any]]
"""A class of configurations and the arguments of it that the agent decides."""


def counterpart(agent: str, settings: Mapping[str, Any], *, discrete: bool, **shared: Any) -> Any:
    """Return d3rlpy's configuration of an agent with these settings, and the agent's defaults for the others.

    Args:
        agent: its name.
        settings: settings of our agent.
        discrete: whether actions are choices.
        shared: arguments that do not depend on the agent, such as the batch size.

    Raises:
        ValueError: d3rlpy has no counterpart of the agent or of a setting.
    """
    table = CHOICES if discrete else CONTINUOUS
    if agent not in table:
        raise ValueError(f"d3rlpy has no known counterpart of {agent}: choose from {', '.join(table)}")
    ours: Any = agent_class(agent).from_settings(dict(settings))
    made, own = table[agent](ours)
    if agent == "bc":
        shared.pop("gamma", None)
    return made(**own, **shared)


def encoder(ours: Any, **options: Any) -> VectorEncoderFactory:
    return VectorEncoderFactory(list(ours.hidden), **options)


def actor_critic(ours: Any, **critic: Any) -> dict[str, Any]:
    """Return the learning rates and networks of an actor and its critics."""
    return {
        "actor_learning_rate": ours.actor_learning_rate,
        "critic_learning_rate": ours.critic_learning_rate,
        "actor_encoder_factory": encoder(ours),
        "critic_encoder_factory": encoder(ours, **critic),
    }


def latent(ours: Any) -> dict[str, Any]:
    """Return the settings of an agent with an autoencoder of actions."""
    return {
        **actor_critic(ours),
        "imitator_encoder_factory": VectorEncoderFactory(list(ours.latent_hidden)),
        "imitator_learning_rate": ours.behaviour_learning_rate,
        "lam": ours.mixture,
        "tau": ours.tau,
    }


def smoothed(ours: Any) -> dict[str, Any]:
    """Return the settings of TD3's delay and noise."""
    return {
        "tau": ours.tau,
        "target_smoothing_sigma": ours.policy_noise,
        "target_smoothing_clip": ours.noise_clip,
        "update_actor_interval": ours.policy_delay,
        "n_critics": 2,
    }


def interval(ours: Any) -> int:
    """Return the steps between hard copies of the target, which are all that d3rlpy has for choices.

    A Polyak rate moves the target as far as one copy in ``1 / rate`` steps.
    """
    update = ours.target_update if hasattr(ours, "target_update") else ours.tau
    return int(update if update >= 1 else round(1 / update))


def bc(ours: Any) -> Made:
    kind = "stochastic" if ours.gaussian else "deterministic"
    own = {"learning_rate": ours.learning_rate, "encoder_factory": encoder(ours), "policy_type": kind}
    return algos.BCConfig, own


def ddpg(ours: Any) -> Made:
    if ours.target_update >= 1:
        raise ValueError("d3rlpy's DDPG has soft target updates only: --set target_update=0.005")
    return algos.DDPGConfig, {"tau": ours.target_update, "n_critics": 1, **actor_critic(ours)}


def td3(ours: Any) -> Made:
    return algos.TD3Config, {**smoothed(ours), **actor_critic(ours)}


def td3bc(ours: Any) -> Made:
    return algos.TD3PlusBCConfig, {"alpha": ours.alpha, **smoothed(ours), **actor_critic(ours)}


def rebrac(ours: Any) -> Made:
    if not ours.normalize_values:
        raise ValueError("d3rlpy's ReBRAC normalises values: --set normalize_values=true")
    penalties = {"actor_beta": ours.actor_penalty, "critic_beta": ours.critic_penalty}
    return algos.ReBRACConfig, {**penalties, **smoothed(ours), **actor_critic(ours, use_layer_norm=True)}


def iql(ours: Any) -> Made:
    return algos.IQLConfig, {
        "tau": ours.tau,
        "expectile": ours.expectile,
        "weight_temp": ours.temperature,
        "max_weight": ours.weight_clip,
        "value_encoder_factory": encoder(ours),
        **actor_critic(ours),
    }


def sac(ours: Any) -> Made:
    return algos.SACConfig, {
        "tau": ours.tau,
        "n_critics": ours.critics,
        "temp_learning_rate": ours.temperature_learning_rate,
        "initial_temperature": ours.initial_temperature,
        **actor_critic(ours),
    }


def conservative(ours: Any) -> dict[str, Any]:
    """Return the settings of CQL and Cal-QL."""
    lagrange = ours.lagrange_threshold
    weight = FIXED if lagrange is None else {"alpha_learning_rate": ours.critic_learning_rate}
    return {
        "conservative_weight": ours.conservatism,
        "alpha_threshold": 0.0 if lagrange is None else lagrange,
        "n_action_samples": ours.samples,
        "soft_q_backup": ours.soft_target,
        "max_q_backup": ours.max_target,
        **weight,
        **sac(ours)[1],
    }


def cql(ours: Any) -> Made:
    return algos.CQLConfig, conservative(ours)


def calql(ours: Any) -> Made:
    return algos.CalQLConfig, conservative(ours)


def awac(ours: Any) -> Made:
    """Return AWAC; d3rlpy divides the weights by their sum over the batch instead of clipping them."""
    if ours.target_update >= 1:
        raise ValueError("d3rlpy's AWAC has soft target updates only: --set target_update=0.005")
    own = {"lam": ours.temperature, "n_action_samples": ours.samples, "tau": ours.target_update}
    return algos.AWACConfig, {**own, **actor_critic(ours)}


def crr(ours: Any) -> Made:
    return algos.CRRConfig, {
        "beta": ours.temperature,
        "max_weight": ours.weight_clip,
        "n_action_samples": ours.samples,
        "weight_type": "binary" if ours.binary else "exp",
        "n_critics": 2,
        "target_update_type": "hard",
        "target_update_interval": interval(ours),
        **actor_critic(ours),
    }


def bcq(ours: Any) -> Made:
    """Return BCQ; d3rlpy takes as many draws in the target as in acting."""
    if ours.acting_samples != ours.samples:
        raise ValueError(f"d3rlpy's BCQ has one number of draws: --set acting_samples={ours.samples}")
    own = {"n_action_samples": ours.samples, "action_flexibility": ours.perturbation}
    return algos.BCQConfig, {**own, "beta": ours.divergence_weight, **latent(ours)}


def bear(ours: Any) -> Made:
    return algos.BEARConfig, {
        "alpha_learning_rate": ours.weight_learning_rate,
        "alpha_threshold": ours.threshold,
        "n_action_samples": ours.acting_samples,
        "n_target_samples": ours.samples,
        "n_mmd_action_samples": ours.discrepancy_samples,
        "mmd_kernel": "gaussian" if ours.gaussian_kernel else "laplacian",
        "mmd_sigma": ours.kernel_width,
        "vae_kl_weight": ours.divergence_weight,
        "warmup_steps": ours.warm_up,
        **latent(ours),
    }


def plas(ours: Any) -> Made:
    """Return PLAS without a warm-up: our runs train all roles at every step."""
    return algos.PLASConfig, {"beta": ours.divergence_weight, "warmup_steps": 0, **latent(ours)}


def choice_bc(ours: Any) -> Made:
    """Return BC of choices; beta is a penalty on the logits, which our BC lacks."""
    own = {"learning_rate": ours.learning_rate, "encoder_factory": encoder(ours), "beta": 0.0}
    return algos.DiscreteBCConfig, own


def values(ours: Any, **own: Any) -> dict[str, Any]:
    """Return the settings of an agent of choices without an actor."""
    if getattr(ours, "huber_delta", 1) != 1 or getattr(ours, "dueling", False):
        raise ValueError("d3rlpy has a Huber loss with delta 1 only, and no dueling networks")
    rate = ours.learning_rate if hasattr(ours, "learning_rate") else ours.critic_learning_rate
    return {"learning_rate": rate, "encoder_factory": encoder(ours), **own}


def dqn(ours: Any) -> Made:
    made = algos.DoubleDQNConfig if ours.double else algos.DQNConfig
    return made, values(ours, target_update_interval=interval(ours))


def nfq(ours: Any) -> Made:
    return algos.NFQConfig, values(ours)


def qrdqn(ours: Any) -> Made:
    quantiles = QRQFunctionFactory(n_quantiles=ours.quantiles)
    return algos.DQNConfig, values(ours, target_update_interval=interval(ours), q_func_factory=quantiles)


def choice_cql(ours: Any) -> Made:
    own = {"alpha": ours.conservatism, "n_critics": ours.critics, "target_update_interval": interval(ours)}
    return algos.DiscreteCQLConfig, values(ours, **own)


def choice_bcq(ours: Any) -> Made:
    """Return BCQ of choices, with a network of its own for the behaviour."""
    return algos.DiscreteBCQConfig, {
        "learning_rate": ours.choice_learning_rate,
        "encoder_factory": VectorEncoderFactory(list(ours.choice_hidden)),
        "action_flexibility": ours.threshold,
        "beta": ours.logit_penalty,
        "share_encoder": False,
        "target_update_interval": interval(ours),
    }


def choice_sac(ours: Any) -> Made:
    return algos.DiscreteSACConfig, {
        "n_critics": ours.critics,
        "temp_learning_rate": ours.temperature_learning_rate,
        "initial_temperature": ours.initial_temperature,
        "target_update_interval": interval(ours),
        **actor_critic(ours),
    }


CONTINUOUS: dict[str, Callable[[Any], Made]] = {
    "bc": bc,
    "ddpg": ddpg,
    "td3": td3,
    "td3bc": td3bc,
    "rebrac": rebrac,
    "iql": iql,
    "sac": sac,
    "cql": cql,
    "calql": calql,
    "awac": awac,
    "crr": crr,
    "bcq": bcq,
    "bear": bear,
    "plas": plas,
}
CHOICES: dict[str, Callable[[Any], Made]] = {
    "bc": choice_bc,
    "dqn": dqn,
    "nfq": nfq,
    "qrdqn": qrdqn,
    "cql": choice_cql,
    "bcq": choice_bcq,
    "sac": choice_sac,
}
