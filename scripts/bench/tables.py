"""Tables of figures, printed and written to a page between two comments."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table with aligned columns."""
    lines = [list(header), *map(list, rows)]
    widths = [max(3, *(len(line[i]) for line in lines)) for i in range(len(header))]
    shown = [
        "| " + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) + " |" for line in lines
    ]
    return "\n".join([shown[0], "| " + " | ".join("-" * w for w in widths) + " |", *shown[1:]])


def keep(page: Path, name: str, text: str) -> None:
    """Write ``text`` between the comments ``<!-- NAME -->`` and ``<!-- /NAME -->`` of a page; append both if absent."""
    block = f"<!-- {name} -->\n\n{text.strip()}\n\n<!-- /{name} -->"
    old = page.read_text(encoding="utf-8") if page.exists() else ""
    pattern = re.compile(rf"<!-- {re.escape(name)} -->.*?<!-- /{re.escape(name)} -->", re.DOTALL)
    new = (
        pattern.sub(lambda _: block, old) if pattern.search(old) else f"{old.rstrip()}\n\n{block}\n".lstrip()
    )
    page.write_text(new, encoding="utf-8")


def made_by() -> str:
    """Return the command line and the machine."""
    command = shlex.join(["python", os.path.relpath(sys.argv[0]), *sys.argv[1:]])
    return f"`{command}`\n\nOn {machine()}."


def machine() -> str:
    """Return the cores, the processor and the versions of the libraries."""
    try:
        info = Path("/proc/cpuinfo").read_text(encoding="utf-8")
        model = re.search(r"model name\s*: (.*)", info)
        processor = model[1] if model else platform.machine()
    except OSError:
        processor = platform.processor() or platform.machine()
    return f"{os.cpu_count()} cores ({processor}), {platform.system()}, {', '.join(versions())}"


def versions() -> list[str]:
    found = [f"Python {platform.python_version()}"]
    for name in ("tensorflow", "jax", "keras", "torch", "d3rlpy", "torchrl"):
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
