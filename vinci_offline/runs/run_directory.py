"""The directory of a training run. Each file in it is published whole."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vinci_offline.errors import UsageError, VinciError
from vinci_offline.files import (
    clear_folder,
    drop_unfinished,
    is_unfinished,
    make_folder,
    publish_text,
    published,
)
from vinci_offline.inputs import meant_path
from vinci_offline.locks import LOCK
from vinci_offline.runs.checkpoint import Checkpoint, replace_checkpoint
from vinci_offline.runs.normalization import normalization_from_json
from vinci_offline.spec import EnvironmentSpec
from vinci_offline.spec.units import Units
from vinci_offline.types import Normalization

if TYPE_CHECKING:
    import keras

_DATASET = "dataset.json"
_MOST_BYTES = 2**26
# Settings that may change on resume: none of them changes a result.
_FREE_TO_CHANGE = (
    "steps.",
    "versions.",
    "named.",
    "training.log_every.",
    "training.checkpoint_every.",
    "training.eval_every.",
    "training.eval_episodes.",
    "training.patience.",
)


@dataclass(frozen=True)
class RunDirectory:
    """The files of a run under ``path``."""

    path: Path

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints."""
        return self.path / "checkpoints"

    @property
    def best(self) -> RunDirectory:
        """The run at its best step, a run directory of its own: networks, policies and one checkpoint."""
        return RunDirectory(self.path / "best")

    @property
    def policy(self) -> Path:
        """The file of the policy: observation to action."""
        return self.path / "policy.keras"

    @property
    def stochastic_policy(self) -> Path:
        """The file of the policy's distribution: observation to mean and deviation, or to logits."""
        return self.path / "stochastic_policy.keras"

    @property
    def sampler(self) -> Path:
        """The file of a policy that takes noise: observation and noise to action."""
        return self.path / "sampler.keras"

    def exists(self) -> bool:
        """Return True where a run was started here."""
        return (self.path / "config.json").is_file()

    def policy_file(self, *, stochastic: bool = False) -> Path:
        """Return the file to act with.

        Args:
            stochastic: sample actions: take ``stochastic_policy.keras``, or else ``sampler.keras``.

        Raises:
            VinciError: training has stored no policy yet.
            UsageError: ``stochastic``, and the agent's policy cannot be sampled.
        """
        if stochastic:
            for path in (self.stochastic_policy, self.sampler):
                if path.is_file():
                    return path
        if not self.policy.is_file():
            raise VinciError(
                f"{self.path} has no policy.keras: give a run directory whose training has finished"
            )
        if stochastic:
            raise UsageError(f"the agent of {self.path} has no stochastic policy: leave the sampling out")
        return self.policy

    def claim(
        self, config: Mapping[str, Any], dataset: Mapping[str, Any], *, resume: bool, overwrite: bool
    ) -> None:
        """Take the directory for this run, and write its configuration.

        Raises:
            UsageError: the directory is not empty and neither flag is set, or ``resume`` meets a run with another
                configuration or dataset.
        """
        self.check_claim(resume=resume, overwrite=overwrite)
        if self.exists() and resume:
            self.check_same(config, dataset)
        elif self.path.exists() and not self._begun():
            clear_folder(self.path, keep=LOCK)
        make_folder(self.path)
        drop_unfinished(self.path)
        publish_text(self.path / _DATASET, json.dumps(dataset, indent=2))
        publish_text(self.path / "config.json", json.dumps(config, indent=2))

    def check_claim(self, *, resume: bool, overwrite: bool) -> None:
        """Refuse what `claim` may not replace. Change nothing.

        Raises:
            UsageError: the directory is not empty and neither flag is set, or it is no run.
        """
        if self.path.exists() and not self.path.is_dir():
            raise UsageError(f"{self.path} is a file, and a run is a folder: choose another with -o")
        if (self.exists() and resume) or not self.path.exists() or self._begun():
            return
        if not overwrite:
            advice = (
                "--resume goes on with it, --overwrite replaces it"
                if self.exists()
                else "choose another with -o"
            )
            raise UsageError(f"{self.path} exists: {advice}")
        if not self.exists():
            # Delete runs only: other folders are not ours.
            raise UsageError(
                f"{self.path} is not a run directory: --overwrite replaces runs only; choose another with -o"
            )

    def config(self) -> dict[str, Any]:
        """Read ``config.json``.

        Raises:
            VinciError: this is not a run directory, or the file is damaged.
        """
        if not self.exists():
            if not self.path.exists():
                raise VinciError(f"{self.path} does not exist: give a run directory{meant_path(self.path)}")
            raise VinciError(f"{self.path} is not a run directory: it has no config.json")
        return self._read("config.json")

    def dataset(self) -> dict[str, Any]:
        """Read ``dataset.json``: what the run trains from.

        Raises:
            VinciError: the file is missing or damaged.
        """
        return self._read("dataset.json")

    def has_dataset(self) -> bool:
        """Return True where the run says what it trains from."""
        return (self.path / _DATASET).exists()

    def environment(self) -> EnvironmentSpec:
        """Return the environment of the run's dataset.

        Raises:
            VinciError: this is not a run directory, or its ``config.json`` is damaged.
        """
        config = self.config()
        with self.explained("config.json"):
            return EnvironmentSpec.from_json(json.dumps(config["environment"]))

    def agent(self) -> str:
        """Return the name of the run's agent.

        Raises:
            VinciError: this is not a run directory, or its ``config.json`` is damaged.
        """
        config = self.config()
        with self.explained("config.json"):
            if not isinstance(config["agent"], str):
                raise TypeError("its agent is no name")
            return config["agent"]

    def normalization(self) -> Normalization:
        """Return the mean and deviation inside the run's networks; None where they take raw observations."""
        config = self.config()
        with self.explained("config.json"):
            return normalization_from_json(config["normalization"])

    def units(self, spec: EnvironmentSpec) -> Units:
        """Return the units of observations and actions in the run's networks.

        Args:
            spec: the environment.
        """
        config = self.config()
        with self.explained("config.json"):
            return Units.from_json(spec, config.get("units"))

    def reward(self) -> str | None:
        """Return the change of rewards that the run was trained with, as ``--reward`` gives it; None without one."""
        config = self.config()
        with self.explained("config.json"):
            found: str | None = config["training"].get("reward")
            return found

    def save_models(self, policies: Mapping[str, keras.Model], networks: Mapping[str, keras.Model]) -> None:
        """Write every model.

        Args:
            policies: models to act with, written as ``NAME.keras``.
            networks: the agent's networks, written as ``networks/NAME.keras``.

        Raises:
            VinciError: the disk is full.
        """
        make_folder(self.path / "networks")
        for name, model in policies.items():
            _save_model(model, self.path / f"{name}.keras")
        for name, model in networks.items():
            _save_model(model, self.path / "networks" / f"{name}.keras")

    def save_best(
        self,
        policies: Mapping[str, keras.Model],
        networks: Mapping[str, keras.Model],
        checkpoint: Checkpoint,
    ) -> None:
        """Make `best` a run directory of this state: it can be evaluated and started from.

        Raises:
            VinciError: the disk is full.
        """
        best = self.best
        make_folder(best.path)
        for name in (_DATASET, "config.json"):
            publish_text(best.path / name, (self.path / name).read_text(encoding="utf-8"))
        best.save_models(policies, networks)
        replace_checkpoint(best.checkpoints, checkpoint)

    def _begun(self) -> bool:
        """Return True for a folder that is empty, or that `claim` made and could not finish."""
        names = {path.name for path in self.path.iterdir() if not is_unfinished(path)}
        return names <= {_DATASET, LOCK}

    def check_same(self, config: Mapping[str, Any], dataset: Mapping[str, Any]) -> None:
        """Refuse another configuration or dataset than the run was begun with.

        Args:
            config: content of ``config.json``.
            dataset: content of ``dataset.json``.

        Raises:
            UsageError: they differ in what bears on the result.
        """
        stored = self._read(_DATASET)
        with self.explained(_DATASET):
            known, files = str(stored["hash"]), _shown(", ".join(map(str, stored.get("files", ()))))
        if known != dataset["hash"]:
            raise UsageError(
                f"{self.path} was trained on another dataset (hash {known[:12]}, this one's is "
                f"{dataset['hash'][:12]}): resume with {files or 'that one'}, or choose another -o"
            )
        earlier = self.config()
        with self.explained("config.json"):
            before, after = _flat(earlier), _flat(json.loads(json.dumps(config)))
        told = [
            f"{_shown(key)} was {_short(before.get(key))}, is {_short(after.get(key))}"
            for key in sorted({*before, *after})
            if before.get(key) != after.get(key) and not f"{key}.".startswith(_FREE_TO_CHANGE)
        ]
        if told:
            raise UsageError(
                f"{self.path} was trained otherwise: {'; '.join(told)}. "
                "Resume with the same options, or choose another -o"
            )

    def _read(self, name: str) -> dict[str, Any]:
        path = self.path / name
        with self.explained(name):
            if not stat.S_ISREG(path.stat().st_mode):
                raise ValueError("it is not a regular file")  # opening a pipe would wait for its writer
            if path.stat().st_size > _MOST_BYTES:
                raise ValueError(f"it has more than {_MOST_BYTES:,} bytes")
            content = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(content, dict):
                raise TypeError(f"a JSON object is expected, not {type(content).__name__}")
            return content

    @contextmanager
    def explained(self, name: str) -> Iterator[None]:
        """Turn any error of reading a file of the run into one line: damage raises errors of any kind."""
        try:
            yield
        except Exception as error:
            reason = (
                f"it has no {error}" if isinstance(error, KeyError) else str(error) or type(error).__name__
            )
            raise VinciError(
                f"{self.path / name} does not describe a run ({_shown(reason)}): restore it from a copy, or train "
                "again"
            ) from error


def _flat(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested settings to dotted names."""
    flat: dict[str, Any] = {}
    for key, value in content.items():
        flat.update(_flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value})
    return flat


def _save_model(model: keras.Model, path: Path) -> None:
    with published(path) as temporary:
        model.save(temporary)


def _shown(text: str) -> str:
    """Return a text from a file in one line that a terminal can show."""
    return "".join(
        c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in " ".join(text.split())[:300]
    )


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
