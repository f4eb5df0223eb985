"""The architecture holds: imports run one way between rooms, and no files import each other in a circle."""

from __future__ import annotations

import ast
import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import vinci_offline

PACKAGE = Path(vinci_offline.__file__).parent

LEVELS = (
    (
        "errors",
        "calls",
        "spelling",
        "types",
        "recorded",
        "files",
        "inputs",
        "budget",
        "interrupts",
        "loading",
        "progress",
        "keras_archive",
        "keras_setup",
        "options",
        "deviation",
        "text",
        "trusted",
        "locks",
    ),
    ("spec",),
    ("data",),
    ("convert", "curate", "quality", "functional"),
    ("networks",),
    ("runs",),
    ("policies", "batches"),
    ("agents", "presets"),
    ("envs",),
    ("hooks",),
    ("training",),
    ("plots", "evaluation"),
    ("sweeps", "page"),
    ("testing",),
    ("cli",),
    ("__main__",),
)
"""Rooms from the ground up: a room imports itself and rooms of lower levels, or its level's where listed below."""

NEIGHBOURS = {
    ("loading", "errors"),
    ("loading", "inputs"),
    ("loading", "text"),
    ("budget", "errors"),
    ("inputs", "errors"),
    ("inputs", "text"),
    ("files", "errors"),
    ("locks", "errors"),
    ("locks", "files"),
    ("keras_setup", "errors"),
    ("keras_setup", "inputs"),
    ("keras_setup", "text"),
    ("keras_setup", "keras_archive"),
    ("keras_archive", "budget"),
    ("keras_archive", "errors"),
    ("types", "errors"),
    ("options", "errors"),
    ("options", "text"),
    ("calls", "errors"),
    ("calls", "text"),
    ("calls", "spelling"),
    ("progress", "text"),
    ("deviation", "types"),
    ("keras_setup", "trusted"),
    ("evaluation", "plots"),
    ("trusted", "errors"),
    ("trusted", "text"),
}
"""Imports between rooms of one level that are meant."""

LEVEL = {room: number for number, rooms in enumerate(LEVELS) for room in rooms}


def modules_of(package: Path) -> dict[str, Path]:
    """Return every module of a package by its dotted name below it; the package has the empty name."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports_of(path: Path, module: str, modules: dict[str, Path]) -> set[str]:
    """Return the package's modules that a file imports, at the top, inside functions, and for types alone."""
    package = module if path.stem == "__init__" else module.rpartition(".")[0]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {
                alias.name.removeprefix("vinci_offline").lstrip(".")
                for alias in node.names
                if alias.name.split(".")[0] == "vinci_offline"
            }
        elif isinstance(node, ast.ImportFrom):
            source = node.module or ""
            if node.level:
                base = package.split(".")[: len(package.split(".")) - node.level + 1] if package else []
                source = ".".join([*base, *source.split(".")]).strip(".")
            elif source.split(".")[0] == "vinci_offline":
                source = source.removeprefix("vinci_offline").lstrip(".")
            else:
                continue
            for alias in node.names:
                inner = f"{source}.{alias.name}".lstrip(".")
                found.add(inner if inner in modules else source)
    return found


def graph_of(package: Path) -> dict[str, set[str]]:
    modules = modules_of(package)
    return {name: imports_of(path, name, modules) - {name} for name, path in modules.items() if name}


def upward_imports(graph: dict[str, set[str]]) -> set[tuple[str, str]]:
    """Return imports of a higher room or an unlisted neighbour; the public namespace is above all rooms."""

    def allowed(here: str, there: str) -> bool:
        if here == there:
            return True
        if not there:
            return here == "cli"
        return LEVEL[there] < LEVEL[here] or (here, there) in NEIGHBOURS

    return {
        (name, other)
        for name, others in graph.items()
        for other in others
        if not allowed(name.split(".")[0], other.split(".")[0])
    }


def circle_in(graph: dict[str, set[str]]) -> list[str]:
    """Return a sorted group of files that import each other in a circle, or an empty one."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return sorted(set(error.args[1]))
    return []


def test_every_room_has_a_level():
    rooms = {
        path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()
    }
    assert rooms - {"__init__"} == set(LEVEL)


def test_imports_run_down():
    assert upward_imports(graph_of(PACKAGE)) == set()


def test_no_circle_of_files():
    assert circle_in(graph_of(PACKAGE)) == []


def test_only_the_engines_name_a_backend():
    allowed = {
        "keras_setup.py",
        "convert/rlds/records.py",
        "functional/gradients.py",
        "testing/gradients.py",
    }
    named = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if (
            isinstance(node, ast.Import)
            and {a.name.split(".")[0] for a in node.names} & {"tensorflow", "jax"}
        )
        or (isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in {"tensorflow", "jax"})
    }
    assert {name for name in named if not name.startswith("training/engines/")} <= allowed


VIOLATIONS = {
    "a plain import": "from vinci_offline.training.run import Run",
    "an import of the module": "import vinci_offline.training.run",
    "an import of the package": "from vinci_offline.training import run",
    "a public name": "from vinci_offline import train",
    "a relative import": "from ..training.run import Run",
    "an import for types": (
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from vinci_offline.training.run import Run"
    ),
    "an import inside a function": "def f():\n    from vinci_offline.training.run import Run",
}


@pytest.mark.parametrize("kind", VIOLATIONS)
def test_each_kind_of_upward_import_is_seen(kind, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "training").mkdir()
    for name in ("__init__", "data/__init__", "training/__init__", "training/run"):
        (tmp_path / f"{name}.py").write_text("")
    (tmp_path / "data" / "dataset.py").write_text(VIOLATIONS[kind])
    assert {name for name, _ in upward_imports(graph_of(tmp_path))} == {"data.dataset"}


@pytest.mark.parametrize("where", ["", "    "])
def test_a_circle_is_seen_wherever_its_imports_stand(where, tmp_path):
    (tmp_path / "data").mkdir()
    head = "def f():\n" if where else ""
    for name, other in (("one", "two"), ("two", "three"), ("three", "one")):
        (tmp_path / "data" / f"{name}.py").write_text(
            f"{head}{where}from vinci_offline.data.{other} import x"
        )
    assert circle_in(graph_of(tmp_path)) == ["data.one", "data.three", "data.two"]


def test_peer_tests_are_marked():
    installed = {"jax", "mujoco", "optuna", "pyarrow", "ray"}  # by the extra for development
    files = {path: path.read_text(encoding="utf-8") for path in Path(__file__).parent.rglob("test_*.py")}
    skips = {path: set(re.findall(r'importorskip\("(\w+)', text)) for path, text in files.items()}
    needing = [path for path, names in skips.items() if names - installed]
    assert len(needing) > 5
    assert [path.name for path in needing if "mark.peers" not in files[path]] == []
