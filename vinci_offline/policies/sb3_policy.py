"""Stable-Baselines3 policies: ``sb3:ALGO:FILE.zip[:VECNORMALIZE]``."""

from __future__ import annotations

import base64
import io
import json
import multiprocessing
import pickle
import warnings
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from vinci_offline.errors import SpecError, UsageError, VinciError, VinciWarning
from vinci_offline.loading import describe
from vinci_offline.policies.policy import Decision, HistoryPolicy, Observations, to_actions
from vinci_offline.policies.sampling import sample_categorical, sample_gaussian, sample_squashed_gaussian
from vinci_offline.spec import (
    BoxSpace,
    DictSpace,
    DiscreteSpace,
    EnvironmentSpec,
    Space,
    action_space_from_gymnasium,
    check_fits,
    describe_space,
    is_countable,
    space_from_gymnasium,
)

_ALGORITHMS = {
    **dict.fromkeys(("a2c", "ddpg", "dqn", "ppo", "sac", "td3"), "stable_baselines3"),
    **dict.fromkeys(("ars", "crossq", "ppo_lstm", "qrdqn", "tqc", "trpo"), "sb3_contrib"),
}
_CLASSES = {"crossq": "CrossQ", "ppo_lstm": "RecurrentPPO"}
_PREFIX = "sb3:"

# What learning alone needs. Such entries are often functions pickled by another Python, which may not even
# unpickle, and a replay buffer would be allocated at its full size.
_NOT_NEEDED: dict[str, Any] = {
    "learning_rate": 0.0,
    "lr_schedule": 0.0,
    "clip_range": 0.2,
    "clip_range_vf": None,
    "exploration_schedule": 0.0,
    "action_noise": None,
    "buffer_size": 1,
    "replay_buffer_class": None,
    "replay_buffer_kwargs": {},
    "optimize_memory_usage": False,
    "rollout_buffer_class": None,
    "rollout_buffer_kwargs": {},
    "train_freq": 1,
    "n_envs": 1,
    "env": None,
    "tensorboard_log": None,
    "ep_info_buffer": None,
    "ep_success_buffer": None,
    "_last_obs": None,
    "_last_dones": None,
    "_last_episode_starts": None,
    "_last_original_obs": None,
    "_last_lstm_states": None,
}


@dataclass(frozen=True)
class Sb3Name:
    """What the user named.

    Attributes:
        algorithm: the algorithm that trained the policy, in lower case.
        file: what its ``save`` wrote.
        normalization: what ``VecNormalize.save`` wrote, or None.
    """

    algorithm: str
    file: Path
    normalization: Path | None

    @staticmethod
    def matches(name: str) -> bool:
        """Whether a policy's name is of this kind."""
        return name.startswith(_PREFIX)

    @classmethod
    def parse(cls, name: str) -> Sb3Name:
        """Read ``sb3:ALGO:FILE.zip[:VECNORMALIZE]``, and check that what it needs is there; nothing is loaded.

        Raises:
            UsageError: it is not of this form, the algorithm is not known, or a package is not installed.
            VinciError: a file does not exist.
        """
        algorithm, _, rest = name.removeprefix(_PREFIX).partition(":")
        algorithm = algorithm.lower()
        if not rest or algorithm not in _ALGORITHMS:
            own, contrib = (
                ", ".join(sorted(each for each, home in _ALGORITHMS.items() if home == package))
                for package in ("stable_baselines3", "sb3_contrib")
            )
            raise UsageError(
                f"policy {name!r}: write sb3:ALGO:FILE.zip[:VECNORMALIZE] with ALGO one of {own}, or with "
                f"pip install sb3-contrib {contrib}"
            )
        file, normalization = rest, None
        if not Path(rest).is_file() and ":" in rest:
            file, _, normalization = rest.rpartition(":")
        parsed = cls(algorithm, Path(file), Path(normalization) if normalization else None)
        for path in parsed.files:
            if not path.is_file():
                raise VinciError(f"{path} does not exist: check the path of the policy {name!r}")
        for package in ("stable_baselines3", _ALGORITHMS[algorithm]):
            if find_spec(package) is None:
                own = "" if package == "stable_baselines3" else ", or pip install sb3-contrib"
                raise UsageError(f"policy {name!r} needs {package}: pip install 'vinci-offline[sb3]'{own}")
        return parsed

    @property
    def files(self) -> list[Path]:
        """The policy's file, and that of its normalisation where there is one."""
        return [self.file, *([self.normalization] if self.normalization else [])]

    def warn(self) -> None:
        """Say that these files can run code. Only the process that the user started says so."""
        if multiprocessing.parent_process() is None:
            text = f"{' and '.join(map(str, self.files))}: loads pickled Python objects: only files you trust"
            warnings.warn(text, VinciWarning, stacklevel=1)


