"""Tables: CSV, JSON Lines, Parquet and Arrow."""

from __future__ import annotations

import bz2
import gzip
from collections.abc import Iterable
from pathlib import Path

from hostile.frame import Reading, attack, command

ROWS = 100
HEADER = "observation_0,observation_1,action_0,reward,terminal,timeout\n"


def row(number: int) -> str:
    return f"{number / 7},{number % 5},{number / ROWS},{number},{int(number % 50 == 49)},0\n"


def text_file(path: Path, pieces: Iterable[str | bytes]) -> Path:
    with path.open("wb") as file:
        for piece in pieces:
            file.write(piece if isinstance(piece, bytes) else piece.encode())
    return path


def csv_file(folder: Path, *changed: str, name: str = "data.csv") -> Path:
    """Write a sound table, with other lines at its end."""
    return text_file(folder / name, [HEADER, *map(row, range(ROWS)), *changed])


def json_file(folder: Path, *changed: str) -> Path:
    names = HEADER.strip().split(",")
    rows = (zip(names, row(each).strip().split(","), strict=True) for each in range(ROWS))
    lines = ("{" + ", ".join(f'"{name}": {cell}' for name, cell in each) + "}\n" for each in rows)
    return text_file(folder / "data.jsonl", [*lines, *changed])


def converted(source: Path, *options: str, sound: bool = False) -> Reading:
    """Return the reading of ``convert``; a sound source must give its rows."""
    target = source.parent / "converted.h5"
    return command("convert", source, target, *options, right=_has_rows if sound else None)


def _has_rows(output: str) -> bool:
    return f" {ROWS - 0} in " in output or f" {ROWS - 1} in " in output


@attack
def csv_that_is_sound(folder: Path) -> Reading:
    """A sound table."""
    return converted(csv_file(folder), sound=True)


@attack
def csv_that_begins_with_a_mark(folder: Path) -> Reading:
    """A mark of the order of bytes, which spreadsheets write, belongs to no name."""
    path = csv_file(folder)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    return converted(path, sound=True)


@attack
def csv_of_another_coding(folder: Path) -> Reading:
    path = csv_file(folder)
    path.write_text(path.read_text(), encoding="utf-16")
    return converted(path, "--from", "csv")


@attack
def csv_of_zeros(folder: Path) -> Reading:
    """4 GiB of zero bytes that take no room on the disk."""
    path = folder / "data.csv"
    with path.open("wb") as file:
        file.truncate(2**32)
    return converted(path)


@attack
def csv_of_zeros_by_name(folder: Path) -> Reading:
    path = folder / "data.csv"
    with path.open("wb") as file:
        file.truncate(2**32)
    return converted(path, "--from", "csv")


@attack
def csv_of_an_endless_line(folder: Path) -> Reading:
    return converted(csv_file(folder, *["1," * 2**19] * 300))


@attack
def csv_of_an_endless_cell(folder: Path) -> Reading:
    return converted(csv_file(folder, '"', *["1" * 2**20] * 300))


@attack
def csv_of_quotes_that_never_close(folder: Path) -> Reading:
    return converted(csv_file(folder, '"', *["1\n" * 2**19] * 300))


@attack
def csv_of_a_million_columns(folder: Path) -> Reading:
    names = ",".join(f"c{number}" for number in range(10**6))
    zeros = ",".join("0" for _ in range(10**6))
    return converted(text_file(folder / "data.csv", [names, "\n", zeros, "\n", zeros, "\n"]))


@attack
def csv_of_wide_rows(folder: Path) -> Reading:
    """20,000 columns: what is looked at together is bounded by cells, not by rows."""
    names = ["reward", "action_0", *(f"observation_{number}" for number in range(20_000))]
    line = ",".join("0.125" for _ in names) + "\n"
    path = text_file(folder / "data.csv", [",".join(names), "\n", *[line] * ROWS])
    return converted(path, "--ends", "terminal", sound=True)


