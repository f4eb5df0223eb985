"""Text files, plain or packed. Reading is bounded; a file is written whole or not at all."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, TextIO

from vinci_offline.convert.sources.packed import ERRORS, unfolded
from vinci_offline.data.assembly.context import ImportContext
from vinci_offline.errors import DatasetError, UsageError
from vinci_offline.files import disk_errors, make_folder, published, refuse_existing
from vinci_offline.text import printable

_LINE_CHARACTERS = 2**24
_BLOCK_CHARACTERS = 2**23
_READ_CHARACTERS = 2**22
_LINES_AT_ONCE = 16
_LINE_ENDS = ("\n", "\r")
_ENCODINGS = re.compile(
    r"utf-(8|16|32)(-sig|-[lb]e)?|ascii|iso8859-\d+|cp\d+|mac-\w+|koi8-\w|gb\w+|big5\w*|euc_\w+|shift_jis\w*"
)
"""Codecs of texts. Python has others, such as of escapes."""


class Lines:
    """The lines of an open text with their ends, one by one or in blocks.

    Args:
        text: the text, opened with ``newline=""``.
        path: the file, for messages.
        context: the import, which notes a last line without an end; None notes nothing.

    Attributes:
        number: how many lines were given.

    Raises:
        DatasetError: a line is endless; in iterating.
    """

    def __init__(self, text: TextIO, path: Path, context: ImportContext | None = None) -> None:
        self._text, self._path, self._context = text, path, context
        self._again, self._again_end = io.StringIO(), 0
        self.number = 0

    def __iter__(self) -> Iterator[str]:
        """Return itself."""
        return self

    def __next__(self) -> str:
        """Return the next line."""
        line = self._again.readline(_LINE_CHARACTERS) or self._text.readline(_LINE_CHARACTERS)
        if not line:
            raise StopIteration
        self.number += 1
        if not line.endswith(_LINE_ENDS):
            if len(line) >= _LINE_CHARACTERS:
                raise DatasetError(
                    f"{self._path}: line {self.number} has more than {_LINE_CHARACTERS:,} characters"
                )
            self._note_cut()
        return line

    def block(self) -> str:
        """Return the next lines as one text; empty at the end. `accept` or `put_back` follows.

        The last line is cut off where it is endless.
        """
        block = self._again.read() or self._text.read(_READ_CHARACTERS)
        if block and not block.endswith("\n"):
            block += self._text.readline(_LINE_CHARACTERS)
        return block

    def accept(self, block: str, count: int) -> None:
        """Count the lines of a block as given. None of them is endless."""
        self.number += count
        if not block.endswith(_LINE_ENDS):
            self._note_cut()

    def put_back(self, lines: str, count: int = 0) -> None:
        """Give the last lines once more, of which ``count`` were counted as given. No others are put back."""
        self.number -= count
        self._again = io.StringIO(lines, newline="")
        self._again_end = self._again.seek(0, io.SEEK_END)
        self._again.seek(0)

    @property
    def is_put_back(self) -> bool:
        """True while lines are left that were put back."""
        return self._again.tell() < self._again_end

    def _note_cut(self) -> None:
        if self._context is not None:
            self._context.decide("the last line has no end, as where a file was cut short")
            self._context = None


@contextmanager
def text_lines(
    path: Path, context: ImportContext | None = None, encoding: str | None = None
) -> Iterator[Lines]:
    """Yield the lines of a file with their ends. Its first bytes tell how it is packed, and UTF-16.

    Args:
        path: the file.
        context: the import; its setting ``encoding`` is obeyed, and what was found is noted there.
        encoding: of the text, where there is no context.

    Raises:
        DatasetError: it is missing, damaged, no text in its encoding, or unfolds without end; in iterating too.
        UsageError: there is no such encoding, or a package is missing.
    """
    asked = context.setting("encoding") if context is not None else encoding
    if not path.is_file():
        raise DatasetError(f"{path} does not exist" if not path.exists() else f"{path} is not a file")
    try:
        with (
            path.open("rb") as raw,
            unfolded(raw, path) as stream,
            io.TextIOWrapper(stream, _encoding(stream, asked, context), newline="") as text,
        ):
            yield Lines(text, path, context)
    except UnicodeError as error:
        raise DatasetError(
            f"{path} is damaged, or no text in {(asked or 'UTF-8').upper()} ({_reason(error)}): copy it again, or say "
            "what it is, as with --set encoding=latin-1"
        ) from error
    except ERRORS as error:
        raise DatasetError(f"{path} is damaged ({_reason(error)}): copy or write it again") from error


def _reason(error: Exception) -> str:
    return printable(" ".join(str(error).split()))[:120]


def _encoding(stream: IO[bytes], asked: str | None, context: ImportContext | None) -> str:
    """Return the encoding of a text: what the user says, or what its first bytes say, or UTF-8."""
    if asked is not None:
        try:
            name = codecs.lookup(asked).name
        except LookupError:
            name = ""
        if not _ENCODINGS.fullmatch(name):
            raise UsageError(
                f"--set encoding={asked}: give utf-8, utf-16, latin-1, cp1252, or another of a text"
            )
        return "utf-8-sig" if name == "utf-8" else name
    begin = stream.peek(2)[:2] if isinstance(stream, io.BufferedReader) else b""
    if begin in {codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE}:
        if context is not None:
            context.decide("the text is UTF-16, as its first bytes say")
        return "utf-16"
    return "utf-8-sig"


@contextmanager
def new_text(path: Path, *, overwrite: bool) -> Iterator[TextIO]:
    """Open a new text file, compressed if its name ends in ``.gz`` or ``.bz2``. The same text gives the same bytes.

    Raises:
        UsageError: it exists and ``overwrite`` is not set.
        VinciError: the disk is full.
    """
    refuse_existing(path, overwrite=overwrite)
    with disk_errors(path):
        make_folder(path.parent)
        with published(path) as temporary, temporary.open("wb") as raw:
            stream: IO[bytes] = raw
            if path.suffix == ".gz":
                stream = gzip.GzipFile("", "wb", fileobj=raw, mtime=0)  # type: ignore[assignment]
            elif path.suffix == ".bz2":
                stream = bz2.BZ2File(raw, "wb")
            with io.TextIOWrapper(stream, "utf-8", newline="") as text:
                yield text


def first_lines(path: Path, count: int, encoding: str | None = None) -> list[str]:
    """Return the first lines of a file, fewer if it has fewer or is no text. Never raises."""
    try:
        with text_lines(path, encoding=encoding) as lines:
            found = [line for _, line in zip(range(count), lines, strict=False)]
    except (DatasetError, UsageError):
        return []
    return found if not any("\0" in line for line in found) else []


def next_lines(lines: Iterator[str], count: int) -> list[str]:
    """Return the next lines: ``count``, or fewer if they are long."""
    found: list[str] = []
    characters = 0
    while len(found) < count and characters < _BLOCK_CHARACTERS:
        some = list(islice(lines, min(_LINES_AT_ONCE, count - len(found))))
        if not some:
            break
        found += some
        characters += sum(map(len, some))
    return found
