from collections.abc import Callable
from pathlib import Path
from typing import Any

from keras import Layer
from keras import Model as Model
from keras import Sequential as Sequential

def clone_model(
    model: Model,
    input_tensors: Any = None,
    clone_function: Callable[..., Layer] | None = None,
    call_function: Callable[..., Any] | None = None,
    recursive: bool = False,
) -> Model: ...
def load_model(
    filepath: str | Path, custom_objects: Any = None, compile: bool = True, safe_mode: bool = True
) -> Any: ...
