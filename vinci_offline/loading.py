"""Objects that a user names on the command line: ``module:object`` and ``file.py:object``.

This runs the user's own code, as ``python file.py`` would; nothing else in the package executes what it reads.
"""

from __future__ import annotations

import inspect
import sys
import sysconfig
import traceback
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from vinci_offline.errors import UsageError

_NOT_THEIRS = ("<", str(Path(__file__).parent), *map(sysconfig.get_path, ("stdlib", "purelib", "platlib")))
"""Where code lies that a user did not write."""


def load_object(reference: str) -> Any:
    """The object that ``module:object`` or ``file.py:object`` names; ``object`` may be dotted.

    Raises:
        UsageError: there is no such file, module or object, or importing it fails.
    """
    source, _, path = reference.rpartition(":")
    if not source or not path:
        raise UsageError(f"{reference!r} does not name an object: write module:object or file.py:object")
    found: Any = load_module(source)
    for name in path.split("."):
        if not hasattr(found, name):
            raise UsageError(f"{source} has no {name!r}: check the name after the colon in {reference!r}")
        found = getattr(found, name)
    return found


def load_module(source: str) -> ModuleType:
    """Import a module by its dotted name or by the path of its ``.py`` file.

    Raises:
        UsageError: it does not exist or importing it fails.
    """
    try:
        return _load_file(Path(source)) if source.endswith(".py") else import_module(source)
    except UsageError:
        raise
    except (Exception, SystemExit) as error:
        raise UsageError(f"importing {source} failed: {describe(error)}") from error


def describe(error: BaseException) -> str:
    """What went wrong in a user's own code, in one line, with its file and line where the traceback has them."""
    message = (str(error).strip().splitlines() or [""])[0]
    text = f"{type(error).__name__}: {message}" if message else type(error).__name__
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith(_NOT_THEIRS)]
    return f"{text} ({frames[-1].filename}, line {frames[-1].lineno})" if frames else text


def takes_two(function: Any, second: str) -> bool:
    """Whether a callable takes two arguments: a second one without a default, or one called ``second``."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return False
    if any(parameter.name == second for parameter in parameters):
        return True
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(p.kind in positional and p.default is inspect.Parameter.empty for p in parameters) > 1


def _load_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise UsageError(f"{path} does not exist")
    # Named after the whole path, so that two files called policy.py are two modules.
    name = "vinci_user_" + "".join(c if c.isalnum() else "_" for c in str(path.resolve()))
    if name in sys.modules:
        return sys.modules[name]
    spec = spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[name] = module
    # A user's file may import its neighbours, as it could when run directly.
    folder = str(path.resolve().parent)
    added = folder not in sys.path
    if added:
        sys.path.insert(0, folder)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    finally:
        if added:
            sys.path.remove(folder)
    return module
