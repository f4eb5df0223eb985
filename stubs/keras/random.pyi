from collections.abc import Sequence
from typing import Any

from vinci_offline.types import Tensor

class SeedGenerator:
    def __init__(self, seed: int | None = None, name: str | None = None) -> None: ...
    def next(self, ordered: bool = True) -> Tensor: ...

def normal(
    shape: Sequence[int], mean: float = 0.0, stddev: float = 1.0, dtype: str | None = None, seed: Any = None
) -> Tensor: ...
def uniform(
    shape: Sequence[int], minval: float = 0.0, maxval: float = 1.0, dtype: str | None = None, seed: Any = None
) -> Tensor: ...
