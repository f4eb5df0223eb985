"""Shape checks at trace time: a wrong rank would broadcast silently and train on nonsense."""

from __future__ import annotations

from vinci_offline.errors import SpecError
from vinci_offline.types import Tensor


def check_shapes(pattern: str, **tensors: Tensor) -> None:
    """Check the shapes of tensors when the loss is traced.

    In ``check_shapes("reward B, value E B", reward=r, value=q)`` each letter is an axis. Axes with the same letter
    must have the same size. A size that is unknown at trace time is not compared.

    Raises:
        SpecError: a tensor has another rank, or two sizes of a letter differ.
    """
    sizes: dict[str, tuple[int, str]] = {}
    for part in pattern.split(","):
        name, *letters = part.split()
        shape = tuple(tensors[name].shape)
        if len(shape) != len(letters):
            raise SpecError(
                f"{name} must have shape [{', '.join(letters)}], not {list(shape)}: "
                "a scalar for each transition is [B], never [B, 1]"
            )
        for letter, size in zip(letters, shape, strict=True):
            if size is None:
                continue
            known, owner = sizes.setdefault(letter, (size, name))
            if known != size:
                raise SpecError(
                    f"{owner} and {name} must have the same size {letter}: their shapes are "
                    f"{list(tensors[owner].shape)} and {list(shape)}"
                )
