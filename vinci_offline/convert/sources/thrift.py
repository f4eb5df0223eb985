"""The compact protocol of Thrift, in which Parquet describes its columns and pages; read only.

Source: https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_DEEPEST = 32
_TRUE, _FALSE, _BYTE, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = 1, 2, 3, 6, 7, 8, 9, 10, 11, 12


class Thrift:
    """A reader of bytes; each value that it returns takes no more memory than some multiple of its bytes.

    Attributes:
        place: the next byte.
    """

    def __init__(self, content: bytes) -> None:
        self._content, self.place = content, 0

    def struct(self, depth: int = 0) -> dict[int, Any]:
        """Read a structure: values by the number of their field.

        Raises:
            IndexError: the bytes end before it does.
            ValueError: it is none.
        """
        if depth > _DEEPEST:
            raise ValueError("nested too deep")
        return {
            number: kind == _TRUE if kind in (_TRUE, _FALSE) else self.value(kind, depth)
            for number, kind in self.fields()
        }

    def fields(self) -> Iterator[tuple[int, int]]:
        """Yield number and kind of each field of a structure; the caller reads its value before the next one."""
        number = 0
        while head := self._content[self.place]:
            self.place += 1
            number = number + (head >> 4) if head >> 4 else self._signed()
            yield number, head & 15
        self.place += 1

    def structs(self) -> Iterator[dict[int, Any]]:
        """Yield the structures of a list, one after the other: all of them together may be large."""
        head = self._taken(1)[0]
        for _ in range(self._unsigned() if head >> 4 == 15 else head >> 4):
            yield self.struct()

    def value(self, kind: int, depth: int = 0) -> Any:
        """Read a value of some kind; not a truth value, which its field tells."""
        if _BYTE < kind <= _I64:
            return self._signed()
        if kind == _BINARY:
            return self._taken(self._unsigned())
        if kind == _STRUCT:
            return self.struct(depth + 1)
        if kind in (_LIST, _SET):
            return self._list(depth + 1)
        if kind in (_TRUE, _FALSE, _BYTE):  # in a list, a truth value is a byte
            return self._taken(1)[0]
        if kind == _DOUBLE:
            return self._taken(8)
        if kind == _MAP:
            return self._map(depth + 1)
        raise ValueError(f"a value of the unknown type {kind}")

    def _list(self, depth: int) -> list[Any]:
        head = self._taken(1)[0]
        count, kind = head >> 4, head & 15
        count = self._unsigned() if count == 15 else count
        if count > len(self._content) - self.place:
            raise ValueError("a list longer than its bytes")
        if depth > _DEEPEST:
            raise ValueError("nested too deep")
        return [self.value(kind, depth) for _ in range(count)]

    def _map(self, depth: int) -> None:
        """Pass over a map; Parquet has none."""
        count = self._unsigned()
        if count:
            kinds = self._taken(1)[0]
            for _ in range(count):
                self.value(kinds >> 4, depth)
                self.value(kinds & 15, depth)

    def _taken(self, count: int) -> bytes:
        found = self._content[self.place : self.place + count]
        if len(found) < count:
            raise IndexError("the bytes end early")
        self.place += count
        return found

    def _signed(self) -> int:
        value = self._unsigned()
        return (value >> 1) ^ -(value & 1)

    def _unsigned(self) -> int:
        content, place = self._content, self.place
        byte = content[place]
        value, shift = byte & 127, 7
        while byte & 128:
            place += 1
            byte = content[place]
            value |= (byte & 127) << shift
            shift += 7
            if shift > 70:
                raise ValueError("a number of more than 64 bits")
        self.place = place + 1
        return value
