"""What an algorithm is: hyperparameters, the networks they need, and the updates that train them."""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

from vinci_offline.errors import UsageError
from vinci_offline.types import Array, Metrics, Tensor, Transitions

if TYPE_CHECKING:
    import keras

    from vinci_offline.networks.builder import NetworkBuilder

Role: TypeAlias = Literal["critic", "actor"]
ActionKind: TypeAlias = Literal["continuous", "discrete"]


class Networks(Mapping[str, Any]):
    """An agent's Keras models by name, as attributes for the losses: ``nets.actor(observation)``.

    Args:
        models: online and target networks.
        bounded: see the attribute.

    Attributes:
        bounded: ``[A]`` mask of the action dimensions that live in [-1, 1], or None where all do.
    """

    def __init__(self, models: Mapping[str, keras.Model], bounded: Array | None = None) -> None:
        self._models = dict(models)
        self._members: dict[tuple[str, int], Any] = {}
        self.bounded = bounded

    def member(self, name: str, index: int) -> Any:
        """One member of an ensemble by itself: a loss that needs one row should not pay for all of them.

        Args:
            name: a network from `NetworkBuilder.critics` or `NetworkBuilder.discrete_critics`.
            index: the member's row.

        Returns:
            A model of the same inputs and weights that returns that row alone.
        """
        if (name, index) not in self._members:
            import keras

            ensemble = self[name]
            row = ensemble.get_layer(f"member_{index}").output
            self._members[name, index] = keras.Model(ensemble.input, row)
        return self._members[name, index]

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["_models"][name]
        except KeyError:
            raise AttributeError(f"no network named {name!r}") from None

    def __getitem__(self, name: str) -> Any:
        return self._models[name]

    def __iter__(self) -> Any:
        return iter(self._models)

    def __len__(self) -> int:
        return len(self._models)


Loss: TypeAlias = Callable[[Networks, Transitions, Tensor], tuple[Tensor, Metrics]]


@dataclass(frozen=True)
class Update:
    """The unit of learning: one loss, the network it moves, and the targets that follow.

    Attributes:
        role: which half of an actor-critic this belongs to; phases select updates by it.
        trains: the network whose trainable variables the update's own optimizer moves.
        loss: ``(nets, batch, key) -> (scalar, metrics)``, pure ``keras.ops``. ``key`` seeds
            `vinci_offline.functional.random`: equal for equal (seed, global step, update), whatever the
            chunking.
        optimizer: makes the optimizer, once a run; the run's own schedule, clipping and weight decay are added to it.
        tracks: the target network that follows ``trains`` after this update; its name is ``target_`` and the
            network's. The trainer creates it as a copy.
        tau: Polyak rate, ``target += tau * (online - target)``; 1 is a hard copy.
        track_every: global-step period of the tracking.
        every: global-step period of the update: it runs at steps ``every, 2 * every, …``, counted from one.
        reset_below: where the gradient's global norm falls below this, the network and its target return to
            their initial weights and the optimizer to its initial state; None never resets.
    """

    role: Role
    trains: str
    loss: Loss
    optimizer: Callable[[], keras.optimizers.Optimizer]
    tracks: str | None = None
    tau: float = 0.005
    track_every: int = 1
    every: int = 1
    reset_below: float | None = None


def setting(default: Any, doc: str, *, low: float = -math.inf, high: float = math.inf) -> Any:
    """A hyperparameter: its default, a line that says what it is and where it comes from, and its limits."""
    return dataclasses.field(default=default, metadata={"doc": doc, "low": low, "high": high})


