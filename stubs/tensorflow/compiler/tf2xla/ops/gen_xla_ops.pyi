from collections.abc import Sequence

from vinci_offline.types import Tensor

def xla_optimization_barrier(input: Sequence[Tensor]) -> list[Tensor]: ...
