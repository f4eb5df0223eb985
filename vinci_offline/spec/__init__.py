"""Descriptions of environments and their spaces, without importing Gymnasium."""

from vinci_offline.spec.comparison import check_fits, describe_space, difference
from vinci_offline.spec.environment import EnvironmentSpec
from vinci_offline.spec.gymnasium_bridge import (
    action_space_from_gymnasium,
    environment_spec,
    space_from_gymnasium,
)
from vinci_offline.spec.spaces import (
    BoxSpace,
    DictSpace,
    DiscreteSpace,
    MultiDiscreteSpace,
    Space,
    TupleSpace,
    is_countable,
    space_from_json,
)

__all__ = [
    "BoxSpace",
    "DictSpace",
    "DiscreteSpace",
    "EnvironmentSpec",
    "MultiDiscreteSpace",
    "Space",
    "TupleSpace",
    "action_space_from_gymnasium",
    "check_fits",
    "describe_space",
    "difference",
    "environment_spec",
    "is_countable",
    "space_from_gymnasium",
    "space_from_json",
]
