"""TensorFlow without its start-up notes, which it writes before any log level is read."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


def import_keras() -> None:
    """Import Keras and its backend once, with what their libraries say meanwhile kept off the user's terminal.

    Someone who sets ``TF_CPP_MIN_LOG_LEVEL`` to 0 or 1 wants to read it, and does.
    """
    if "keras" in sys.modules:
        return
    # 3 leaves out errors too: without a GPU, TensorFlow reports the failed look for one. What matters is raised.
    if os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") in ("0", "1"):
        import keras
    else:
        with _stderr_aside():
            import keras  # noqa: F401


@contextmanager
def _stderr_aside() -> Iterator[None]:
    """Send file descriptor 2 to a file, which a failure prints."""
    sys.stderr.flush()
    shown = os.dup(2)
    with tempfile.TemporaryFile() as aside:
        os.dup2(aside.fileno(), 2)
        try:
            yield
        except BaseException:
            aside.seek(0)
            os.write(shown, aside.read())
            raise
        finally:
            os.dup2(shown, 2)
            os.close(shown)
