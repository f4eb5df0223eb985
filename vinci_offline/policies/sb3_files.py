"""Files of Stable-Baselines3 policies: ``sb3:ALGO:FILE.zip[:VECNORMALIZE]``.

These files hold pickled objects, which can run code. They are loaded only where the user names them with ``sb3:``, and
a warning says so.
"""

from __future__ import annotations

import base64
import io
import json
import multiprocessing
import pickle
import warnings
import zipfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from vinci_offline.budget import Tally
from vinci_offline.errors import SpecError, UsageError, VinciError, VinciWarning
from vinci_offline.loading import describe
from vinci_offline.spec import (
    BoxSpace,
    DictSpace,
    EnvironmentSpec,
    Space,
    action_space_from_gymnasium,
    check_fits,
    describe_space,
    space_from_gymnasium,
)
from vinci_offline.text import did_you_mean

_ALGORITHMS = {
    **dict.fromkeys(("a2c", "ddpg", "dqn", "ppo", "sac", "td3"), "stable_baselines3"),
    **dict.fromkeys(("ars", "crossq", "ppo_lstm", "qrdqn", "tqc", "trpo"), "sb3_contrib"),
}
_CLASSES = {"crossq": "CrossQ", "ppo_lstm": "RecurrentPPO"}
_PREFIX = "sb3:"

# Entries that only learning needs. Some are functions pickled by another Python, which may not unpickle; a replay
# buffer would take its full size in memory.
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
    """A policy that the user named.

    Attributes:
        algorithm: the algorithm that trained the policy, in lower case.
        file: the file that the algorithm's ``save`` wrote.
        normalization: the file that ``VecNormalize.save`` wrote, or None.
    """

    algorithm: str
    file: Path
    normalization: Path | None

    @staticmethod
    def matches(name: str) -> bool:
        """Return True for a name of this kind."""
        return name.startswith(_PREFIX)

    @classmethod
    def parse(cls, name: str) -> Sb3Name:
        """Read ``sb3:ALGO:FILE.zip[:VECNORMALIZE]``. Check its files and packages; load nothing.

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
                f"pip install sb3-contrib {contrib}{did_you_mean(algorithm, _ALGORITHMS)}"
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
        """The policy's file, and the file of its normalisation if there is one."""
        return [self.file, *([self.normalization] if self.normalization else [])]

    def warn(self) -> None:
        """Warn that these files can run code. Workers do not repeat the warning."""
        if multiprocessing.parent_process() is None:
            text = f"{' and '.join(map(str, self.files))}: loads pickled Python objects: only files you trust"
            warnings.warn(text, VinciWarning, stacklevel=1)


def load_sb3(name: Sb3Name) -> Any:
    """Load the policy network of an SB3 file on the CPU.

    Raises:
        VinciError: the file is damaged, or another algorithm wrote it.
    """
    from importlib import import_module

    module = import_module(_ALGORITHMS[name.algorithm])
    algorithm = getattr(module, _CLASSES.get(name.algorithm, name.algorithm.upper()))
    with warnings.catch_warnings():
        # SB3 warns about files of its earlier versions; that matters for further training only.
        warnings.simplefilter("ignore")
        _check_members(name.file)
        try:
            spaces = _spaces(name.file)
            return algorithm.load(name.file, device="cpu", custom_objects={**_NOT_NEEDED, **spaces}).policy
        except Exception as error:  # SB3, PyTorch and pickle raise errors of any type on damage
            raise VinciError(
                f"{name.file} cannot be loaded as a policy of {name.algorithm} ({describe(error)}): "
                "check the algorithm's name, or save the policy again with a recent stable-baselines3"
            ) from error


def _check_members(path: Path) -> None:
    """Refuse a zip whose members unfold to far more than its bytes.

    Raises:
        DatasetError: they do.
        VinciError: it is no zip.
    """
    tally = Tally(str(path), path.stat().st_size)
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                tally.add(member.filename, member.file_size)
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise VinciError(
            f"{path} cannot be loaded ({describe(error)}): give the file that the algorithm's save wrote"
        ) from error


def _spaces(path: Path) -> dict[str, Any]:
    """Read an SB3 file's spaces. Gym's become Gymnasium's."""
    with zipfile.ZipFile(path) as archive:
        content = json.loads(archive.read("data"))
    return {
        key: _Unpickler(io.BytesIO(base64.b64decode(content[key][":serialized:"]))).load()
        for key in ("observation_space", "action_space")
    }


class _Unpickler(pickle.Unpickler):
    """Unpickler of files saved with Gym: takes the classes of its successor Gymnasium, so Gym is not needed."""

    def find_class(self, module: str, name: str) -> Any:
        if module == "gym" or module.startswith("gym."):
            module = f"gymnasium{module.removeprefix('gym')}"
        return super().find_class(module, name)


def check_sb3(name: Sb3Name, policy: Any, spec: EnvironmentSpec) -> None:
    """Raise a SpecError where a loaded policy does not fit the environment."""
    observation_space = space_from_gymnasium(policy.observation_space)
    wanted = spec.observation_space
    if isinstance(observation_space, BoxSpace) and isinstance(wanted, BoxSpace) and len(wanted.shape) == 3:
        # SB3 stores the spaces of images with channels first, and transposes images with channels last.
        height, width, channels = wanted.shape
        if observation_space.shape == (channels, height, width):
            observation_space = wanted
    own = EnvironmentSpec(
        observation_space, action_space_from_gymnasium(policy.action_space), id=str(name.file)
    )
    check_fits(own, spec)


def load_normalization(path: Path, spec: EnvironmentSpec) -> Any:
    """Load the VecNormalize that normalises the policy's observations; None where it leaves them alone.

    Raises:
        VinciError: the file is damaged, or holds something else.
        SpecError: its statistics do not fit the environment.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with path.open("rb") as stream:
                found = _Unpickler(stream).load()
        except Exception as error:  # pickle raises errors of any type on damage
            raise VinciError(
                f"{path} cannot be loaded ({describe(error)}): give the file that VecNormalize.save wrote"
            ) from error
    if not hasattr(found, "normalize_obs"):
        raise VinciError(f"{path} holds a {type(found).__name__}: give the file that VecNormalize.save wrote")
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
