"""An agent's networks by name, for its losses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, cast

from vinci_offline.errors import UsageError
from vinci_offline.types import ActionBounds, Array, Tensor

if TYPE_CHECKING:
    import keras

    Network: TypeAlias = keras.Model | keras.Variable

_NetworkT = TypeVar("_NetworkT", bound=Any)


class Networks(Mapping[str, "keras.Model"]):
    """Online and target networks by name. Each name is an attribute: ``nets.actor(observation)``.

    A learned scalar (`NetworkBuilder.scalar`) is a tensor here: ``ops.exp(nets.log_alpha)``. A type checker sees each
    attribute as a model; ``nets.scalar("log_alpha")`` returns the same tensor with the right type.

    Args:
        networks: models, and variables of learned scalars.
        bounded: see the attribute.
        bounds: see the attribute.

    Attributes:
        bounded: ``[A]`` mask of the action dimensions whose bounds are -1 and 1; None if all are.
        bounds: bounds of scaled actions; None if all are -1 and 1. Losses clip with them.
    """

    def __init__(
        self,
        networks: Mapping[str, Network],
        bounded: Array | None = None,
        bounds: ActionBounds | None = None,
    ) -> None:
        self._networks = {name: _checked(network) for name, network in networks.items()}
        self._members: dict[tuple[str, int], keras.Model] = {}
        self.bounded = bounded
        self.bounds = bounds

    def member(self, name: str, index: int) -> keras.Model:
        """Return one member of an ensemble, for a loss that needs one row only.

        A member of a large ensemble costs as much as all of them: they are one product (see
        `NetworkBuilder.critics`).

        Args:
            name: name of a network from `NetworkBuilder.critics` or `NetworkBuilder.discrete_critics`.
            index: row of the member.

        Returns:
            A model with the same inputs and weights. It returns one row.
        """
        if (name, index) not in self._members:
            import keras

            ensemble = self[name]
            own = {layer.name: layer for layer in ensemble.layers}.get(f"member_{index}")
            row = ensemble.output[index] if own is None else own.output
            self._members[name, index] = _checked(keras.Model(ensemble.input, row))
        return self._members[name, index]

    def action_slopes(self, name: str, observation: Tensor, action: Tensor) -> Tensor:
        """Return the gradient of each member's value with respect to the action, ``[E, B, A]``.

        A loss can be differentiated through it. A large ensemble is one product whose first layer takes the same
        actions for all members. One backward pass to the output of that layer gives every member its own gradient.

        Args:
            name: name of a network from `NetworkBuilder.critics`.
            observation: ``[B, ...]``.
            action: ``[B, A]``.
        """
        from keras import ops

        from vinci_offline.functional import gradient
        from vinci_offline.networks.ensembles import split_ensemble

        model = self[name]
        split = split_ensemble(model)
        if split is None:
            members = [self.member(name, index) for index in range(int(model.output.shape[0]))]
            return ops.stack([gradient(partial(_value_of, each, observation), action) for each in members])
        first, rest, kernel = split
        slope = gradient(rest, first([observation, action]))  # [B, E, H]
        return ops.einsum("beh,eah->eba", slope, kernel[:, -action.shape[-1] :])

    def __getattr__(self, name: str) -> keras.Model:
        if name.startswith("_"):  # copying and pickling ask for these before __init__
            raise AttributeError(name)
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"no network named {name!r}; there are: {', '.join(self)}") from None

    def __getitem__(self, name: str) -> keras.Model:
        network = self._networks[name]
        return cast("keras.Model", self.scalar(name) if _is_scalar(network) else network)

    def scalar(self, name: str) -> Tensor:
        """Return the value of a learned scalar."""
        # On TensorFlow keras.ops.convert_to_tensor returns the variable itself.
        value: Tensor = cast("Tensor", self._networks[name])[...]
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self._networks)

    def __len__(self) -> int:
        return len(self._networks)

    def extended(self, more: Mapping[str, Network]) -> Networks:
        """Return these networks with more networks added or replaced."""
        return Networks({**self._networks, **more}, self.bounded, self.bounds)

    def models(self) -> dict[str, keras.Model]:
        """Return the networks without the learned scalars."""
        return {name: self[name] for name, network in self._networks.items() if not _is_scalar(network)}

    def variables(self, name: str) -> list[keras.Variable]:
        """Return all variables of a network, including those of an encoder inside it."""
        network = self._networks[name]
        return [cast("keras.Variable", network)] if _is_scalar(network) else list(self[name].variables)

    def owned(self, name: str) -> list[tuple[int, keras.Variable]]:
        """Return a network's own variables and their positions in `variables`.

        A critic on an encoder does not own the encoder's variables.

        Raises:
            UsageError: it shares variables with another network, and they are of no network inside both.
        """
        mine = self.variables(name)
        ids = {id(variable) for variable in mine}
        others = {other: {id(v) for v in self.variables(other)} for other in self if other != name}
        inner = {each for theirs in others.values() if theirs < ids for each in theirs}
        for other, theirs in others.items():
            # Two networks may share a third one, such as an encoder: what it holds is inside both.
            if not ids < theirs and (ids & theirs) - inner:
                raise UsageError(
                    f"the networks {name!r} and {other!r} share layers: give each its own, or make the shared layers "
                    "a network with build.encoder and name it in an update's trains"
                )
        return [(place, variable) for place, variable in enumerate(mine) if id(variable) not in inner]

    def trainable(self, name: str) -> list[keras.Variable]:
        """Return a network's own trainable variables."""
        scalar = _is_scalar(self._networks[name])
        trained = self.variables(name) if scalar else self[name].trainable_variables
        own = {id(variable) for _, variable in self.owned(name)}
        return [variable for variable in trained if id(variable) in own]


def _value_of(critic: keras.Model, observation: Tensor, action: Tensor) -> Tensor:
    value: Tensor = critic([observation, action])
    return value


def _is_scalar(network: Any) -> bool:
    return not hasattr(network, "layers")


def _checked(network: _NetworkT) -> _NetworkT:
    """Make a network refuse inputs of another shape than its own: Keras takes ``[B, 1]`` for ``[B, 3]``."""
    if not _is_scalar(network) and network.input_spec:
        from keras import InputSpec

        network.input_spec = [InputSpec(shape=each.shape, name=each.name) for each in network.input_spec]
    return network
