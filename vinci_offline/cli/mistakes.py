"""Mistakes in the words of a command line: an option or command that does not exist, a missing or unreadable value.

Typer shows each in a box of six lines. Here each is one line, with the nearest right name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import typer
from typer.core import TyperGroup

from vinci_offline.cli.console import tell
from vinci_offline.text import did_you_mean

# Typer has exported neither its own copy of Click's class nor Click's.
_Mistake = cast("type[Exception]", typer.BadParameter.__mro__[1])
_WORDS = "vinci_offline.words"


class Commands(TyperGroup):
    """Commands whose mistakes are answered in one line."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """Read the words before a command's name."""
        words = list(args[1] if len(args) > 1 else kwargs.get("args", ()))
        if not words:
            return super().make_context(*args, **kwargs)  # shows the help
        with _one_line(words):
            context = super().make_context(*args, **kwargs)
        context.meta[_WORDS] = words
        return context

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command."""
        if args and self.get_command(ctx, args[0]) is None and not ctx.resilient_parsing:
            near = did_you_mean(args[0], self.commands) or f"; the commands are {', '.join(self.commands)}"
            tell(f"error: there is no command {args[0]!r}{near}")
            raise typer.Exit(2)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Read the other words, and run the command."""
        with _one_line(ctx.meta.get(_WORDS, ())):
            return super().invoke(ctx)


@contextmanager
def _one_line(words: Sequence[str]) -> Iterator[None]:
    try:
        yield
    except _Mistake as error:
        tell(f"error: {_described(error, words)}")
        raise typer.Exit(2) from None


def _described(error: Any, words: Sequence[str]) -> str:
    """Return what is wrong with the words, and what is right."""
    context = error.ctx
    parameter: Any = getattr(error, "param", None)
    command = [] if not words or words[0].startswith("-") else words[:1]
    name = " ".join(["vinci-offline", *command]) if context is None else context.command_path
    more = f"; see {name} --help"
    if type(error).__name__ == "NoSuchOption":
        return _unknown_option(error.option_name, context, words) or f"no option {error.option_name}{more}"
    if type(error).__name__ == "MissingParameter" and parameter is not None:
        flag = parameter.opts[0] if parameter.param_type_name == "option" else ""
        return f"{name} needs {' '.join(filter(None, (flag, parameter.metavar or parameter.name)))}{more}"
    if parameter is not None and error.message:
        flag = parameter.opts[-1] if parameter.param_type_name == "option" else parameter.metavar
        return f"{flag}: {error.message.partition(', unable to parse')[0].rstrip('.')}"
    text = error.format_message().rstrip(".")
    return f"{text[:1].lower()}{text[1:]}{more}"


def _unknown_option(option: str, context: Any, words: Sequence[str]) -> str | None:
    """Return what is wrong with an option that does not exist; None where nothing is like it."""
    if not option.startswith("--"):
        # ``-steps`` is read as ``-s``.
        whole = next(
            (word for word in words if word.startswith(option) and not word.startswith("--")), option
        )
        if f"-{whole}" in _flags(context):
            return f"{whole} takes two dashes: -{whole}"
        option = f"-{whole}" if len(whole) > len(option) else option
    option = option.partition("=")[0]
    near = did_you_mean(option, _flags(context))
    commands = {} if context is None or context.parent is None else context.parent.command.commands
    having = [name for name, command in commands.items() if option in _flags_of(command)]
    if not (near or having):
        return None
    elsewhere = f", which is one of {', '.join(having)}" if having else ""
    return f"{context.command_path} has no option {option}{elsewhere}{near}"


def _flags(context: Any) -> list[str]:
    return [] if context is None else [*_flags_of(context.command), "--help"]


def _flags_of(command: Any) -> Iterable[str]:
    return [flag for parameter in command.params for flag in parameter.opts if flag.startswith("--")]
