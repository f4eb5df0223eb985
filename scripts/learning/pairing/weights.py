"""Pairs of corresponding weights: a Keras variable, or a part of it, and a PyTorch parameter."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import keras
import numpy as np
import torch

from vinci_offline.types import FloatArray

Theirs: TypeAlias = torch.nn.Module | torch.Tensor
"""A network, the list of an ensemble's members, or a learned scalar."""
_LAYER = re.compile(
    r"(?:_(?P<member>\d+))?_(?P<kind>dense|norm|output|log_std)(?:_(?P<depth>\d+))?(?:_scale)?$"
)
_ORDER = ("kernel", "gamma", "bias", "beta")


@dataclass(frozen=True)
class Weight:
    """A weight of both sides.

    Attributes:
        network: our network's name.
        variable: our variable.
        part: index of the part of it that the other side keeps as a parameter of its own.
        parameter: the other side's parameter.
    """

    network: str
    variable: keras.Variable
    part: Any
    parameter: torch.Tensor

    def ours(self) -> FloatArray:
        value: FloatArray = np.asarray(keras.ops.convert_to_numpy(self.variable))[self.part]
        return value

    def theirs(self) -> FloatArray:
        """Return their value in our layout. A linear layer of PyTorch keeps a row for each output."""
        found: FloatArray = self.parameter.detach().numpy()
        return (found.T if found.ndim == 2 and self.ours().ndim == 2 else found).reshape(self.ours().shape)

    def copy(self) -> None:
        """Give the other side our value."""
        value = self.ours()
        turned = self.parameter.ndim == 2 and value.ndim == 2
        with torch.no_grad():
            self.parameter.copy_(
                torch.tensor((value.T if turned else value).copy()).reshape(self.parameter.shape)
            )


def pair_weights(variables: Mapping[str, keras.Variable], theirs: Mapping[str, Theirs]) -> list[Weight]:
    """Return the weights that both sides have.

    Args:
        variables: our variables by the learner's names, ``networks/NAME/NUMBER``.
        theirs: their networks by our names.

    Raises:
        ValueError: a network has another number of layers on the other side.
    """
    pairs = []
    for name, network in theirs.items():
        own = [each for path, each in variables.items() if path.startswith(f"networks/{name}/")]
        if isinstance(network, torch.Tensor):
            pairs.append(Weight(name, own[0], (), network))
            continue
        towers = _towers(own)
        listed = isinstance(network, torch.nn.ModuleList)
        members = list(network) if isinstance(network, torch.nn.ModuleList) else [network]
        shared = listed and len(towers) == 1 and len(members) > 1
        for index, member in enumerate(members):
            layers = towers[0 if shared else index]
            start = (index,) if shared else ()
            pairs += [Weight(name, *found) for found in _layers(layers, member, start)]
    return pairs


def _layers(
    ours: list[list[keras.Variable]], network: torch.nn.Module, start: tuple[int, ...]
) -> Iterator[tuple[keras.Variable, Any, torch.Tensor]]:
    """Yield (variable, part, parameter) of one network's layers, in the order in which both sides apply them."""
    theirs = [
        list(module.parameters(recurse=False))
        for module in network.modules()
        if module is not network and list(module.parameters(recurse=False))
    ]
    theirs += [[each] for each in network.parameters(recurse=False)]
    if len(theirs) == len(ours) + 1:  # one last layer of ours gives what two of theirs give
        *before, last = ours
        half = last[0].shape[-1] // 2
        for part, layer in ((slice(0, half), theirs[-2]), (slice(half, None), theirs[-1])):
            yield from ((each, (..., part), found) for each, found in zip(last, layer, strict=True))
        ours, theirs = before, theirs[:-2]
    if len(ours) != len(theirs):
        raise ValueError(f"{len(ours)} layers of ours, {len(theirs)} of {type(network).__name__}")
    for own, layer in zip(ours, theirs, strict=True):
        yield from ((each, start, found) for each, found in zip(own, layer, strict=True))


def _towers(variables: list[keras.Variable]) -> dict[int, list[list[keras.Variable]]]:
    """Return the layers of each member in order; each layer is its kernel, then its bias."""
    found: dict[int, dict[tuple[int, int], list[keras.Variable]]] = {}
    for variable in variables:
        *_, layer, _ = variable.path.split("/")
        match = _LAYER.search(layer)
        if match is None or variable.ndim == 0:
            continue  # the constants of the normalisation of observations
        depth = int(match["depth"] or 99) + 100 * (match["kind"] == "log_std")
        place = (depth, int(match["kind"] == "norm"))
        found.setdefault(int(match["member"] or 0), {}).setdefault(place, []).append(variable)
        found[int(match["member"] or 0)][place].sort(key=lambda each: _ORDER.index(each.path.split("/")[-1]))
    return {member: [layers[place] for place in sorted(layers)] for member, layers in found.items()}
