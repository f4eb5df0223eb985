"""Text from files shows as it is on a terminal, in Markdown and in a plot."""

import ast
import html
import io
import re
from pathlib import Path

import markdown as renderer
import pytest
from rich.console import Console
from rich.progress import TextColumn

import vinci_offline
from vinci_offline.text import markdown, markup, one_line, plotted, printable

NASTY = [
    "plain_name-1.5",
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[red]x[/red] [link=http://e]y[/link]",
    "[y](javascript:alert(1)) ![z](http://e/p.png)",
    "a|b `c` **d** _e_ # f ~~g~~ &amp; \\ h",
    "$\\frac$ and $x",
]


def test_control_characters_are_replaced():
    assert printable("a\x1b[31mb\nc\u202ed\udc80") == "a\ufffd[31mb\ufffdc\ufffdd\ufffd"
    assert one_line("first \n  second\tthird\x07") == "first second third\ufffd"


@pytest.mark.parametrize("text", NASTY)
def test_markdown_shows_the_text_and_has_no_markup_of_it(text):
    page = renderer.markdown(f"| a | b |\n| --- | --- |\n| {markdown(text)} | c |", extensions=["tables"])
    cells = re.findall(r"<td>(.*?)</td>", page)
    assert [html.unescape(cell) for cell in cells] == [text, "c"]
    assert "<" not in "".join(cells)


@pytest.mark.parametrize("text", NASTY)
def test_rich_shows_the_text(text):
    column = TextColumn("[bold]{task.description}")
    out = io.StringIO()
    console = Console(file=out, width=200, highlight=False)
    console.print(markup(text))
    console.print(column.render(type("Task", (), {"description": markup(text)})))
    assert out.getvalue().splitlines() == [text, text]


@pytest.mark.parametrize("text", NASTY)
def test_matplotlib_shows_the_text(text):
    from matplotlib.figure import Figure

    figure = Figure()
    figure.suptitle(plotted(text))
    figure.savefig(io.BytesIO(), format="png")


def test_commands_print_through_one_place():
    """In `cli`, only `say`, `tell`, `print_json` and `show_table` print."""
    for path in sorted((Path(vinci_offline.__file__).parent / "cli").glob("*.py")):
        calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        prints = [
            call.lineno for call in calls if isinstance(call.func, ast.Name) and call.func.id == "print"
        ]
        assert not prints or path.name in ("console.py", "signals.py", "tables.py"), (
            f"{path.name}, lines {prints}"
        )
