"""The spec of a sweep: what a SPEC file may say, checked before a backend is loaded."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from vinci_offline.errors import UsageError
from vinci_offline.inputs import meant_path
from vinci_offline.options import options_of
from vinci_offline.sweeps import reading
from vinci_offline.sweeps.cell import Cell, name_of, short_names, without_doubles
from vinci_offline.sweeps.values import Range, Tried, draw
from vinci_offline.text import did_you_mean
from vinci_offline.training.config import TrainingConfig

_MOST_CELLS = 10_000
_MOST_BYTES = 2**20
_KINDS = (".yaml", ".yml", ".toml")


class Draw(NamedTuple):
    """One draw of a sampler that learns.

    Attributes:
        agent: the agent.
        dataset: the dataset, as the spec names it.
        values: the value of each name that `SweepSpec.varied` has.
    """

    agent: str
    dataset: str
    values: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return the draw's object in ``sweep.json``."""
        return {**self._asdict(), "values": {key: _plain(value) for key, value in self.values.items()}}


@dataclass(frozen=True)
class SweepSpec:
    """What a sweep trains: every agent on every dataset, with every seed and every choice of settings.

    Attributes:
        agents: names of agents, or ``file.py:Class``.
        datasets: files, or names of shipped datasets.
        seeds: the seeds.
        settings: values of hyperparameters to try, by agent and name.
        options: values of options of `train` to try, by their names in Python.
        samples: number of draws of settings; None tries all combinations.
        sampler: what draws them: ``random``, or ``tpe``, which learns from the returns of earlier draws.
        round_size: number of draws that are made at the same time, where they learn.
        sample_seed: seed of the draws.
        env: the environment of evaluations; None takes the dataset's.
        env_kwargs: its arguments.
        networks: a Python file of the user's networks.
    """

    agents: tuple[str, ...]
    datasets: tuple[str, ...]
    seeds: tuple[int, ...] = (0,)
    settings: Mapping[str, Mapping[str, Tried]] = field(default_factory=dict)
    options: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    samples: int | None = None
    sampler: str = "random"
    round_size: int = 4
    sample_seed: int = 0
    env: str | None = None
    env_kwargs: Mapping[str, Any] | None = None
    networks: str | None = None

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> SweepSpec:
        """Read the content of a SPEC file.

        Args:
            content: ``agents``, ``datasets``, ``seeds``, ``set``, ``samples``, ``sampler``, ``round``,
                ``sample_seed``, ``env``, ``env_kwargs``, ``networks``, and options of `train`.

        Raises:
            UsageError: a key is unknown, or a value is not valid.
        """
        given = {str(key).replace("-", "_"): value for key, value in content.items()}
        declared = options_of(TrainingConfig)
        known = [*_OWN, *(name for name in declared if name != "seed")]
        for key in given:
            if key not in known:
                raise UsageError(
                    f"the spec has no key {key!r}; it has {', '.join(known)}{_advice(key, known)}"
                )
        for key in ("agents", "datasets"):
            if key not in given:
                raise UsageError(f"the spec needs {key}: write for instance {reading.EXAMPLES[key]}")
        agents = reading.texts("agents", given["agents"])
        found = cls(
            agents,
            reading.texts("datasets", given["datasets"]),
            reading.seeds(given.get("seeds", 1)),
            reading.settings(agents, given.get("set") or {}),
            {key: reading.option_values(key, value) for key, value in given.items() if key in declared},
            reading.whole_or_none("samples", given.get("samples"), low=1),
            reading.sampler(given.get("sampler", "random")),
            reading.whole_or_none("round", given.get("round"), low=1) or cls.round_size,
            reading.whole_or_none("sample_seed", given.get("sample_seed", 0), low=0) or 0,
            reading.text_or_none("env", given.get("env")),
            reading.mapping_or_none("env_kwargs", given.get("env_kwargs")),
            reading.text_or_none("networks", given.get("networks")),
        )
        found._check_ranges()
        found._check_sampler("round" in given)
        return found

    @property
    def learns(self) -> bool:
        """True where the sampler learns from earlier draws."""
        return self.sampler != "random"

    def varied(self, agent: str) -> dict[str, Tried]:
        """Return the settings and options of an agent that have several values. Options begin with ``train.``."""
        options = {f"{_OPTION}{key}": values for key, values in self.options.items()}
        found = {**self.settings.get(agent, {}), **options}
        return {key: tried for key, tried in found.items() if isinstance(tried, Range) or len(tried) > 1}

    def at_random(self, tried: Mapping[str, Tried], number: int) -> dict[str, Any]:
        """Return the values that random search draws."""
        return {
            key: draw(each, key.removeprefix(_OPTION), number, self.sample_seed)
            for key, each in tried.items()
        }

    def cells(self, draws: Sequence[Draw] = ()) -> tuple[Cell, ...]:
        """Return every cell, seeds innermost.

        Args:
            draws: the draws of a sampler that learns; other samplers need none.

        Raises:
            UsageError: a setting or an option is not valid, or there are too many cells.
        """
        from vinci_offline.agents.registry import agent_class

        names, found = short_names(self.datasets), []
        several = {key for key, values in self.options.items() if len(values) > 1}
        for agent in self.agents:
            cls = agent_class(agent)
            for chosen, given, datasets in self._choices(agent, draws):
                made = cls.from_settings(chosen)  # checks them
                settings = {key: _plain(getattr(made, key)) for key in chosen}
                options = {"steps": TrainingConfig.steps, **given}
                TrainingConfig(**options)  # checks it
                shown = {key: value for key, value in options.items() if key in several}
                for dataset, seed in itertools.product(datasets, self.seeds):
                    name = name_of(agent, names[dataset], seed, settings, shown)
                    found.append(Cell(name, agent, dataset, seed, settings, options))
                    if len(found) > _MOST_CELLS:
                        raise UsageError(
                            f"the sweep has more than {_MOST_CELLS:,} cells: try fewer values, or draw some with "
                            "samples: N"
                        )
        return without_doubles(found)

    def to_json(self) -> dict[str, Any]:
        """Return the content that `of` reads."""
        settings = {
            agent: {key: t.to_json() if isinstance(t, Range) else list(t) for key, t in tried.items()}
            for agent, tried in self.settings.items()
        }
        content: dict[str, Any] = {
            "agents": list(self.agents),
            "datasets": list(self.datasets),
            "seeds": list(self.seeds),
            "set": {agent: tried for agent, tried in settings.items() if tried},
            **{key: list(values) for key, values in self.options.items()},
        }
        others = {name: getattr(self, name) for name in ("samples", "env", "env_kwargs", "networks")}
        others |= {"sample_seed": self.sample_seed} if self.samples else {}
        others |= {"sampler": self.sampler, "round": self.round_size} if self.learns else {}
        return content | {name: value for name, value in others.items() if value is not None}

    def _choices(
        self, agent: str, draws: Sequence[Draw]
    ) -> Iterator[tuple[dict[str, Any], dict[str, Any], Sequence[str]]]:
        """Yield each choice of settings and options for an agent, and the datasets on which it is tried."""
        settings, options = self.settings.get(agent, {}), self.options
        if self.samples is None:
            lists: dict[str, Sequence[Any]] = {k: t for k, t in settings.items() if not isinstance(t, Range)}
            for values in itertools.product(*lists.values(), *options.values()):
                yield (
                    dict(zip(lists, values, strict=False)),
                    dict(zip(options, values[len(lists) :], strict=True)),
                    self.datasets,
                )
            return
        varied = self.varied(agent)
        for drawn, datasets in self._drawn(agent, varied, draws):
            yield (
                {k: drawn[k] if k in varied else _only(t) for k, t in settings.items()},
                {k: drawn[o] if (o := f"{_OPTION}{k}") in varied else _only(t) for k, t in options.items()},
                datasets,
            )

    def _drawn(
        self, agent: str, varied: Mapping[str, Tried], draws: Sequence[Draw]
    ) -> Iterator[tuple[Mapping[str, Any], Sequence[str]]]:
        if self.learns:
            own = (each for each in draws if each.agent == agent and each.dataset in self.datasets)
            yield from ((each.values, [each.dataset]) for each in own)
        else:
            yield from ((self.at_random(varied, n), self.datasets) for n in range(self.samples or 0))

    def _check_ranges(self) -> None:
        ranges = [key for tried in self.settings.values() for key, t in tried.items() if isinstance(t, Range)]
        if ranges and self.samples is None:
            raise UsageError(
                f"set: {ranges[0]} is a range: say how many draws to try, as samples: 20, or list its values"
            )

    def _check_sampler(self, has_round: bool) -> None:
        """Refuse keys of the sampler that do not fit each other."""
        name = self.sampler
        if has_round and not self.learns:
            raise UsageError("round: belongs to sampler: tpe, which draws in rounds")
        if not self.learns:
            return
        if self.samples is None:
            raise UsageError(f"sampler: {name} draws settings: say how many to try, as samples: 20")
        if not self.options.get("eval_every") or None in self.options["eval_every"]:
            raise UsageError(
                f"sampler: {name} learns from returns: say how often to evaluate, as eval_every: 10_000 "
                "(the last evaluation counts)"
            )
        if len(self.options.get("steps", ())) > 1:
            raise UsageError(f"sampler: {name} compares returns after as many steps: give steps one value")
        if not any(map(self.varied, self.agents)):
            raise UsageError(
                f"sampler: {name} has nothing to draw: give a setting a range, or several values"
            )