@dataclass(frozen=True)
class Agent(ABC):
    """An algorithm: a frozen dataclass of hyperparameters, without state, loop or logger.

    A field's ``metadata["doc"]`` says what it is and cites its source; `vinci-offline agents` prints it.
    Subclasses set ``action_kinds`` to the action spaces they can learn on.
    """

    name: ClassVar[str] = ""
    action_kinds: ClassVar[tuple[ActionKind, ...]] = ("continuous",)

    normalize_observations: bool = setting(
        True,
        "normalise observations by the dataset's mean and deviation, (x - mean) / (std + 1e-3) "
        "(Fujimoto and Gu, 2021, section 5)",
    )

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            low, high = field.metadata.get("low", -math.inf), field.metadata.get("high", math.inf)
            value = getattr(self, field.name)
            numbers = value if isinstance(value, tuple) else (value,)
            if not all(low <= number <= high for number in numbers if isinstance(number, int | float)):
                raise UsageError(
                    f"agent {self.name!r}: {field.name}={value} is not valid: it takes {_limits(low, high)}"
                )

    @abstractmethod
    def networks(self, build: NetworkBuilder) -> dict[str, keras.Model]:
        """The online networks by name, on raw observations and scaled actions; the trainer adds targets."""

    @abstractmethod
    def updates(self) -> tuple[Update, ...]:
        """The updates in the order in which one global step runs them; no two train the same network."""

    @abstractmethod
    def policy(self, nets: Networks, build: NetworkBuilder) -> keras.Model:
        """The deterministic policy: raw observation in, environment action out, stock Keras layers only."""

    def stochastic_policy(self, nets: Networks, build: NetworkBuilder) -> keras.Model | None:
        """A model from a raw observation to ``{"mean", "log_std"}`` in environment units or ``{"logits"}``.

        None where the policy has no distribution.
        """
        return None

    def to_json(self) -> dict[str, Any]:
        """Hyperparameters as JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Agent:
        """Make the agent with hyperparameters given as strings (``--set key=value``) or JSON values.

        Raises:
            UsageError: a name that the agent does not have, or a value that does not fit.
        """
        fields = {field.name: field for field in dataclasses.fields(cls)}
        unknown = sorted(set(settings) - set(fields))
        if unknown:
            raise UsageError(
                f"agent {cls.name!r} has no hyperparameter {', '.join(map(repr, unknown))}; "
                f"it has: {', '.join(fields)}"
            )
        values = {key: _parse(cls.name, key, fields[key].type, value) for key, value in settings.items()}
        try:
            return cls(**values)
        except ValueError as error:
            raise UsageError(f"agent {cls.name!r}: {error}") from error


def adam(learning_rate: float, cosine_steps: int | None = None) -> Callable[[], keras.optimizers.Optimizer]:
    """Makes Adam optimizers for an `Update` (Kingma and Ba, 2015, https://arxiv.org/abs/1412.6980).

    Args:
        learning_rate: the step size.
        cosine_steps: updates over which it falls to zero (Loshchilov and Hutter, 2017,
            https://arxiv.org/abs/1608.03983, eq. 5); None keeps it.
    """

    def make() -> keras.optimizers.Optimizer:
        import keras

        if cosine_steps is None:
            return keras.optimizers.Adam(learning_rate)
        return keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(learning_rate, cosine_steps))

    return make


def polyak(target_update: float) -> tuple[float, int]:
    """The ``tau`` and ``track_every`` of an `Update` from one number above zero, as keras-rl takes it.

    Below one it is the rate of soft updates, from one on the number of steps between hard copies.
    """
    return (target_update, 1) if target_update < 1 else (1.0, int(target_update))


def annotation(kind: Any) -> str:
    """A field's annotation as its author wrote it."""
    return kind.__name__ if isinstance(kind, type) else str(kind)


def _limits(low: float, high: float) -> str:
    if math.isinf(low) and math.isinf(high):
        return "a number"
    if math.isinf(high):
        return f"numbers from {low:g} on"
    return f"numbers up to {high:g}" if math.isinf(low) else f"numbers from {low:g} to {high:g}"


def _parse(agent: str, key: str, kind: Any, value: Any) -> Any:
    """Read one hyperparameter of the annotated kind."""
    parsers: dict[str, Callable[[Any], Any]] = {
        "bool": _parse_bool,
        "int": _parse_int,
        "float": float,
        "str": str,
        "tuple[int, ...]": _parse_sizes,
    }
    text = annotation(kind)
    optional = text.endswith(" | None")
    if optional and (value is None or str(value).lower() == "none"):
        return None
    parser = parsers.get(text.removesuffix(" | None"))
    if parser is None:
        raise UsageError(
            f"agent {agent!r}: {key} is annotated {text}, which cannot be set: use "
            f"{', '.join(parsers)}, or one of them | None"
        )
    try:
        return parser(value)
    except (TypeError, ValueError) as error:
        raise UsageError(f"agent {agent!r}: {key}={value!r} is not valid: it takes {_kind(text)}") from error


def _kind(text: str) -> str:
    """An annotation in words."""
    words = {
        "bool": "true or false",
        "int": "a whole number",
        "float": "a number",
        "tuple[int, ...]": "whole numbers, as 256,256",
    }
    return " or ".join(words.get(part, part.lower()) for part in text.split(" | "))


def _parse_bool(value: Any) -> bool:
    words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    word = str(value).lower()
    if word not in words:
        raise ValueError(word)
    return words[word]


def _parse_int(value: Any) -> int:
    number = float(value)
    if not number.is_integer():
        raise ValueError(value)
    return int(number)


def _parse_sizes(value: Any) -> tuple[int, ...]:
    parts = value.strip("()[] ").replace("x", ",").split(",") if isinstance(value, str) else value
    return tuple(_parse_int(part) for part in parts if str(part).strip())
