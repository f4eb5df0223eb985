"""Import Keras quietly on the chosen backend, and load Keras files in safe mode."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from vinci_offline.errors import UsageError, VinciError
from vinci_offline.inputs import meant_path
from vinci_offline.keras_archive import check_archive, check_outputs, counted_variables
from vinci_offline.text import did_you_mean
from vinci_offline.trusted import check_keras_config

BACKENDS = ("tensorflow", "jax")


def check_process() -> None:
    """Refuse Keras in a process that was forked after its backend had started: the first operation would wait forever.

    The threads of a backend do not survive a fork, and its locks stay held.

    Raises:
        UsageError: this is such a process.
    """
    if _forked_after:
        raise UsageError(
            f"this process was forked after {' and '.join(_forked_after)} had been used, where Keras hangs: start "
            "processes with multiprocessing.get_context('spawn'), or give a policy that needs no Keras"
        )


def import_keras(backend: str | None = None) -> None:
    """Import Keras and its backend, and keep their start-up messages off the terminal.

    ``TF_CPP_MIN_LOG_LEVEL`` set to 0 or 1 shows the messages.

    Args:
        backend: ``tensorflow`` or ``jax``. None follows ``KERAS_BACKEND`` or Keras' own configuration.

    Raises:
        UsageError: there is no such backend, it is not installed, Keras already runs on another, or this process was
            forked after its backend had started.
    """
    check_process()
    check_backend(backend)
    if backend is not None:
        _choose(backend)
    if "keras" in sys.modules:
        return
    with _quiet():
        import keras  # noqa: F401

        # On JAX too: Keras imports an installed TensorFlow when it copies or saves a model.
        if importlib.util.find_spec("tensorflow") is not None:
            # TensorFlow prints a line for each missing device at its first use: list them now, in silence.
            importlib.import_module("tensorflow").config.list_physical_devices()


def check_backend(backend: str | None = None) -> None:
    """Refuse a backend that is unknown or not installed, without importing it.

    Args:
        backend: as in `import_keras`.

    Raises:
        UsageError: it cannot be used.
    """
    asked, name = (
        ("KERAS_BACKEND", os.environ.get("KERAS_BACKEND")) if backend is None else ("--backend", backend)
    )
    if not name or (backend is None and "keras" in sys.modules):
        return
    if name not in BACKENDS:
        raise UsageError(
            f"{asked} must be {' or '.join(BACKENDS)}, not {name!r}{did_you_mean(name, BACKENDS)}"
        )
    if importlib.util.find_spec(name) is None:
        raise UsageError(f"{name} is not installed: pip install 'vinci-offline[{name}]'")


def import_tensorflow() -> Any:
    """Import TensorFlow quietly. This does not choose Keras' backend."""
    with _quiet() if "tensorflow" not in sys.modules else nullcontext():
        return importlib.import_module("tensorflow")


def load_keras_model(path: Path, use: str = "the policy") -> Any:
    """Load a ``.keras`` file in safe mode: no code inside it runs, and it has stock or registered parts only.

    Args:
        path: the file.
        use: the model's purpose, named in messages.

    Raises:
        VinciError: the file is missing or damaged, or safe mode refuses it.
    """
    check_keras_file(path, use)
    path.open("rb").close()  # a missing permission shows here; below it would look like damage
    if not zipfile.is_zipfile(path):
        raise VinciError(
            f"{path} is not a Keras model, or was cut short: {use} needs a file that "
            f"model.save({path.name!r}) wrote"
        )
    import_keras()
    import keras

    check_archive(path)
    try:
        with zipfile.ZipFile(path) as archive:
            check_keras_config(json.loads(archive.read("config.json")), path)
        with counted_variables(path):
            model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except VinciError:
        raise
    except Exception as error:  # Keras raises errors of any type on damaged files
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].partition(". ")[0]
        raise VinciError(
            f"{path} cannot be loaded in Keras' safe mode ({reason}): for {use}, save a model of stock layers, "
            "without Lambda"
        ) from error
    check_outputs(path, model)
    return model


def wide_dtype() -> str:
    """Return the widest float of the backend: float64 on TensorFlow. JAX has float32 alone, unless told otherwise."""
    import keras

    return "float64" if keras.backend.backend() == "tensorflow" else "float32"


def check_keras_file(path: Path, use: str = "the policy") -> None:
    """Raise a VinciError where a ``.keras`` file does not exist."""
    if not path.exists():
        raise VinciError(f"{path} does not exist: check the path of {use}{meant_path(path)}")


def _started(backend: str) -> bool:
    """Return True where a backend has threads. Importing it alone starts none."""
    if backend == "tensorflow":
        context = getattr(sys.modules.get("tensorflow.python.eager.context"), "_context", None)
        return bool(getattr(context, "_initialized", False))
    return bool(getattr(sys.modules.get("jax._src.xla_bridge"), "_backends", None))


_forked_after: list[str] = []
"""Backends that had started when this process was forked."""


def _note_fork() -> None:
    _forked_after[:] = filter(_started, BACKENDS)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)


def _quiet() -> AbstractContextManager[None]:
    # Level 3 hides errors too: without a GPU, TensorFlow reports a failed search for one. Real errors are raised.
    wanted = os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") in ("0", "1")
    return nullcontext() if wanted else _stderr_aside()


def _choose(backend: str) -> None:
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
    """Send file descriptor 2 to a file. An exception prints that file."""
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
