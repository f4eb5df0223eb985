"""README and docs: their Python blocks run, their commands exist, their links lead to files."""

import re
import shlex
from pathlib import Path

import pytest
from typer.main import get_command

import vinci_offline
from vinci_offline.cli.app import app

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
NAMES = [page.name for page in PAGES]
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page, language):
    return [body for kind, body in FENCE.findall(page.read_text(encoding="utf-8")) if kind == language]


@pytest.mark.parametrize(
    "page", [page for page in PAGES if blocks(page, "python")], ids=lambda page: page.name
)
def test_python_blocks_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    times = 2 if page.name == "README.md" else 1  # a newcomer runs a script again
    for _ in range(times):
        namespace = {"__name__": f"docs_{page.stem}"}
        for number, block in enumerate(blocks(page, "python"), start=1):
            code = compile(block, f"{page.name}, Python block {number}", "exec")
            exec(code, namespace)
        assert len(namespace) > 2


def commands(page):
    """Return the vinci-offline commands in the console and indented blocks of a page."""
    text = page.read_text(encoding="utf-8")
    return re.findall(r"^(?:\$ | {4})(vinci-offline [^\n#]*)", text.replace("\\\n", " "), re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_commands_and_options_exist(page):
    known = get_command(app).commands
    for line in commands(page):
        _, name, *words = shlex.split(line)
        if name.startswith("-"):
            continue
        assert name in known, line
        options = {option for parameter in known[name].params for option in parameter.opts}
        used = [word.split("=")[0] for word in words if re.match(r"--?[a-z]", word)]
        assert set(used) <= options | {"--help"}, line


def test_every_command_is_documented():
    shown = " ".join(line for page in PAGES for line in commands(page))
    shown += " ".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert [name for name in get_command(app).commands if f"vinci-offline {name}" not in shown] == []


def test_api_page_lists_every_public_name():
    listed = re.findall(
        r"^::: vinci_offline\.(\w+)$", (ROOT / "docs" / "api.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert sorted(listed) == vinci_offline.__all__


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_lead_to_files(page):
    targets = re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))
    local = [target for target in targets if "://" not in target]
    assert [target for target in local if not (page.parent / target).exists()] == []