@attack
def csv_of_long_rows_below_a_short_header(folder: Path) -> Reading:
    return converted(csv_file(folder, *["0," * 2**22 + "\n"] * 60))


@attack
def csv_of_numbers_beyond_64_bits(folder: Path) -> Reading:
    return converted(csv_file(folder, "1e999999,0,0,0,0,0\n"))


@attack
def csv_of_numbers_of_many_digits(folder: Path) -> Reading:
    return converted(csv_file(folder, "9" * 100_000 + ",0,0,0,0,0\n"))


@attack
def csv_of_zero_bytes_in_cells(folder: Path) -> Reading:
    return converted(csv_file(folder, "0,\0,0,0,0,0\n"))


@attack
def csv_of_packed_zeros(folder: Path) -> Reading:
    """40 MB of rows in 40 KB."""
    path = folder / "data.csv.gz"
    with gzip.open(path, "wb", 9) as file:
        file.write(HEADER.encode())
        for _ in range(40):
            file.write(b"0,0,0,0,0,0\n" * 83_000)
    return converted(path)


@attack
def csv_packed_by_bzip2(folder: Path) -> Reading:
    path = folder / "data.csv.bz2"
    path.write_bytes(bz2.compress(HEADER.encode()) + bz2.compress(b"0,0,0,0,0,0\n" * 10**7))
    return converted(path)


@attack
def csv_of_packed_names(folder: Path) -> Reading:
    """60 MB of names of episodes, each another, in 300 KB."""
    path = folder / "data.csv.gz"
    with gzip.open(path, "wb", 9) as file:
        file.write(b"episode,observation_0,action_0,reward\n")
        for number in range(600):
            file.write(b"x" * 10**5 + f"{number},0.5,0.5,{number}.5\n".encode())
    return converted(path, "--ends", "timeout")


@attack
def json_that_is_sound(folder: Path) -> Reading:
    """Sound lines."""
    return converted(json_file(folder), sound=True)


@attack
def json_of_deep_lists(folder: Path) -> Reading:
    return converted(json_file(folder, '{"x": ' + "[" * 100_000 + "]" * 100_000 + "}\n"))


@attack
def json_of_deep_objects_first(folder: Path) -> Reading:
    return converted(text_file(folder / "data.jsonl", ['{"x":' * 100_000 + "0" + "}" * 100_000, "\n"]))


@attack
def json_of_an_endless_line(folder: Path) -> Reading:
    return converted(
        text_file(folder / "data.jsonl", ['{"x": [', *["0," * 2**19] * 300, "0]}\n"]), "--from", "jsonl"
    )


@attack
def json_of_long_lines(folder: Path) -> Reading:
    """60 lines of 16 MB: what is looked at together is bounded by characters, not by lines."""
    line = '{"observation": [' + "0.5," * (2**22 - 100) + "0]}\n"
    return converted(text_file(folder / "data.jsonl", [line] * 60))


@attack
def json_of_long_lines_that_nobody_wants(folder: Path) -> Reading:
    """A remark of 260,000 empty lists in each of the last three lines."""
    path = json_file(folder)
    lines = path.read_text().splitlines()
    remark = ', "remark": [' + "[]," * 2**18 + "[]]}"
    text_file(
        path, [*(f"{line}\n" for line in lines[:-3]), *(line[:-1] + remark + "\n" for line in lines[-3:])]
    )
    return converted(path, sound=True)


@attack
def json_of_huge_integers(folder: Path) -> Reading:
    return converted(json_file(folder, '{"reward": ' + "9" * 10**6 + "}\n"))


@attack
def json_of_numbers_beyond_64_bits(folder: Path) -> Reading:
    return converted(
        json_file(folder, '{"observation_0": 1e999, "observation_1": 0, "action_0": 0, "reward": 0}\n')
    )


@attack
def json_of_one_name_twice(folder: Path) -> Reading:
    return converted(json_file(folder, '{"observation_0": 1, "observation": [2], "observation_1": 0}\n'))
