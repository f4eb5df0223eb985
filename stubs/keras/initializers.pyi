from collections.abc import Mapping, Sequence
from typing import Any, Self

from vinci_offline.types import Tensor

class Initializer:
    def __call__(self, shape: Sequence[int], dtype: str | None = None) -> Tensor: ...
    def get_config(self) -> dict[str, Any]: ...
    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self: ...

class RandomInitializer(Initializer):
    seed: int | None

class Constant(Initializer):
    def __init__(self, value: Any = 0.0) -> None: ...

class Zeros(Initializer): ...
class Ones(Initializer): ...

class RandomUniform(RandomInitializer):
    def __init__(self, minval: float = -0.05, maxval: float = 0.05, seed: int | None = None) -> None: ...

class RandomNormal(RandomInitializer):
    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None) -> None: ...

class VarianceScaling(RandomInitializer):
    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_in",
        distribution: str = "truncated_normal",
        seed: int | None = None,
    ) -> None: ...

class GlorotUniform(RandomInitializer):
    def __init__(self, seed: int | None = None) -> None: ...

class HeUniform(RandomInitializer):
    def __init__(self, seed: int | None = None) -> None: ...

class OrthogonalInitializer(RandomInitializer):
    def __init__(self, gain: float = 1.0, seed: int | None = None) -> None: ...

Orthogonal = OrthogonalInitializer

def get(identifier: Any) -> Any: ...
