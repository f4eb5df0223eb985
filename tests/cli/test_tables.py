"""Tables fit the terminal, and do not split names."""

import pytest
from typer.testing import CliRunner

from vinci_offline.cli.app import app

ROWS = [("mountaincar-mixed", "MountainCarContinuous-v0", "60,000", "Box(1,)", "85.6")]
HEADER = ("name", "environment", "rows", "actions", "mean return")


@pytest.fixture
def shown(monkeypatch, capsys):
    from vinci_offline.cli.tables import show_table

    def show(width, rows=ROWS, header=HEADER):
        monkeypatch.setenv("COLUMNS", str(width))
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setenv("TERM", "dumb")  # no styles
        show_table(rows, header)
        lines = capsys.readouterr().out.splitlines()
        assert max(map(len, lines)) <= width
        return lines

    return show


def test_names_are_whole_at_80_columns(shown):
    text = "\n".join(shown(80))
    assert all(cell in text for cell in ROWS[0])


def test_long_texts_fold_and_names_stay(shown):
    text = "\n".join(
        shown(40, [("td3bc", "well", "it stays near what was recorded " * 3)], ("", "suits", "why"))
    )
    assert "td3bc" in text
    assert "recorded" in text


@pytest.mark.parametrize("width", [40, 60])
def test_without_room_words_are_split_and_nothing_is_lost(shown, width):
    lines = shown(width)
    body = lines[next(n for n, line in enumerate(lines) if line.startswith("├")) + 1 : -1]
    cells = zip(*(line.strip("│").split("│") for line in body), strict=True)
    assert ["".join(part.strip() for part in parts) for parts in cells] == list(ROWS[0])


@pytest.mark.parametrize("command", ["agents", "datasets"])
def test_lists_fit_80_columns(command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    lines = CliRunner().invoke(app, [command]).stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert any("│" in line for line in lines)
    text = "\n".join(lines)
    names = (
        ["bc", "ddpg", "dqn", "iql", "td3bc"] if command == "agents" else ["mountaincar-mixed", "CartPole-v1"]
    )
    assert all(f" {name} " in text for name in names)


def test_agents_without_a_name_are_a_short_table_by_kind():
    lines = CliRunner().invoke(app, ["agents"]).stdout.splitlines()
    assert len(lines) < 45
    assert [line for line in lines if line.endswith(("actions:", "kinds of action:"))] == [
        "continuous actions:",
        "Discrete actions:",
        "both kinds of action:",
    ]
    assert "https://" not in "".join(lines)
