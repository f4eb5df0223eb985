"""Offline reinforcement learning with Keras: record transitions, train from the file, evaluate online."""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = (
    False  # type checkers know the name; `typing` takes a while, and Ctrl-C in it shows a traceback
)
__version__ = "0.1.0"

if TYPE_CHECKING:
    from typing import Any

    from vinci_offline.agents.agent import Agent, Update
    from vinci_offline.agents.registry import register
    from vinci_offline.data.dataset import Dataset, read_pandas
    from vinci_offline.envs.collect.collector import collect
    from vinci_offline.envs.evaluator import Evaluation, evaluate
    from vinci_offline.envs.wrapper import EnvWrapper
    from vinci_offline.errors import DatasetError, SpecError, UsageError, VinciError, VinciWarning
    from vinci_offline.evaluation.estimates import estimate
    from vinci_offline.evaluation.findings import Estimates
    from vinci_offline.hooks.hook import Hook, RunInfo
    from vinci_offline.page.report import Report, report
    from vinci_offline.spec import EnvironmentSpec
    from vinci_offline.sweeps.sweep import SweepResult, sweep
    from vinci_offline.training.config import TrainingConfig
    from vinci_offline.training.result import TrainResult
    from vinci_offline.training.trainer import train
    from vinci_offline.types import Transitions

# The module of each public name. A name is imported at its first use: `import vinci_offline` stays fast, and pandas
# users never wait for TensorFlow.
_HOMES = {
    "Agent": "agents.agent",
    "Dataset": "data.dataset",
    "DatasetError": "errors",
    "EnvWrapper": "envs.wrapper",
    "EnvironmentSpec": "spec",
    "Estimates": "evaluation.findings",
    "Evaluation": "envs.evaluator",
    "Hook": "hooks.hook",
    "Report": "page.report",
    "RunInfo": "hooks.hook",
    "SpecError": "errors",
    "SweepResult": "sweeps.sweep",
    "TrainResult": "training.result",
    "TrainingConfig": "training.config",
    "Transitions": "types",
    "Update": "agents.agent",
    "UsageError": "errors",
    "VinciError": "errors",
    "VinciWarning": "errors",
    "collect": "envs.collect.collector",
    "estimate": "evaluation.estimates",
    "evaluate": "envs.evaluator",
    "read_pandas": "data.dataset",
    "register": "agents.registry",
    "report": "page.report",
    "sweep": "sweeps.sweep",
    "train": "training.trainer",
}
_ON_KERAS = ("agents.agent", "training.run")

__all__ = [
    "Agent",
    "Dataset",
    "DatasetError",
    "EnvWrapper",
    "EnvironmentSpec",
    "Estimates",
    "Evaluation",
    "Hook",
    "Report",
    "RunInfo",
    "SpecError",
    "SweepResult",
    "TrainResult",
    "TrainingConfig",
    "Transitions",
    "Update",
    "UsageError",
    "VinciError",
    "VinciWarning",
    "collect",
    "estimate",
    "evaluate",
    "read_pandas",
    "register",
    "report",
    "sweep",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if _HOMES[name] in _ON_KERAS:
        from vinci_offline.keras_setup import import_keras

        import_keras()  # first, so that no import below it shows a backend's start-up messages
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