class Sb3Policy(HistoryPolicy):
    """A policy that Stable-Baselines3 or its contrib package trained, acting for all lanes in one call.

    Deterministic unless it is asked to sample. Sampled actions are drawn in NumPy from the parameters of the
    policy's distribution, with each lane's own generator: a Gaussian clipped to the bounds (A2C, PPO, TRPO), a
    Gaussian squashed by tanh (SAC, TQC, CrossQ), or a categorical. For generalized state-dependent exploration
    that is the marginal of each step (Raffin et al., 2021, https://arxiv.org/abs/2005.05719, equation 4), drawn
    anew at every step. A recurrent policy keeps a state a lane, cleared when an episode starts.

    Args:
        name: which.
        spec: the environment that it will act in.
        stochastic: sample, and say the density of what was drawn.

    Raises:
        VinciError: a file is damaged, or not what the name says.
        SpecError: the policy does not fit the environment.
        UsageError: ``stochastic`` for a policy without a distribution.
    """

    def __init__(self, name: Sb3Name, spec: EnvironmentSpec, *, stochastic: bool = False) -> None:
        name.warn()
        self._space = spec.action_space
        self._policy = _load(name)
        self._policy.set_training_mode(False)
        _check(name, self._policy, spec)
        self._normalize = _load_normalization(name.normalization, spec) if name.normalization else None
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
        """Episodes start in these lanes; the first call names all lanes."""
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


def _load(name: Sb3Name) -> Any:
    """The policy network of an SB3 file, on the CPU."""
    from importlib import import_module

    module = import_module(_ALGORITHMS[name.algorithm])
    algorithm = getattr(module, _CLASSES.get(name.algorithm, name.algorithm.upper()))
    with warnings.catch_warnings():
        # What SB3 says of files by its earlier versions concerns further training.
        warnings.simplefilter("ignore")
        try:
            spaces = _spaces(name.file)
            return algorithm.load(name.file, device="cpu", custom_objects={**_NOT_NEEDED, **spaces}).policy
        except Exception as error:  # SB3, PyTorch and pickle raise whatever the damage led to
            raise VinciError(
                f"{name.file} cannot be loaded as a policy of {name.algorithm} ({describe(error)}): "
                "check the algorithm's name, or save the policy again with a recent stable-baselines3"
            ) from error


def _spaces(path: Path) -> dict[str, Any]:
    """An SB3 file's spaces, Gym's turned into Gymnasium's."""
    with zipfile.ZipFile(path) as archive:
        content = json.loads(archive.read("data"))
    return {
        key: _Unpickler(io.BytesIO(base64.b64decode(content[key][":serialized:"]))).load()
        for key in ("observation_space", "action_space")
    }


class _Unpickler(pickle.Unpickler):
    """Unpickles what was saved with Gym, of which Gymnasium is the successor, without needing it."""

    def find_class(self, module: str, name: str) -> Any:
        if module == "gym" or module.startswith("gym."):
            module = f"gymnasium{module.removeprefix('gym')}"
        return super().find_class(module, name)


def _check(name: Sb3Name, policy: Any, spec: EnvironmentSpec) -> None:
    observation_space = space_from_gymnasium(policy.observation_space)
    wanted = spec.observation_space
    if isinstance(observation_space, BoxSpace) and isinstance(wanted, BoxSpace) and len(wanted.shape) == 3:
        # SB3 keeps images with their channels first, and turns those that have them last.
        height, width, channels = wanted.shape
        if observation_space.shape == (channels, height, width):
            observation_space = wanted
    own = EnvironmentSpec(
        observation_space, action_space_from_gymnasium(policy.action_space), id=str(name.file)
    )
    check_fits(own, spec)


def _load_normalization(path: Path, spec: EnvironmentSpec) -> Any:
    """The VecNormalize whose statistics the policy's observations are normalised by."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with path.open("rb") as stream:
                found = _Unpickler(stream).load()
        except Exception as error:  # pickle raises whatever the damage led to
            raise VinciError(
                f"{path} cannot be loaded ({describe(error)}): give what VecNormalize.save wrote"
            ) from error
    if not hasattr(found, "normalize_obs"):
        raise VinciError(f"{path} holds a {type(found).__name__}: give what VecNormalize.save wrote")
    if not found.norm_obs:
        return None
    statistics = found.obs_rms if isinstance(found.obs_rms, dict) else {"": found.obs_rms}
    space = spec.observation_space
    parts: dict[str, Space] = dict(space.spaces) if isinstance(space, DictSpace) else {"": space}
    for key, moments in statistics.items():
        part = parts.get(key)
        if not isinstance(part, BoxSpace) or moments.mean.shape != part.shape:
            raise SpecError(
                f"{path} normalises observations of shape {moments.mean.shape}, and "
                f"{spec.id or 'the environment'} has {describe_space(space)}: give the policy's own statistics"
            )
    return found
