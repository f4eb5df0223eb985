from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

_Class = TypeVar("_Class")

def load_model(
    filepath: str | Path,
    custom_objects: Mapping[str, Any] | None = None,
    compile: bool = True,
    safe_mode: bool = True,
) -> Any: ...
def deserialize_keras_object(
    config: Any, custom_objects: Mapping[str, Any] | None = None, safe_mode: bool = True
) -> Any: ...
def serialize_keras_object(obj: Any) -> dict[str, Any]: ...
def register_keras_serializable(
    package: str = "Custom", name: str | None = None
) -> Callable[[_Class], _Class]: ...
def get_registered_object(name: str, custom_objects: Mapping[str, Any] | None = None) -> Any: ...
