from collections.abc import Mapping, Sequence
from typing import Any, Self

from keras import Variable
from keras.optimizers import schedules as schedules

from vinci_offline.types import Tensor

_Rate = float | schedules.LearningRateSchedule

class Optimizer:
    name: str
    built: bool
    def __init__(self, learning_rate: _Rate, **kwargs: Any) -> None: ...
    @property
    def variables(self) -> list[Variable]: ...
    @property
    def iterations(self) -> Variable: ...
    @property
    def learning_rate(self) -> Any: ...
    @learning_rate.setter
    def learning_rate(self, rate: Any) -> None: ...
    def build(self, variables: Sequence[Variable]) -> None: ...
    def apply(
        self, grads: Sequence[Tensor | None], trainable_variables: Sequence[Variable] | None = None
    ) -> Any: ...
    def get_config(self) -> dict[str, Any]: ...
    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self: ...

class SGD(Optimizer):
    def __init__(
        self, learning_rate: _Rate = 0.01, momentum: float = 0.0, nesterov: bool = False, **kwargs: Any
    ) -> None: ...

class RMSprop(Optimizer):
    def __init__(
        self,
        learning_rate: _Rate = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        **kwargs: Any,
    ) -> None: ...

class Adam(Optimizer):
    beta_2: float
    epsilon: float
    def __init__(
        self,
        learning_rate: _Rate = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        **kwargs: Any,
    ) -> None: ...

class AdamW(Adam): ...
