"""Shape checks at trace time: a wrong rank broadcasts silently and learns nonsense."""

from __future__ import annotations

from vinci_offline.errors import SpecError
from vinci_offline.types import Tensor


def check_shapes(pattern: str, **tensors: Tensor) -> None:
    """Check tensors against named sizes, once, when the loss is traced.

    ``check_shapes("reward B, value E B", reward=r, value=q)``: each letter is one size wherever it appears,
    and each tensor has exactly as many axes as it has letters. Sizes that are not known at trace time are not
    compared.

    Raises:
        SpecError: a tensor has another rank, or sizes that must agree do not.
    """
    sizes: dict[str, tuple[int, str]] = {}
    for part in pattern.split(","):
        name, *letters = part.split()
        shape = tuple(tensors[name].shape)
        if len(shape) != len(letters):
            raise SpecError(
                f"{name} must have shape [{', '.join(letters)}], and it has shape {list(shape)}: "
                "scalars a transition are [B], never [B, 1]"
            )
        for letter, size in zip(letters, shape, strict=True):
            if size is None:
                continue
            known, owner = sizes.setdefault(letter, (size, name))
            if known != size:
                raise SpecError(
                    f"{owner} and {name} must agree on {letter}, and their shapes are "
                    f"{list(tensors[owner].shape)} and {list(shape)}"
                )
