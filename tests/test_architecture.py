"""Dependencies point one way: what each room may import, as docs/architecture.md has it."""

import ast
import re
from pathlib import Path

import pytest

import vinci_offline

PACKAGE = Path(vinci_offline.__file__).parent
BASE = {"errors", "types", "spec", "loading", "files", "backend"}
MAY_IMPORT = {
    "data": BASE,
    "functional": {"errors", "types"},
    "networks": BASE | {"functional"},
    "agents": BASE | {"functional", "networks"},
    "envs": BASE | {"data", "networks"},
    "hooks": BASE | {"networks"},
    "report": BASE,
    "training": BASE | {"agents", "data", "envs", "functional", "hooks", "networks"},
    "testing": BASE | {"agents", "data", "functional", "networks", "training"},
    "cli": BASE | {"agents", "data", "envs", "report", "training"},
    **dict.fromkeys(BASE, BASE),
}


def imported_rooms(path):
    """The rooms that a file imports from when it runs; annotations alone do not count."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for_types = {
        id(node)
        for branch in ast.walk(tree)
        if isinstance(branch, ast.If) and getattr(branch.test, "id", "") == "TYPE_CHECKING"
        for node in ast.walk(branch)
    }
    rooms = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and id(node) not in for_types and node.module:
            parts = node.module.split(".")
            if parts[0] == "vinci_offline":
                rooms |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
    return rooms - set(vinci_offline.__all__) - {"__version__"}


@pytest.mark.parametrize("room", sorted(MAY_IMPORT))
def test_a_room_imports_only_what_it_may(room):
    files = (
        [PACKAGE / f"{room}.py"]
        if (PACKAGE / f"{room}.py").is_file()
        else sorted((PACKAGE / room).rglob("*.py"))
    )
    assert files
    for path in files:
        assert imported_rooms(path) - MAY_IMPORT[room] - {room} == set(), path


def test_every_room_is_in_the_table():
    rooms = {
        path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()
    }
    assert rooms - {"__init__"} == set(MAY_IMPORT)


def test_tests_that_need_other_tools_packages_are_run_by_the_script_for_them():
    installed = {"jax", "mujoco", "pyarrow", "ray"}  # by the extra for development
    files = {path: path.read_text(encoding="utf-8") for path in Path(__file__).parent.rglob("test_*.py")}
    skips = {path: set(re.findall(r'importorskip\("(\w+)', text)) for path, text in files.items()}
    needing = [path for path, names in skips.items() if names - installed]
    assert len(needing) > 5
    assert [path.name for path in needing if "mark.peers" not in files[path]] == []
