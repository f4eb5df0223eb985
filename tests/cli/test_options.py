"""Options come from the library's config classes: what a command shows is what the library does."""

import inspect
import re
from dataclasses import MISSING, dataclass, fields
from typing import get_args

import pytest
from typer.main import get_command

import vinci_offline
from vinci_offline.cli import convert, select
from vinci_offline.cli.app import app
from vinci_offline.cli.train_options import Learner, Machine, Place
from vinci_offline.curate.selection import Selection
from vinci_offline.envs.options import CollectOptions, EvaluateOptions
from vinci_offline.errors import UsageError
from vinci_offline.keras_setup import BACKENDS
from vinci_offline.options import check_options, option, options_of
from vinci_offline.training.config import TrainingConfig

CONFIGS = {
    "collect": (CollectOptions,),
    "evaluate": (EvaluateOptions,),
    "select": (Selection,),
    "train": (TrainingConfig, Learner, Machine, Place),
}
"""The config classes that declare a command's options."""

FUNCTIONS = {
    "collect": vinci_offline.collect,
    "evaluate": vinci_offline.evaluate,
    "train": vinci_offline.train,
}


def shown_defaults(command):
    return {parameter.name: parameter.default for parameter in get_command(app).commands[command].params}


def config_defaults(config):
    return {
        field.name: field.default if field.default is not MISSING else field.default_factory()
        for field in fields(config)
        if "option" in field.metadata
    }


@pytest.mark.parametrize("command", CONFIGS)
def test_command_shows_defaults_of_config(command):
    shown = shown_defaults(command)
    for config in CONFIGS[command]:
        declared = options_of(config)
        for name, default in config_defaults(config).items():
            read = declared[name].repeat or declared[name].parse is not None
            assert shown[name] == (None if read else default), name


@pytest.mark.parametrize("command", FUNCTIONS)
def test_function_has_defaults_of_config(command):
    parameters = inspect.signature(FUNCTIONS[command]).parameters
    has_keywords = "options" in parameters  # train takes the fields of TrainingConfig as **options
    compared = 0
    for config in CONFIGS[command]:
        if config is Machine or (has_keywords and config is TrainingConfig):
            continue
        for name, default in config_defaults(config).items():
            assert parameters[name].default == default, name
            compared += 1
    assert compared > 5


def test_seeds_default_of_train():
    assert inspect.signature(vinci_offline.train).parameters["seeds"].default == Machine().seeds


def test_choices_are_those_of_the_library():
    from vinci_offline.data.assembly.options import Ends
    from vinci_offline.data.hdf5 import writer

    declared = (
        (CollectOptions, "compress", writer.Compression),
        (select.Output, "compress", writer.Compression),
        (CollectOptions, "frames", writer.FrameStorage),
        (convert.Facts, "ends", Ends),
    )
    for config, name, kind in declared:
        assert options_of(config)[name].choices == get_args(kind)
    assert options_of(Machine)["backend"].choices == BACKENDS


def test_validate_help_names_the_number_of_replayed_rows():
    from vinci_offline.envs.replay_check import ROWS

    (replay,) = [p for p in get_command(app).commands["validate"].params if p.name == "replay"]
    assert re.search(r"\((\d+)\)", replay.help)[1] == str(ROWS)


@dataclass(frozen=True)
class Example:
    kind: str = option("a", "A kind.", choices=("a", "b", "c"))
    count: int | None = option(None, "A count.", low=1)
    share: float = option(0.5, "A share.", low=0, high=1)
    steps: int = option(1, "Steps.", flags=("-n", "--many"), high=1_000)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kind": "d"}, "--kind must be a, b or c, not 'd'"),
        ({"count": 0}, "--count must be at least 1, not 0"),
        ({"share": 1.5}, "--share must be from 0 to 1, not 1.5"),
        ({"share": float("nan")}, "--share must be from 0 to 1, not nan"),
        ({"steps": 1_001}, "--many must be at most 1,000, not 1,001"),
    ],
)
def test_check_options_names_the_option(values, message):
    with pytest.raises(UsageError) as error:
        check_options(Example(**values))
    assert str(error.value) == message


def test_check_options_takes_values_at_the_limits():
    check_options(Example(count=1, share=0.0, steps=1_000))
    check_options(Example(count=None, share=1.0))
