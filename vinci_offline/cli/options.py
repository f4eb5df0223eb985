"""Command-line options built from the config dataclasses of the library."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Sequence
from dataclasses import Field, fields, is_dataclass
from decimal import Decimal
from functools import wraps
from inspect import Parameter
from typing import Annotated, Any, get_args, get_type_hints

import typer

from vinci_offline.cli.completion import completer_of
from vinci_offline.errors import UsageError
from vinci_offline.options import Option, flag_of, options_of

_MOST_DIGITS = 30


def with_options(command: Callable[..., None]) -> Callable[..., None]:
    """Replace each parameter of a config dataclass by one option for each of its fields.

    The command is called with the dataclass made from the options, so that the dataclass alone declares their names,
    types, defaults and help texts.
    """
    declared = list(inspect.signature(command, eval_str=True).parameters.values())
    configs = {
        parameter.name: parameter.annotation for parameter in declared if is_dataclass(parameter.annotation)
    }
    parameters: list[Parameter] = []
    for parameter in declared:
        if parameter.name in configs:
            parameters += options_from(configs[parameter.name])
        else:
            parameters.append(parameter.replace(kind=Parameter.KEYWORD_ONLY))

    @wraps(command)
    def run(**given: Any) -> None:
        made = {name: _make(config, given) for name, config in configs.items()}
        command(
            **{parameter.name: given[parameter.name] for parameter in declared if parameter.name in given},
            **made,
        )

    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # read by Typer
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def given_options(ctx: typer.Context) -> set[str]:
    """Return the names of the options that the command line gives, in Python."""
    sources = {name: ctx.get_parameter_source(name) for name in ctx.params}
    return {name for name, source in sources.items() if source is not None and source.name != "DEFAULT"}


def options_from(config: Any) -> list[Parameter]:
    """Return a Typer parameter for each option of a config dataclass."""
    types, options = get_type_hints(config), options_of(config)
    return [
        _parameter(config, field, types[field.name], options[field.name])
        for field in fields(config)
        if field.name in options
    ]


def _parameter(config: Any, field: Field[Any], kind: Any, option: Option) -> Parameter:
    default: Any = field.default
    if option.repeat:
        kind, default = list[str] | None, None
    elif option.parse is not None:
        kind, default = str | None, None
    elif kind == str | int:
        kind = str
    numbers = {int: (_whole, "INTEGER"), float: (_number, "NUMBER")}
    parser, metavar = numbers.get(next(iter({kind, *get_args(kind)} & {*numbers}), str), (None, None))
    shown = typer.Option(
        *(option.flags or (flag_of(field.name, option),)),
        metavar=option.metavar or "|".join(option.choices) or metavar,
        parser=parser,
        autocompletion=completer_of(config.__name__, field.name, option.choices),
        help=option.help,
        rich_help_panel=option.panel,
    )
    return Parameter(field.name, Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, shown])


def _whole(text: str | int) -> int:
    """Read a whole number; ``1e5`` and ``100_000`` are whole numbers too."""
    try:
        number = Decimal(text)
        if number.adjusted() < _MOST_DIGITS and number == int(number):
            return int(number)
    except (ArithmeticError, ValueError):
        pass  # no number at all, a NaN or an infinity: refused like a fraction
    raise typer.BadParameter(f"{text!r} is not a whole number")


def _number(text: str | float) -> float:
    """Read a number."""
    try:
        return float(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a number") from None


def _make(config: Any, given: dict[str, Any]) -> Any:
    """Take the values of a config out of those given, and make it."""
    values = {}
    for name, option in options_of(config).items():
        value = given.pop(name)
        if (option.repeat and not value) or (option.parse is not None and value is None):
            continue  # not given: the field has its own default
        values[name] = value if option.parse is None else option.parse(value)
    return config(**values)


def words_of(config: Any) -> list[str]:
    """Return the words of the command line that give the values of a config, without those that are defaults."""
    words: list[str] = []
    for name, option in options_of(config).items():
        value, default = getattr(config, name), getattr(type(config), name, None)
        if value == default or value is None:
            continue
        flag = flag_of(name, option)
        if value is True:
            words.append(flag)
        elif option.repeat:
            words += [word for key, each in value.items() for word in (flag, f"{key}={each}")]
        else:
            words += [flag, json.dumps(value) if isinstance(value, dict) else str(value)]
    return words


def key_values(texts: Sequence[str]) -> dict[str, str]:
    """Read ``KEY=VALUE`` texts of ``--set``.

    Raises:
        UsageError: a text has no key or no equals sign.
    """
    found: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise UsageError(f"--set {text!r} is not KEY=VALUE: write for instance --set hidden=64,64")
        found[key.strip()] = value.strip()
    return found
