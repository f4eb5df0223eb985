from collections.abc import Callable, Mapping, Sequence
from typing import Any

from keras import Input as Input
from keras import Layer as Layer
from keras import Variable

from vinci_offline.types import Tensor

_Activation = str | Callable[..., Any] | None
_Size = int | Sequence[int]

class Dense(Layer):
    units: int
    activation: Callable[..., Tensor] | None
    kernel: Variable
    bias: Variable
    quantization_mode: str | None
    lora_enabled: bool
    def __init__(
        self,
        units: int,
        activation: _Activation = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        *,
        input_shape: Sequence[int | None] | None = None,
        trainable: bool = True,
        name: str | None = None,
        dtype: Any = None,
    ) -> None: ...

class EinsumDense(Layer):
    equation: str
    activation: Callable[..., Tensor] | None
    kernel: Variable
    bias: Variable | None
    quantization_mode: str | None
    lora_enabled: bool
    def __init__(
        self,
        equation: str,
        output_shape: int | Sequence[int | None],
        activation: _Activation = None,
        bias_axes: str | None = None,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        *,
        trainable: bool = True,
        name: str | None = None,
        dtype: Any = None,
    ) -> None: ...

class Conv2D(Layer):
    def __init__(
        self,
        filters: int,
        kernel_size: _Size,
        strides: _Size = (1, 1),
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: _Size = (1, 1),
        groups: int = 1,
        activation: _Activation = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        *,
        name: str | None = None,
        dtype: Any = None,
    ) -> None: ...

class MaxPooling2D(Layer):
    def __init__(
        self,
        pool_size: _Size = (2, 2),
        strides: _Size | None = None,
        padding: str = "valid",
        data_format: str | None = None,
        *,
        name: str | None = None,
        dtype: Any = None,
    ) -> None: ...

class Normalization(Layer):
    mean: Any
    variance: Any
    input_mean: Any
    invert: bool
    def __init__(
        self,
        axis: int | Sequence[int] | None = -1,
        mean: Any = None,
        variance: Any = None,
        invert: bool = False,
        *,
        name: str | None = None,
        dtype: Any = None,
    ) -> None: ...

class Rescaling(Layer):
    scale: Any
    offset: Any
    def __init__(
        self, scale: Any, offset: Any = 0.0, *, name: str | None = None, dtype: Any = None
    ) -> None: ...

class Activation(Layer):
    def __init__(self, activation: _Activation, *, name: str | None = None, dtype: Any = None) -> None: ...

class LayerNormalization(Layer):
    def __init__(
        self,
        axis: int | Sequence[int] = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        *,
        name: str | None = None,
        dtype: Any = None,
    ) -> None: ...

class BatchNormalization(Layer):
    def __init__(
        self,
        axis: int = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        *,
        name: str | None = None,
        dtype: Any = None,
    ) -> None: ...

class Embedding(Layer):
    def __init__(
        self, input_dim: int, output_dim: int, *, name: str | None = None, dtype: Any = None
    ) -> None: ...

class Concatenate(Layer):
    def __init__(self, axis: int = -1, *, name: str | None = None, dtype: Any = None) -> None: ...

class Add(Layer): ...
class Multiply(Layer): ...
class Flatten(Layer): ...
class Identity(Layer): ...
class ReLU(Layer): ...

class Reshape(Layer):
    def __init__(
        self, target_shape: Sequence[int], *, name: str | None = None, dtype: Any = None
    ) -> None: ...

class Lambda(Layer):
    def __init__(
        self, function: Callable[..., Any], *, name: str | None = None, dtype: Any = None
    ) -> None: ...

class Wrapper(Layer): ...
class RNN(Layer): ...

class _Noise(Layer):
    def __init__(
        self, rate: float, *, seed: int | None = None, name: str | None = None, dtype: Any = None
    ) -> None: ...

class Dropout(_Noise): ...
class AlphaDropout(_Noise): ...
class GaussianDropout(_Noise): ...
class SpatialDropout1D(_Noise): ...
class SpatialDropout2D(_Noise): ...
class SpatialDropout3D(_Noise): ...

class GaussianNoise(Layer):
    def __init__(
        self, stddev: float, *, seed: int | None = None, name: str | None = None, dtype: Any = None
    ) -> None: ...

def concatenate(inputs: Sequence[Any], axis: int = -1, **kwargs: Any) -> Tensor: ...
def deserialize(config: Mapping[str, Any]) -> Layer: ...
