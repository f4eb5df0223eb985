"""Writes that fail, one after the other."""

from __future__ import annotations

import errno
import os

import pytest


def fail_pwrite(monkeypatch: pytest.MonkeyPatch, at: int, code: int = errno.EIO) -> list[int]:
    """Let the ``at``-th write fail and later ones pass. Return a list that gets the place of each write."""
    calls: list[int] = []
    real = os.pwrite

    def pwrite(descriptor: int, content: bytes, place: int) -> int:
        calls.append(place)
        if len(calls) == at:
            raise OSError(code, os.strerror(code))
        return real(descriptor, content, place)

    monkeypatch.setattr(os, "pwrite", pwrite)
    return calls
