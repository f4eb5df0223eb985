"""Policies that Stable-Baselines3 or its contrib package trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from vinci_offline.errors import UsageError
from vinci_offline.policies.actions import to_actions
from vinci_offline.policies.policy import Decision, HistoryPolicy, Observations
from vinci_offline.policies.sampling import sample_categorical, sample_gaussian, sample_squashed_gaussian
from vinci_offline.policies.sb3_files import Sb3Name, check_sb3, load_normalization, load_sb3
from vinci_offline.spec import BoxSpace, DiscreteSpace, EnvironmentSpec, describe_space, is_countable


class Sb3Policy(HistoryPolicy):
    """A Stable-Baselines3 policy that acts for all lanes in one call.

    It is deterministic unless ``stochastic`` is set. Samples are drawn in NumPy with each lane's own generator, from
    the parameters of the policy's distribution: a Gaussian clipped to the bounds (A2C, PPO, TRPO), a Gaussian
    squashed by tanh (SAC, TQC, CrossQ), or a categorical. Generalized state-dependent exploration draws from each
    step's marginal (Raffin et al., 2021, https://arxiv.org/abs/2005.05719, equation 4). A recurrent policy keeps a
    state a lane, which is cleared when an episode starts.

    Args:
        name: the policy.
        spec: the environment that it will act in.
        stochastic: sample, and record the density of the samples.

    Raises:
        VinciError: a file is damaged, or not what the name says.
        SpecError: the policy does not fit the environment.
        UsageError: ``stochastic`` for a policy without a distribution.
    """

    def __init__(self, name: Sb3Name, spec: EnvironmentSpec, *, stochastic: bool = False) -> None:
        name.warn()
        self._space = spec.action_space
        self._policy = load_sb3(name)
        self._policy.set_training_mode(False)
        check_sb3(name, self._policy, spec)
        self._normalize = load_normalization(name.normalization, spec) if name.normalization else None
        self._recurrent = name.algorithm == "ppo_lstm"
        self._states: Any = None
        self._starting = np.zeros(0, np.bool_)
        self._stochastic = stochastic
        self.deterministic = not stochastic and not self._recurrent
        if stochastic and isinstance(spec.action_space, BoxSpace) and is_countable(spec.action_space):
            raise UsageError(
                f"sampling {describe_space(spec.action_space)} actions of an SB3 policy is not supported: leave it "
                "out, or add noise with --noise epsilon:E"
            )
        if stochastic and not (hasattr(self._policy, "get_distribution") or _has_actor(self._policy)):
            raise UsageError(
                f"{name.algorithm} learns no distribution, so {name.file} cannot be sampled: "
                "leave sampling out, or add noise with --noise gaussian:SIGMA or epsilon:E"
            )

    def reset(self, lanes: Sequence[int]) -> None:
        """Clear the recurrent state of these lanes."""
        if len(self._starting) <= max(lanes):
            self._starting, self._states = np.ones(max(lanes) + 1, np.bool_), None
        self._starting[list(lanes)] = True

    def act(self, observations: Observations, rngs: Sequence[np.random.Generator]) -> Decision:
        """Choose actions for all lanes."""
        if self._normalize is not None:
            observations = self._normalize.normalize_obs(observations)
        starting = None
        if self._recurrent:
            starting = self._starting if len(self._starting) == len(rngs) else np.ones(len(rngs), np.bool_)
        if self._stochastic:
            decision = self._sample(observations, starting, rngs)
        else:
            actions, self._states = self._policy.predict(
                observations, self._states, starting, deterministic=True
            )
            discrete = is_countable(self._space) and self.deterministic
            decision = Decision(
                to_actions(actions, self._space, len(rngs)), np.zeros(len(rngs)) if discrete else None
            )
        self._starting[:] = False
        return decision

    def _sample(
        self, observations: Observations, starting: Any, rngs: Sequence[np.random.Generator]
    ) -> Decision:
        import torch

        with torch.no_grad():
            tensors, _ = self._policy.obs_to_tensor(observations)
            if self._recurrent:
                outer = self._recurrent_distribution(tensors, starting)
            elif hasattr(self._policy, "get_distribution"):
                outer = self._policy.get_distribution(tensors)
            else:
                mean, log_std, more = self._policy.actor.get_action_dist_params(tensors)
                outer = self._policy.actor.action_dist.proba_distribution(mean, log_std, **more)
        inner = outer.distribution
        if isinstance(self._space, DiscreteSpace):
            return sample_categorical(inner.logits.numpy(), self._space, rngs)
        assert isinstance(self._space, BoxSpace)
        draw = sample_squashed_gaussian if self._squashes(outer) else sample_gaussian
        return draw(inner.mean.numpy(), inner.stddev.numpy(), self._space, rngs)

    def _recurrent_distribution(self, tensors: Any, starting: Any) -> Any:
        import torch

        if self._states is None:
            shape = list(self._policy.lstm_hidden_state_shape)
            shape[1] = len(starting)
            self._states = (torch.zeros(shape), torch.zeros(shape))
        starts = torch.as_tensor(starting, dtype=torch.float32)
        outer, self._states = self._policy.get_distribution(tensors, self._states, starts)
        return outer

    @staticmethod
    def _squashes(distribution: Any) -> bool:
        from stable_baselines3.common.distributions import SquashedDiagGaussianDistribution

        squashed = isinstance(distribution, SquashedDiagGaussianDistribution)
        return squashed or getattr(distribution, "bijector", None) is not None


def _has_actor(policy: Any) -> bool:
    return hasattr(getattr(policy, "actor", None), "get_action_dist_params")
