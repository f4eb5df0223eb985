"""Importing Keras: on which backend, and without what that backend writes to the terminal at start-up."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from vinci_offline.errors import UsageError

BACKENDS = ("tensorflow", "jax")


def import_keras(backend: str | None = None) -> None:
    """Import Keras and its backend once, with what their libraries say meanwhile kept off the user's terminal.

    Someone who sets ``TF_CPP_MIN_LOG_LEVEL`` to 0 or 1 wants to read it, and does.

    Args:
        backend: ``tensorflow`` or ``jax``; None takes what ``KERAS_BACKEND`` or Keras' own configuration says.

    Raises:
        UsageError: there is no such backend, it is not installed, or Keras already runs on another.
    """
    if backend is not None:
        _choose(backend)
    if "keras" in sys.modules:
        return
    with _quiet():
        import keras  # noqa: F401

        # On JAX as well: Keras imports it, where it is installed, as soon as it copies or saves a model.
        if importlib.util.find_spec("tensorflow") is not None:
            # Devices are looked for at their first use, with a line on each that fails: look now, while nobody reads.
            importlib.import_module("tensorflow").config.list_physical_devices()


def import_tensorflow() -> Any:
    """TensorFlow alone, imported as quietly; which backend Keras will run on stays open."""
    with _quiet() if "tensorflow" not in sys.modules else nullcontext():
        return importlib.import_module("tensorflow")


def _quiet() -> AbstractContextManager[None]:
    # 3 leaves out errors too: without a GPU, TensorFlow reports the failed look for one. What matters is raised.
    wanted = os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") in ("0", "1")
    return nullcontext() if wanted else _stderr_aside()


def _choose(backend: str) -> None:
    if backend not in BACKENDS:
        raise UsageError(f"--backend must be {' or '.join(BACKENDS)}, not {backend!r}")
    if importlib.util.find_spec(backend) is None:
        raise UsageError(f"{backend} is not installed: pip install 'vinci-offline[{backend}]'")
    if "keras" in sys.modules:
        import keras

        if keras.backend.backend() != backend:
            raise UsageError(
                f"Keras already runs on {keras.backend.backend()}: choose {backend} before it is imported, "
                f"with KERAS_BACKEND={backend}"
            )
    os.environ["KERAS_BACKEND"] = backend


@contextmanager
def _stderr_aside() -> Iterator[None]:
    """Send file descriptor 2 to a file, which a failure prints."""
    sys.stderr.flush()
    shown = os.dup(2)
    with tempfile.TemporaryFile() as aside:
        os.dup2(aside.fileno(), 2)
        try:
            yield
        except Exception:
            aside.seek(0)
            os.write(shown, aside.read())
            raise
        finally:
            os.dup2(shown, 2)
            os.close(shown)
