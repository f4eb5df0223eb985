"""Load objects that a user names (``module:object``, ``file.py:object``) or that installed packages register.

This runs the user's own code, as ``python file.py`` would. Nothing else in the package runs code that it reads.
"""

from __future__ import annotations

import inspect
import sys
import sysconfig
import traceback
import warnings
from collections.abc import Container
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from vinci_offline.errors import UsageError, VinciWarning
from vinci_offline.inputs import meant_path
from vinci_offline.text import did_you_mean

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint


_NOT_THEIRS = ("<", str(Path(__file__).parent), *map(sysconfig.get_path, ("stdlib", "purelib", "platlib")))
"""Prefixes of files that the user did not write."""
_MOST_CHARACTERS = 400
"""Characters of an exception's message that are shown."""


def load_object(reference: str) -> Any:
    """Load the object that ``module:object`` or ``file.py:object`` names. ``object`` may be dotted.

    Raises:
        UsageError: there is no such file, module or object, or importing it fails.
    """
    source, _, path = reference.rpartition(":")
    if not source or not path:
        raise UsageError(f"{reference!r} does not name an object: write module:object or file.py:object")
    found: Any = load_module(source)
    for name in path.split("."):
        if not hasattr(found, name):
            raise UsageError(
                f"{source} has no {name!r}: check the name after the colon in {reference!r}"
                + did_you_mean(name, [each for each in dir(found) if not each.startswith("_")])
            )
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


def registered(group: str, built_in: Container[str]) -> dict[str, EntryPoint]:
    """Return the entry points that installed packages register in a group, by name. Nothing is imported.

    Warns of a name that is taken: a built-in object keeps its name, and so does the first of two packages.

    Args:
        group: such as ``vinci_offline.formats``.
        built_in: the names of what this package has itself.
    """
    from importlib.metadata import entry_points  # costs a few milliseconds, and few commands need it

    found: dict[str, EntryPoint] = {}
    for point in sorted(entry_points(group=group), key=_package):
        if point.name in built_in:
            holder = "vinci-offline"
        elif point.name in found:
            holder = _package(found[point.name])
        else:
            found[point.name] = point
            continue
        if holder != _package(point):
            warnings.warn(
                f"the package {_package(point)} registers {point.name!r} in {group}, which is a name of {holder}: "
                "it is ignored",
                VinciWarning,
                stacklevel=2,
            )
    return dict(sorted(found.items()))


def load_registered(point: EntryPoint, kind: type[Any]) -> type[Any]:
    """Import the class that a package registers.

    Args:
        point: one that `registered` returned.
        kind: the class that it must inherit from.

    Raises:
        UsageError: importing it fails, or it is no such class.
    """
    said = f"the package {_package(point)} registers {point.name!r} as {point.value}"
    try:
        found = point.load()
    except (Exception, SystemExit) as error:
        raise UsageError(
            f"{said}, and importing that failed: {describe(error)}; update or uninstall the package"
        ) from error
    if not (isinstance(found, type) and issubclass(found, kind)):
        raise UsageError(f"{said}, which is no subclass of {kind.__name__}: update or uninstall the package")
    return found


def load_all_registered(group: str, built_in: Container[str], kind: type[Any]) -> dict[str, type[Any]]:
    """Import every class that installed packages register in a group; warn of those that fail, and leave them out."""
    found: dict[str, type[Any]] = {}
    for name, point in registered(group, built_in).items():
        try:
            found[name] = load_registered(point, kind)
        except UsageError as error:
            warnings.warn(str(error), VinciWarning, stacklevel=2)
    return found


def describe(error: BaseException) -> str:
    """Describe an exception of a user's code in one line, with its file and line where the traceback has them."""
    message = " ".join(str(error).split())
    if len(message) > _MOST_CHARACTERS:
        message = f"{message[:_MOST_CHARACTERS]}…"
    text = f"{type(error).__name__}: {message}" if message else type(error).__name__
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith(_NOT_THEIRS)]
    return f"{text} ({frames[-1].filename}, line {frames[-1].lineno})" if frames else text


def takes_two(function: Any, second: str) -> bool:
    """Return True for a callable of two arguments: a second one without a default, or one named ``second``."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return False
    if any(parameter.name == second for parameter in parameters):
        return True
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(p.kind in positional and p.default is inspect.Parameter.empty for p in parameters) > 1


def _package(point: EntryPoint) -> str:
    """Return the name of the package that an entry point comes from."""
    return point.dist.name if point.dist is not None else point.value.partition(":")[0]


def _load_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise UsageError(f"{path} does not exist{meant_path(path)}")
    # The whole path names the module, so two files called policy.py are two modules.
    name = "vinci_user_" + "".join(c if c.isalnum() else "_" for c in str(path.resolve()))
    if name in sys.modules:
        return sys.modules[name]
    spec = spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[name] = module
    # A user's file may import its neighbours, as if it were run directly.
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
