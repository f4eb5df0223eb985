"""A collection as its workers need it: everything that decides what is recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from vinci_offline.batches.names import ACTION_MASK, NEXT_ACTION_MASK
from vinci_offline.data import layout
from vinci_offline.envs.collect.references import RANDOM_STATE, describe_reference, is_exploration
from vinci_offline.envs.collect.shards import Plan
from vinci_offline.envs.making import EnvironmentLike
from vinci_offline.envs.options import CollectOptions
from vinci_offline.errors import UsageError
from vinci_offline.policies.noise import Noise
from vinci_offline.spec import EnvironmentSpec


@dataclass(frozen=True)
class Job:
    """A collection as its workers need it.

    Attributes:
        environment: makes the environment.
        kwargs: its keyword arguments.
        spec: its description.
        policies: the policies' references, as `load_reference` takes them. Episodes take turns.
        noise: the noise on their actions.
        seed: the collection's seed.
        plan: the content of each shard.
        record_infos: keys of the step's info to record.
        float64: keep float64 values.
    """

    environment: EnvironmentLike
    kwargs: Mapping[str, Any]
    spec: EnvironmentSpec
    policies: tuple[Any, ...]
    noise: Noise
    seed: int
    plan: Plan
    record_infos: tuple[str, ...]
    float64: bool

    @classmethod
    def of_options(cls, env: EnvironmentLike, spec: EnvironmentSpec, options: CollectOptions) -> Job:
        """Make the job that options ask for.

        Args:
            env: makes the environment.
            spec: its description.
            options: the options; their policies are known references.

        Raises:
            UsageError: the options contradict each other or do not fit the environment.
        """
        layout.spec_slots(spec)  # refuses an environment that a file cannot hold
        noise = Noise.parse(options.noise)
        noise.check(spec)
        policies = policies_of(options.policy)
        if not policies:
            raise UsageError("no policy was given")
        if any(isinstance(policy, str) and policy == RANDOM_STATE for policy in policies):
            plan = _plan_of_states(policies, noise, options)
        else:
            plan = _plan_of_episodes(policies, noise, options, spec)
        _check_infos(options.record_infos)
        return cls(
            environment=env,
            kwargs=dict(options.env_kwargs or {}),
            spec=spec,
            policies=policies,
            noise=noise,
            seed=options.seed,
            plan=plan,
            record_infos=tuple(options.record_infos),
            float64=options.float64,
        )

    @property
    def random_states(self) -> bool:
        """True where rows are sampled one by one and not recorded in episodes."""
        return self.policies == (RANDOM_STATE,)

    @property
    def sequential(self) -> bool:
        """True where each shard depends on those before it. Then one process records them in order."""
        return _depend_on_earlier(self.policies, self.noise, self.plan.steps)

    def configuration(self) -> dict[str, Any]:
        """Return everything that decides the content of the columns, as JSON values."""
        import gymnasium

        return {
            "environment": self.spec.id,
            "env_kwargs": dict(self.spec.kwargs),
            "spaces": replace(self.spec, id=None, kwargs={}).to_json(),
            "policy": [describe_reference(policy) for policy in self.policies],
            "noise": str(self.noise),
            "seed": self.seed,
            "steps": self.plan.steps,
            "episodes": self.plan.episodes,
            "lanes": self.plan.lanes,
            "record_infos": list(self.record_infos),
            "float64": self.float64,
            "gymnasium": gymnasium.__version__,
        }


def policies_of(policy: Any) -> tuple[Any, ...]:
    """Return the references of one policy, or of a list of policies that take turns."""
    return tuple(policy) if isinstance(policy, list | tuple) else (policy,)


def _depend_on_earlier(policies: Sequence[Any], noise: Noise, steps: int | None) -> bool:
    """Return True where a shard depends on earlier ones: exploration, or noise that anneals over steps."""
    return any(map(is_exploration, policies)) or (noise.annealed and steps is not None)


def _plan_of_episodes(
    policies: tuple[Any, ...], noise: Noise, options: CollectOptions, spec: EnvironmentSpec
) -> Plan:
    if noise.kind != "none" and all(isinstance(one, str) and one == "random" for one in policies):
        raise UsageError(f"noise {options.noise!r} has no effect on the random policy: leave it out")
    return Plan.of_episodes(
        spec,
        steps=options.steps,
        episodes=options.episodes,
        lanes=options.lanes,
        sequential=_depend_on_earlier(policies, noise, options.steps),
    )


def _plan_of_states(policies: tuple[Any, ...], noise: Noise, options: CollectOptions) -> Plan:
    if len(policies) > 1:
        raise UsageError("random-state records rows, not episodes: it cannot be mixed with other policies")
    if options.steps is None:
        raise UsageError("random-state records rows, not episodes: give --steps N")
    if noise.kind != "none":
        raise UsageError("random-state takes uniform actions: leave out the noise")
    if options.record_infos:
        raise UsageError("random-state records no infos: leave out --record-infos")
    return Plan.of_states(options.steps)


def _check_infos(keys: Sequence[str]) -> None:
    for key in keys:
        if not all(map(layout.is_name, key.split("/"))):
            raise UsageError(f"--record-infos: {key!r} cannot name a column")
        if f"{layout.INFOS}/{key}" == layout.ACTION_LOG_PROBS:
            raise UsageError(f"--record-infos: {key!r} is recorded by itself")
    if {ACTION_MASK, NEXT_ACTION_MASK} <= set(keys):
        raise UsageError(f"--record-infos: {NEXT_ACTION_MASK!r} is recorded with {ACTION_MASK!r}")
    if len(set(keys)) != len(keys):
        raise UsageError("--record-infos: a key is named twice")