_OPTION = "train."
_OWN = (
    *("agents", "datasets", "seeds", "set", "samples", "sampler", "round", "sample_seed"),
    *("env", "env_kwargs", "networks"),
)
_MEANT = {"agent": "agents", "dataset": "datasets", "data": "datasets", "seed": "seeds", "settings": "set"}


def read_spec(source: str | Path | Mapping[str, Any] | SweepSpec) -> SweepSpec:
    """Read a spec: a file, its content, or a spec.

    Raises:
        UsageError: there is no such file, or it says something that is not valid.
    """
    if isinstance(source, SweepSpec):
        return source
    if isinstance(source, Mapping):
        return SweepSpec.of(source)
    path = Path(source)
    if not path.is_file():
        raise UsageError(f"{path} does not exist: give a SPEC.yaml or SPEC.toml{meant_path(path)}")
    if path.suffix.lower() not in _KINDS:
        raise UsageError(f"{path}: a spec is a file {', '.join(_KINDS[:-1])} or {_KINDS[-1]}")
    content = _parsed(path)
    if not isinstance(content, Mapping):
        raise UsageError(f"{path} holds no keys: write for instance {reading.EXAMPLES['agents']}")
    try:
        return SweepSpec.of(content)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error


def _parsed(path: Path) -> Any:
    if path.stat().st_size > _MOST_BYTES:
        raise UsageError(f"{path} has more than {_MOST_BYTES:,} bytes: that is no spec")
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix.lower() == ".toml":
            import tomllib

            return tomllib.loads(text)
        import yaml

        return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - both are safe
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
    except Exception as error:
        if type(error).__module__.partition(".")[0] != "yaml":
            raise
        raise UsageError(f"{path} cannot be read: {' '.join(str(error).split())}") from error


def _advice(key: str, known: Sequence[str]) -> str:
    if key in _MEANT:
        return f"; did you mean {_MEANT[key]!r}?"
    return did_you_mean(key, known) or "; hyperparameters of agents stand under set"


def _only(tried: Tried) -> Any:
    assert not isinstance(tried, Range)
    return tried[0]


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
