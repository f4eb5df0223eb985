"""Calls from Python: messages spell arguments as Python does, and arguments are checked by their types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from vinci_offline.calls import command_line, from_python
from vinci_offline.errors import ResumableError, UsageError
from vinci_offline.spelling import in_python

KNOWN = {
    "env": str,
    "env_kwargs": Mapping,
    "output": str,
    "resume": bool,
    "overwrite": bool,
    "only": str,
    "phases": str,
    "init": str,
    "validation": float,
    "warmup": int,
    "schedule": str,
    "networks": str,
    "settings": Mapping,
    "columns": Mapping,
}


@pytest.mark.parametrize(
    ("message", "spoken"),
    [
        ("name one with --env ENV", "name one with env=ENV"),
        ("give an environment (--env) with a", "give an environment (env=) with a"),
        ("recorded with --env-kwargs '{\"g\": 9}'.", 'recorded with env_kwargs={"g": 9}.'),
        ("--warmup must be at least 0", "warmup must be at least 0"),
        ("give a smaller --warmup", "give a smaller warmup="),
        ("--warmup 500 leaves no steps", "warmup=500 leaves no steps"),
        ("--schedule: 'x' is not y", "schedule: 'x' is not y"),
        ("go on with --resume", "go on with resume=True"),
        ("--resume goes on, --overwrite replaces", "resume=True goes on, overwrite=True replaces"),
        ("choose another with -o", "choose another with output="),
        (
            "train one with --only critic and --init RUN_DIR",
            "train one with only='critic' and init=RUN_DIR",
        ),
        ("plan --phases critic:N,actor:M", "plan phases='critic:N,actor:M'"),
        ("--init runs/a-1: no checkpoint", "init='runs/a-1': no checkpoint"),
        ("--networks nets: give a file", "networks='nets': give a file"),
        ("hold out episodes with --validation 0.1", "hold out episodes with validation=0.1"),
        ("say --set reward=zero; there are", "say settings={'reward': 'zero'}; there are"),
        ("say --set actions=N if", "say settings={'actions': N} if"),
        ("--set actions=N,N, a number", "settings={'actions': 'N,N'}, a number"),
        ("leave --set actions out", "leave settings={'actions': …} out"),
        ("as --set says", "as settings= says"),
        ("leave --map out", "leave columns= out"),
        ("map it, as with --map episode=NAME; or", "map it, as with columns={'episode': NAME}; or"),
        ("--repair OUT marks it", "--repair OUT marks it"),
        ("with: vinci-offline train a --env E", "with: vinci-offline train a --env E"),
        ("a-o and runs/x-only --", "a-o and runs/x-only --"),
    ],
)
def test_messages_spell_arguments_as_python_does(message, spoken):
    assert in_python(message, KNOWN) == spoken


def test_other_parameters_stand_for_an_option():
    message = "say --env ENV, or -o FILE.h5, or --to csv"
    assert in_python(message, {"spec": str, "path": str}) == "say spec=ENV, or path=FILE.h5, or --to csv"


def fitted(
    path: str | Path,
    steps: int = 1,
    *,
    rate: float | None = None,
    ends: Literal["terminal", "timeout"] = "timeout",
    names: Sequence[str] = (),
    extra: Mapping[str, Any] | None = None,
    resume: bool = False,
) -> int:
    if resume:
        raise ResumableError("stopped")
    return steps


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"path": 3}, "path must be a text or a path, not 3"),
        ({"steps": True}, "steps must be a whole number, not True"),
        ({"steps": 2.0}, "steps must be a whole number, not 2.0: write 2"),
        ({"steps": None}, "steps must be a whole number, not None"),
        ({"rate": "1e-3"}, "rate must be a number or None, not '1e-3': write it without quotes"),
        (
            {"ends": "terminl"},
            "ends must be 'terminal' or 'timeout', not 'terminl'; did you mean 'terminal'?",
        ),
        ({"names": "a"}, "names must be a list of texts, not 'a': write it in a list"),
        ({"names": ["a", 1]}, r"names must be a list of texts, not \['a', 1\]"),
        ({"extra": [1]}, r"extra must be a dictionary or None, not \[1\]"),
        ({"resume": 1}, "resume must be True or False, not 1"),
        ({"setps": 1}, "fitted has no argument 'setps'; did you mean 'steps'?"),
    ],
)
def test_wrong_arguments_are_refused(given, told):
    told = told.replace("?", r"\?") if told.endswith("?") else told
    with pytest.raises(UsageError, match=f"^{told}$"):
        from_python(fitted)(**{"path": "a", **given})


def test_right_arguments_are_taken():
    call = from_python(fitted)
    assert call("a", np.int64(3), rate=np.float32(0.1), ends="terminal", names=np.array(["b"])) == 3
    assert call(Path("a"), 2, rate=1, names=("b",), extra={}, resume=np.bool_(False)) == 2


def test_arguments_are_counted():
    with pytest.raises(UsageError, match="it takes path, steps in this order, all others by their names"):
        from_python(fitted)("a", 1, 2)
    with pytest.raises(UsageError, match="missing a required argument: 'path'"):
        from_python(fitted)()


def test_commands_keep_their_spelling():
    with pytest.raises(ResumableError, match="stopped: go on with resume=True"):
        from_python(fitted)("a", resume=True)
    with command_line(), pytest.raises(ResumableError, match="stopped: go on with --resume"):
        from_python(fitted)("a", resume=True)
