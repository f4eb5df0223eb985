"""The page's frame. Everything shown is text from files, so nothing in it may act.

Jinja escapes every value; each is put on one line without control characters. The page's policy lets only the
scripts of this package run, which it names by their hashes, and refuses every request.
"""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

from vinci_offline.text import one_line

_ASSETS = Path(__file__).parent / "assets"


def render(title: str, sections: list[dict[str, Any]], charts: dict[str, Any], **told: Any) -> str:
    """Return the page.

    Args:
        title: its title.
        sections: what `sections.sections` returns.
        charts: data of the charts by their ids.
        **told: other values of the frame.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    frame = Environment(
        loader=FileSystemLoader(_ASSETS),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: value if isinstance(value, Markup) else one_line(str(value)),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    scripts = [_asset("uPlot.iife.min.js"), _asset("page.js")]
    return frame.get_template("page.html").render(
        title=title,
        sections=sections,
        charts=_plain(charts),
        styles=[Markup(_asset("uPlot.min.css")), Markup(_asset("page.css"))],  # noqa: S704  # this package's own
        scripts=[Markup(script) for script in scripts],  # noqa: S704  # this package's own
        policy="; ".join(
            [
                "default-src 'none'",
                "style-src 'unsafe-inline'",
                f"script-src {' '.join(map(_hash, scripts))}",
                "img-src data:",
                "base-uri 'none'",
                "form-action 'none'",
            ]
        ),
        **told,
    )


def _asset(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")


def _hash(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def _plain(value: Any) -> Any:
    """Return JSON values with every text on one line."""
    if isinstance(value, str):
        return one_line(value)
    if isinstance(value, dict):
        return {_plain(key): _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list) else value
