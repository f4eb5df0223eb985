"""Builder of an agent's networks: default networks, or the user's networks of the same names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import keras
from keras import ops

from vinci_offline.errors import SpecError
from vinci_offline.networks import export, stored, user
from vinci_offline.networks.action_scaling import squash_tensor
from vinci_offline.networks.ensembles import ensemble, stack
from vinci_offline.networks.inputs import ACTION, NOISE, OBSERVATION, Inputs, Source
from vinci_offline.networks.layers import LayerNorm, dense, mlp
from vinci_offline.networks.placeholders import Placeholders
from vinci_offline.spec import DiscreteSpace, EnvironmentSpec
from vinci_offline.spec.action_scaling import BoxScaling, box_of
from vinci_offline.spec.units import Units
from vinci_offline.types import ActionBounds, Array, Normalization, Tensor

LOG_STD_RANGE = (-5.0, 2.0)
"""Bounds of a Gaussian actor's log deviation in scaled units, from the IQL authors' code."""

SQUASHED_LOG_STD_RANGE = (-20.0, 2.0)
"""Bounds of a squashed Gaussian's log deviation, from the soft actor-critic authors' code."""

Widths = tuple[int, ...]
"""Widths of hidden layers."""


class NetworkBuilder:
    """Builder of networks on raw observations and scaled actions.

    docs/architecture.md has a table of the methods. Common arguments:

    - ``on``: the network's inputs in order. Each is ``observation``, ``observation/KEY`` (one key of a Dict),
      ``goal`` or ``action``.
    - ``encoder``: a network from `encoder` that replaces the network's first layers. An update that trains both
      names both in ``trains``.

    Args:
        spec: environment.
        normalization: mean and deviation of observations, by key for a Dict; None does not normalise.
        user_networks: Keras models, or functions ``name(env)`` that return one, by network name.
        units: units of the rows that networks are trained on; None takes those of the spaces alone.
        masked: policies of Discrete actions take an input ``action_mask`` beside the observation, and obey it.
    """

    def __init__(
        self,
        spec: EnvironmentSpec,
        normalization: Normalization = None,
        user_networks: Mapping[str, user.UserNetwork] | None = None,
        units: Units | None = None,
        *,
        masked: bool = False,
    ) -> None:
        self.spec = spec
        self._masked = masked
        self.units = units or Units.of(spec)
        self.placeholders = Placeholders(spec)
        self._inputs = Inputs(spec, normalization, self.units)
        self._user = dict(user_networks or {})
        self._owners = user.Owners()
        self._asked: set[str] = set()

    @property
    def discrete(self) -> bool:
        """True if the action space is Discrete."""
        return isinstance(self.spec.action_space, DiscreteSpace)

    @property
    def action_dim(self) -> int:
        """Number of dimensions of a continuous action."""
        return self._scaling.space.dim

    @property
    def bounded(self) -> Array | None:
        """``[A]`` mask of the action dimensions whose bounds are scaled to [-1, 1]; None for a Discrete space."""
        return None if self.discrete else self._scaling.bounded

    @property
    def bounds(self) -> ActionBounds | None:
        """Bounds of scaled actions; None for a Discrete space, and where all are -1 and 1."""
        return None if self.discrete or self._scaling.bounded.all() else self._scaling.bounds

    @property
    def unused(self) -> tuple[str, ...]:
        """Names of user networks that no agent has requested."""
        return tuple(sorted(set(self._user) - self._asked))

    def deterministic_actor(
        self,
        name: str,
        hidden: Widths,
        squash: bool = True,
        *,
        on: Sequence[str] = (OBSERVATION,),
        encoder: keras.Model | None = None,
    ) -> keras.Model:
        """Make a network from an observation to a ``[B, A]`` scaled action.

        ``squash`` keeps the action inside its bounds: by tanh between two bounds, by softplus at a single or a far one.
        """
        sources = self._sources(name, on, encoder)
        return _model(name, sources, self._action(name, sources, hidden, squash))

    def noisy_actor(
        self,
        name: str,
        hidden: Widths,
        noise: int,
        squash: bool = True,
        *,
        encoder: keras.Model | None = None,
    ) -> keras.Model:
        """Make a network from ``[observation, noise]`` to a ``[B, A]`` scaled action; see `sampler`.

        Args:
            name: name of the network.
            hidden: widths of hidden layers.
            noise: width of the standard normal noise.
            squash: see `deterministic_actor`.
            encoder: see the class.
        """
        sources = self._sources(name, (OBSERVATION,), encoder)
        raw = keras.Input(shape=(noise,), dtype="float32", name=NOISE)
        sources.append(Source(raw, {NOISE: raw}, raw))
        return _model(name, sources, self._action(name, sources, hidden, squash))

    def gaussian_actor(
        self,
        name: str,
        hidden: Widths,
        state_dependent_std: bool = False,
        *,
        on: Sequence[str] = (OBSERVATION,),
        encoder: keras.Model | None = None,
    ) -> keras.Model:
        """Make a network from an observation to ``{"mean": [B, A], "log_std": [B, A]}`` in scaled units.

        The mean is squashed as in `deterministic_actor`. The log deviation is a parameter vector, or a second network
        if ``state_dependent_std``: the policy of Kostrikov et al. (2021). A user network of this name gives the mean.
        """
        sources = self._sources(name, on, encoder)
        mean = self._action(name, sources, hidden, squash=True)
        if state_dependent_std:
            log_std = mlp(_joined(sources), hidden, self.placeholders.action_space_dim, f"{name}_log_std")
        else:
            # The kernel of a linear layer on the constant 1 is a parameter vector in a stock layer.
            one = ops.ones_like(ops.reshape(mean, (-1, mean.shape[-1]))[:, :1])
            vector = keras.layers.Dense(
                mean.shape[-1],
                use_bias=False,
                kernel_initializer="zeros",
                dtype="float32",
                name=f"{name}_log_std",
            )
            log_std = vector(one)
        return _model(name, sources, {"mean": mean, "log_std": ops.clip(log_std, *LOG_STD_RANGE)})

    def squashed_gaussian_actor(
        self,
        name: str,
        hidden: Widths,
        log_std_range: tuple[float, float] = SQUASHED_LOG_STD_RANGE,
        *,
        on: Sequence[str] = (OBSERVATION,),
        encoder: keras.Model | None = None,
    ) -> keras.Model:
        """Make a network from an observation to ``{"location": [B, A], "log_std": [B, A]}``.

        Both are those of a Gaussian before `vinci_offline.functional.squash` brings it inside the bounds: the policy of
        soft actor-critic (Haarnoja et al., 2018, https://arxiv.org/abs/1801.01290, appendix C). Both are outputs of one
        network; a user network of this name gives ``2 A`` numbers, the locations first.
        """
        sources = self._sources(name, on, encoder)
        dim = self._scaling.space.dim
        both = self._output(name, sources, hidden, 2 * dim)
        log_std = ops.clip(both[:, dim:], *log_std_range)
        return _model(name, sources, {"location": both[:, :dim], "log_std": log_std})

    def categorical_actor(
        self,
        name: str,
        hidden: Widths,
        *,
        on: Sequence[str] = (OBSERVATION,),
        encoder: keras.Model | None = None,
    ) -> keras.Model:
        """Make a network from an observation to ``{"logits": [B, n]}``."""
        sources = self._sources(name, on, encoder)
        return _model(name, sources, {"logits": self._output(name, sources, hidden, self._choices)})

    def critics(
        self,
        name: str,
        hidden: Widths,
        count: int,
        layer_norm: LayerNorm = False,
        *,
        on: Sequence[str] = (OBSERVATION, ACTION),
        encoder: keras.Model | None = None,
    ) -> keras.Model:
        """Make an ensemble from ``[observation, scaled action]`` to ``[E, B]`` values of ``count`` independent members.

        Up to four members are separate towers. More members share one batched product, so the compile time does not
        grow with their number. ``layer_norm`` normalises before each ReLU, or ``"after"`` each.
        """
        assert self._scaling  # refuses Discrete actions
        sources = self._sources(name, on, encoder)
        values = self._ensemble(name, sources, hidden, count, 1, layer_norm)
        return _model(name, sources, values)

    def discrete_critics(
        self,
        name: str,
        hidden: Widths,
        count: int,
        dueling: bool = False,
        *,
        on: Sequence[str] = (OBSERVATION,),
        encoder: keras.Model | None = None,
    ) -> keras.Model:
        """Make an ensemble from an observation to ``[E, B, n]``, the values of all actions for ``count`` members.

        ``dueling`` adds a value and advantages: Wang et al. (2016),
        https://arxiv.org/abs/1511.06581, eq. 9.
        """
        sources = self._sources(name, on, encoder)
        if dueling and name not in self._user:
            x = _joined(sources)
            return _model(
                name, sources, stack([self._dueling(f"{name}_{i}", x, hidden) for i in range(count)])
            )
        return _model(name, sources, self._ensemble(name, sources, hidden, count, self._choices))

    def quantile_critic(
        self,
        name: str,
        hidden: Widths,
        quantiles: int,
        *,
        on: Sequence[str] | None = None,
        encoder: keras.Model | None = None,
    ) -> keras.Model:
        """Make a network from an observation to ``[N, B, n]``, N quantiles of the return of each of n actions.

        For continuous actions it takes ``[observation, scaled action]`` to ``[N, B]``. All quantiles are outputs of one
        network: Dabney et al. (2018), https://arxiv.org/abs/1710.10044, section 5.3. A user network of this name gives
        ``N n`` numbers, the quantiles of the first action first; for continuous actions ``N``.
        """
        if not self.discrete:
            sources = self._sources(name, on or (OBSERVATION, ACTION), encoder)
            return _model(name, sources, ops.transpose(self._output(name, sources, hidden, quantiles)))
        sources = self._sources(name, on or (OBSERVATION,), encoder)
        flat = self._output(name, sources, hidden, quantiles * self._choices)
        values = ops.reshape(flat, (-1, self._choices, quantiles))
        return _model(name, sources, ops.transpose(values, (2, 0, 1)))

    def value(
        self,
        name: str,
        hidden: Widths,
        layer_norm: LayerNorm = False,
        *,
        on: Sequence[str] = (OBSERVATION,),
        encoder: keras.Model | None = None,
    ) -> keras.Model:
        """Make a network from an observation to ``[B]`` values."""
        sources = self._sources(name, on, encoder)
        values = self._output(name, sources, hidden, 1, layer_norm)
        return _model(name, sources, ops.squeeze(values, axis=-1))

    def vector(
        self,
        name: str,
        hidden: Widths,
        outputs: int,
        *,
        on: Sequence[str] = (OBSERVATION,),
        encoder: keras.Model | None = None,
    ) -> keras.Model:
        """Make a network to ``[B, outputs]`` numbers, such as a latent action or a change of an action."""
        sources = self._sources(name, on, encoder)
        return _model(name, sources, self._output(name, sources, hidden, outputs))

    def encoder(
        self, name: str, hidden: Widths = (), *, image: str = "auto", on: Sequence[str] = (OBSERVATION,)
    ) -> keras.Model:
        """Make a network from an observation to ``[B, F]`` features, which other networks share.

        Args:
            name: name of the network.
            hidden: widths of ReLU layers after the image encoders.
            image: kind of image encoder, as `vinci_offline.networks.encoders.encode_image` takes it.
            on: see the class.
        """
        sources = self._sources(name, on, None, image)
        if name in self._user:
            self._asked.add(name)
            return _model(name, sources, self._towers(name, sources, None, 1)[0])
        x = _joined(sources)
        for depth, units in enumerate(hidden, start=1):
            x = keras.layers.ReLU(name=f"{name}_relu_{depth}")(dense(x, units, f"{name}_dense_{depth}"))
        # Without layers the model would need one that holds its name.
        return _model(name, sources, keras.layers.Identity(name=f"{name}_output", dtype="float32")(x))

    def scalar(self, name: str, initial: float) -> keras.Variable:
        """Make a learned scalar, such as a log temperature. Losses see it as a tensor."""
        return keras.Variable(initial, dtype="float32", name=name)

    def stored_actor(self, name: str, path: str) -> keras.Model:
        """Load a stored `policy.keras` as a frozen network from an observation to a ``[B, A]`` scaled action.

        Raises:
            SpecError: the file is not a model, or does not fit this environment.
        """
        return stored.stored_actor(self.units, name, path)

    def stored_policy(self, name: str, path: str, *, stochastic: bool = True) -> keras.Model:
        """Load a stored policy of any kind as a frozen network, with the output of the actor that it stands for.

        Args:
            name: name of the network.
            path: a ``.keras`` file that acts, such as a run's ``stochastic_policy.keras``.
            stochastic: keep the distribution of a file that has one; otherwise its mean or its most likely choice.

        Raises:
            SpecError: the file is not a model, or does not fit this environment.
        """
        return stored.stored_policy(self.units, name, path, stochastic=stochastic, masked=self._masked)

    def random_policy(self, name: str) -> keras.Model:
        """Make the uniform policy over choices, or over bounded actions, as a network without weights.

        Raises:
            SpecError: the actions have no bounds, or are whole numbers.
        """
        return stored.random_policy(self.units, name)

    def policy(self, actor: keras.Model) -> keras.Model:
        """Return the deterministic policy of an actor, from a raw observation to an environment action.

        A noisy actor gets zero noise.
        """
        return export.policy(self.units, actor, masked=self._masked)

    def policy_of(self, act: Callable[[Tensor], Tensor]) -> keras.Model:
        """Return the deterministic policy of a function from an observation to a ``[B, A]`` scaled action.

        For Discrete actions the function returns ``[B, n]`` scores, and the policy takes the greatest. It calls the
        agent's networks and ``keras.ops``.
        """
        return export.policy_of(self.units, act, masked=self._masked)

    def policy_of_draws(self, act: Callable[[Tensor, Tensor], Tensor], noise: int) -> keras.Model:
        """Return the deterministic policy of a function of an observation and of ``[B, noise]`` draws.

        The function returns a ``[B, A]`` scaled action. The same standard normal draws serve every observation.
        """
        return export.policy_of_draws(self.units, act, noise, sampling=False)

    def best_of(
        self,
        draw: Callable[[Tensor, Tensor], Tensor],
        critic: keras.Model,
        noise: int,
        samples: int,
        *,
        sampling: bool = False,
    ) -> keras.Model:
        """Return the policy that draws actions and takes the one of the greatest value, by the first critic.

        Args:
            draw: function of an observation and of ``[B, noise]`` standard normal noise to ``[B, A]`` scaled actions.
            critic: an ensemble from `critics`.
            noise: width of the noise.
            samples: number of actions.
            sampling: the caller draws the noise, ``[B, samples * noise]``: the model is a `sampler`. Otherwise the same
                draws serve every observation, and the policy is deterministic.
        """
        return export.best_of(self.units, draw, critic, noise, samples, sampling=sampling)

    def greedy_policy(self, critic: keras.Model) -> keras.Model:
        """Return the policy that takes the action of the greatest value, averaged over the ensemble."""
        return export.greedy_policy(self.units, critic, masked=self._masked)

    def stochastic_policy(self, actor: keras.Model) -> keras.Model | None:
        """Return the distribution of an actor: ``{"mean", "log_std"}`` in environment units, or ``{"logits"}``.

        Return None for a deterministic actor.
        """
        return export.stochastic_policy(self.units, actor, masked=self._masked)

    def sampler(self, actor: keras.Model) -> keras.Model:
        """Return the sampling policy of a `noisy_actor` or a `squashed_gaussian_actor`.

        It goes from ``{"observation", "noise"}`` to an environment action.
        """
        return export.sampler(self.units, actor)

    @property
    def _scaling(self) -> BoxScaling:
        box_of(self.spec.action_space)  # refuses others
        assert self.units.actions is not None
        return self.units.actions

    @property
    def _choices(self) -> int:
        if not self.discrete:
            raise SpecError(
                "this network needs Discrete actions, but the action space is continuous (Box): choose an agent for "
                "continuous actions, such as td3bc or iql"
            )
        return self.placeholders.action_space_dim

    def _sources(
        self, name: str, on: Sequence[str], encoder: keras.Model | None, image: str = "auto"
    ) -> list[Source]:
        """Make the inputs of a network. A user network gets images without an encoder."""
        image = "flat" if name in self._user else image
        return [self._inputs.source(each, name, encoder if each != ACTION else None, image) for each in on]

    def _action(self, name: str, sources: list[Source], hidden: Widths, squash: bool) -> Tensor:
        scaling = self._scaling
        action = self._output(name, sources, hidden, scaling.space.dim)
        return action if name in self._user or not squash else squash_tensor(scaling, action)

    def _output(
        self, name: str, sources: list[Source], hidden: Widths, outputs: int, layer_norm: LayerNorm = False
    ) -> Tensor:
        self._asked.add(name)
        if name in self._user:
            return self._towers(name, sources, outputs, 1)[0]
        return mlp(_joined(sources), hidden, outputs, name, layer_norm)

    def _ensemble(
        self,
        name: str,
        sources: list[Source],
        hidden: Widths,
        count: int,
        outputs: int,
        layer_norm: LayerNorm = False,
    ) -> Tensor:
        self._asked.add(name)
        if name in self._user:
            towers = self._towers(name, sources, outputs, count)
            return stack([ops.squeeze(tower, axis=-1) for tower in towers] if outputs == 1 else towers)
        return ensemble(_joined(sources), hidden, outputs, name, count, layer_norm)

    def _towers(self, name: str, sources: list[Source], outputs: int | None, count: int) -> list[Tensor]:
        given = self._user[name]
        model = user.make(name, given, self.placeholders)
        towers = user.towers(name, model, sources, outputs, count)
        user.claim(name, model, self._owners, anew=not isinstance(given, keras.Model))
        return towers

    def _dueling(self, name: str, x: Tensor, hidden: Widths) -> Tensor:
        trunk, last = hidden[:-1], hidden[-1:]
        for depth, units in enumerate(trunk, start=1):
            x = keras.layers.ReLU(name=f"{name}_relu_{depth}")(dense(x, units, f"{name}_dense_{depth}"))
        value = mlp(x, last, 1, f"{name}_value")
        advantage = mlp(x, last, self._choices, f"{name}_advantage")
        return value + advantage - ops.mean(advantage, axis=-1, keepdims=True)


def _joined(sources: list[Source]) -> Tensor:
    flat = [source.flat for source in sources]
    return ops.concatenate(flat, axis=-1) if len(flat) > 1 else flat[0]


def _model(name: str, sources: list[Source], outputs: object) -> keras.Model:
    raw = [source.raw for source in sources]
    return keras.Model(raw if len(raw) > 1 else raw[0], outputs, name=name)
