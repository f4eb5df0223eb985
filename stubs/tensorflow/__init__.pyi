from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

from vinci_offline.types import Tensor

_Function = TypeVar("_Function", bound=Callable[..., Any])
_Result = TypeVar("_Result")

__version__: str
float32: Any
random: Any

class Operation:
    type: str
    inputs: Sequence[Any]
    outputs: Sequence[Any]
    def get_attr(self, name: str) -> Any: ...

class TensorSpec:
    def __init__(self, shape: Sequence[int], dtype: Any = ...) -> None: ...

class UnconnectedGradients:
    NONE: UnconnectedGradients
    ZERO: UnconnectedGradients

class GradientTape:
    def __init__(self, persistent: bool = False, watch_accessed_variables: bool = True) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def watch(self, tensor: Any) -> None: ...
    def gradient(
        self,
        target: Any,
        sources: Any,
        output_gradients: Any = None,
        unconnected_gradients: UnconnectedGradients = ...,
    ) -> Any: ...
    def stop_recording(self) -> Any: ...

def function(
    func: _Function,
    *,
    autograph: bool = True,
    jit_compile: bool | None = None,
    reduce_retracing: bool = False,
) -> _Function: ...
def cond(pred: Any, true_fn: Callable[[], _Result], false_fn: Callable[[], _Result]) -> _Result: ...
def while_loop(
    cond: Callable[..., Any],
    body: Callable[..., Any],
    loop_vars: Sequence[Any],
    parallel_iterations: int = 10,
) -> Any: ...
def constant(value: Any, dtype: Any = None, shape: Sequence[int] | None = None) -> Tensor: ...
def zeros(shape: int | Sequence[int], dtype: Any = ...) -> Tensor: ...
