"""How an attack is written: a function that writes a file into a folder, and says who reads it.

    @attack
    def group_in_itself(folder: Path) -> Reading:
        with h5py.File(folder / "loop.h5", "w") as file:
            file["infos"] = file["/"]
        return command("validate", folder / "loop.h5")

The function runs in a process of its own without limits. The reading runs in another with limits, so it is pickled:
no lambdas. `ARTIFACT` is the name of a module and of a file that attacks use as payload: code that makes the file has
run, and that breaks the promise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

ARTIFACT = "hostile_artifact"
"""A file of this name in the attack's folder, or an import of this module, shows that a payload ran."""
SECRET = 0.8125
"""The value that fills ``outside/secret.h5``, ``.bin`` and ``.npy`` beside the attack's folder, and no other file."""


@dataclass(frozen=True)
class Reading:
    """Somebody who reads a hostile file.

    Attributes:
        run: the work, which can be pickled: a function of a module, or a partial of one.
        right: tells whether the work's result is right; None where the file must be refused.
        unpickles: the format is pickle by design (Stable-Baselines3), and only limits are tested.
    """

    run: Callable[[], Any]
    right: Callable[[Any], bool] | None = None
    unpickles: bool = False


Attack = Callable[[Path], Reading]

ATTACKS: dict[str, Attack] = {}


def attack(function: Attack) -> Attack:
    """Register an attack under the name of its function, with that of its module before it."""
    name = f"{function.__module__.rpartition('.')[2]}/{function.__name__}"
    assert name not in ATTACKS, name
    ATTACKS[name] = function
    return function


def command(*arguments: object, right: Callable[[Any], bool] | None = None) -> Reading:
    """Return the reading of a command of ``vinci-offline``; its result is what it wrote to standard output."""
    return Reading(partial(run_command, tuple(map(str, arguments))), right)


def call(
    function: Callable[..., Any], *arguments: Any, right: Callable[[Any], bool] | None = None
) -> Reading:
    """Return the reading of a Python function; the function and its arguments can be pickled."""
    return Reading(partial(function, *arguments), right)


class Refused(Exception):
    """A command that ended with exit code 1 or 2; the text is what it wrote to standard error."""


def run_command(arguments: tuple[str, ...]) -> str:
    """Run a command in this process, and return its standard output.

    Raises:
        Refused: it ended with exit code 1 or 2.
    """
    from typer.testing import CliRunner

    from vinci_offline.cli.app import app

    result = CliRunner().invoke(app, list(arguments))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    if result.exit_code:
        assert result.exit_code in (1, 2), f"exit code {result.exit_code}"
        raise Refused(result.stderr or result.stdout)
    return result.stdout
