"""Options of collecting and evaluating: the keyword arguments of `collect` and `evaluate`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vinci_offline.errors import UsageError
from vinci_offline.options import check_options, option

_MUCH = "How much"
_WHO = "Who acts"
_HOW = "How it runs"
_FILE = "What is stored"


def json_object(text: str) -> dict[str, Any]:
    """Read the JSON object of ``--env-kwargs``.

    Raises:
        UsageError: the text is no JSON object.
    """
    try:
        content = json.loads(text) if text else {}
    except ValueError as error:
        raise UsageError(
            f"--env-kwargs {text!r} is not JSON ({error}): write it as '{{\"g\": 9.81}}'"
        ) from error
    if not isinstance(content, dict):
        raise UsageError(f"--env-kwargs {text!r} is not a JSON object: write it as '{{\"g\": 9.81}}'")
    return content


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


@dataclass(frozen=True)
class CollectOptions:
    """Options of a collection.

    Raises:
        UsageError: a number is out of range, or not exactly one of ``steps`` and ``episodes`` is given.
    """

    steps: int | None = option(
        None, "Record exactly this many rows; the last episode is cut there.", panel=_MUCH, low=1
    )
    episodes: int | None = option(None, "Record this many whole episodes.", panel=_MUCH, low=1)
    policy: Any = option(
        "random",
        "random (the default), a .keras or .onnx file, a run directory, sb3:ALGO:FILE.zip[:VECNORMALIZE], "
        "file.py:object (module:object), gep[:file.py:descriptor] (goal exploration), or random-state: uniform "
        "states and actions, one step at a time. Repeat it to mix by episode.",
        panel=_WHO,
        metavar="P",
        repeat=True,
    )
    noise: str = option(
        "none",
        "Exploration: none, gaussian:SIGMA, ou:THETA:SIGMA, epsilon:E, or sample (the policy's own distribution). "
        "gaussian:0.5->0.1 anneals. SIGMA counts in half ranges of the actions.",
        panel=_WHO,
        metavar="X",
    )
    env_kwargs: dict[str, Any] | None = option(
        None,
        """The environment's arguments, as '{"g": 9.81}'.""",
        panel=_WHO,
        metavar="JSON",
        parse=json_object,
    )
    max_episode_steps: int | None = option(
        None, "The time limit of an episode; otherwise the environment's own.", panel=_WHO, low=1
    )
    seed: int = option(0, "The same seed records the same data.", panel=_HOW, low=0)
    workers: int = option(1, "Processes; their number does not change the data.", panel=_HOW, low=1)
    engine: str = option(
        "local",
        "Where the workers run: processes of this machine, or a Ray cluster.",
        panel=_HOW,
        choices=("local", "ray"),
    )
    lanes: int = option(
        16, "Environments that a process steps side by side, with one policy call a step.", panel=_HOW, low=1
    )
    expert: Any = option(
        None,
        "Measure this policy and a random one over 100 episodes, and keep their returns as references of normalised "
        "scores.",
        panel=_FILE,
        metavar="P",
    )
    record_infos: tuple[str, ...] = option(
        (),
        "Keys of the step's info to record, separated by commas.",
        panel=_FILE,
        metavar="KEYS",
        parse=_names,
    )
    float64: bool = option(False, "Keep float64 values; otherwise they become float32.", panel=_FILE)
    compress: str = option(
        "auto",
        "auto compresses images alone, with gzip; none reads fastest.",
        panel=_FILE,
        choices=("auto", "none", "lzf", "gzip", "blosc2"),
    )
    frames: str = option(
        "auto",
        "once stores each observation once, though it is also the next one of the row before; plain stores it "
        "twice; auto is once for images. All read the same.",
        panel=_FILE,
        choices=("auto", "once", "plain"),
    )
    resume: bool = option(False, "Go on with an interrupted collection.", panel=_HOW)
    overwrite: bool = option(False, "Replace the file that is there.", panel=_FILE)

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.episodes is None):
            raise UsageError("say how much to record: either --steps N or --episodes N")
        check_options(self)


@dataclass(frozen=True)
class EvaluateOptions:
    """Options of an evaluation.

    Raises:
        UsageError: a number is out of range.
    """

    episodes: int = option(100, "Whole episodes to run.", low=1)
    seed: int = option(0, "Seed of every episode's starting state.", low=0)
    workers: int = option(1, "Processes; their number does not change the returns.", low=1)
    engine: str = option(
        "local",
        "Where the workers run: processes of this machine, or a Ray cluster.",
        choices=("local", "ray"),
    )
    lanes: int = option(16, "Environments that are stepped together.", low=1)
    stochastic: bool = option(False, "Sample from the policy's distribution.")
    env_kwargs: dict[str, Any] | None = option(
        None,
        "The environment's arguments, as '{\"max_episode_steps\": 500}'.",
        metavar="JSON",
        parse=json_object,
    )
    max_episode_steps: int | None = option(
        None, "The time limit of an episode; otherwise the environment's own.", low=1
    )
    infos: tuple[str, ...] = option(
        (),
        "Numbers of each episode, separated by commas: is_success takes that key of the last step's info; max:, mean: "
        "and sum: before a key take all steps.",
        metavar="KEYS",
        parse=_names,
    )
    csv: Path | None = option(None, "Write a row for each episode to a new file.", metavar="FILE")
    overwrite: bool = option(False, "Replace the file of --csv that is there.")
    video: Path | None = option(None, "Film the first episodes into a new folder.", metavar="DIR")
    video_format: str = option("mp4", "Kind of the films.", choices=("mp4", "gif"))

    def __post_init__(self) -> None:
        check_options(self)
        if self.engine == "ray" and self.video is not None:
            raise UsageError("--video films on this machine: leave out --engine ray")
        for name in self.infos:
            if not name.rpartition(":")[2] or self.infos.count(name) > 1:
                raise UsageError(f"--infos {name}: give each key once, as is_success or max:speed")
