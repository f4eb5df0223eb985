"""Signals end a command with one line and 128 plus their number; a second one ends it at once."""

import os
import signal
import subprocess
import sys
import time

import pytest
import typer

from vinci_offline import interrupts
from vinci_offline.cli import signals
from vinci_offline.cli.console import errors_as_exit_codes
from vinci_offline.errors import VinciError
from vinci_offline.interrupts import Interrupted, held, interrupt_flag

ALL = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.fixture(autouse=True)
def none_ignored():
    """Undo `nohup`, under which the tests themselves may run."""
    before = {signum: signal.getsignal(signum) for signum in ALL}
    for signum, handler in before.items():
        if handler == signal.SIG_IGN:
            signal.signal(signum, signal.SIG_DFL)
    yield
    for signum, handler in before.items():
        signal.signal(signum, handler)


@pytest.fixture
def ended(capfd):
    """Return a function that runs a piece of work as a command, and returns its exit code and its lines."""

    def run(work):
        restore = signals.listen(["train", "my data.h5", "-o", "run"])
        try:
            with pytest.raises(typer.Exit) as raised, errors_as_exit_codes():
                work()
        finally:
            restore()
        return raised.value.exit_code, capfd.readouterr().err

    return run


LINE = "interrupted: go on with: vinci-offline train 'my data.h5' -o run --resume\n"


def interrupt_itself(signum):
    os.kill(os.getpid(), signum)
    time.sleep(5)


@pytest.mark.parametrize("signum", ALL)
def test_signal_ends_a_command_in_one_line(ended, signum):
    assert ended(lambda: interrupt_itself(signum)) == (128 + signum, LINE)


def test_interruption_that_comes_out_as_another_error_is_one(ended):
    def work():
        try:
            interrupt_itself(signal.SIGTERM)
        except KeyboardInterrupt:
            raise VinciError("a worker died") from None

    assert ended(work) == (143, LINE)


def test_interruption_in_a_finaliser_is_raised_again(ended):
    class Closing:
        def __del__(self):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.01)

    def work():
        Closing()
        time.sleep(5)

    assert ended(work) == (143, LINE)


def test_earlier_handlers_are_restored():
    before = [signal.getsignal(each) for each in ALL]
    signals.listen([])()
    assert [signal.getsignal(each) for each in ALL] == before


def test_ignored_signals_stay_ignored(monkeypatch):
    earlier = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        restore = signals.listen([])
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        restore()
    finally:
        signal.signal(signal.SIGHUP, earlier)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["validate", "d.h5"], "interrupted"),
        ([], "interrupted"),
        (["train", "--help"], "interrupted"),
        (["collect", "E", "--resume"], "interrupted: go on with: vinci-offline collect E --resume"),
        (["train", "--", "-d.h5"], "interrupted: go on with: vinci-offline train --resume -- -d.h5"),
        (["train", "d", "--overwrite"], "interrupted: start again with: vinci-offline train d --overwrite"),
        (["demo", "--overwrite"], "interrupted: go on with: vinci-offline demo"),
    ],
)  # fmt: skip
def test_line_names_the_command_that_goes_on(words, told):
    assert signals.line(words) == told


def test_line_of_an_overwriting_run_that_has_begun(monkeypatch):
    monkeypatch.setattr(signals._State, "resumable", True)
    told = "interrupted: go on with: vinci-offline train d --resume"
    assert signals.line(["train", "d", "--overwrite"]) == told


def test_flag_takes_the_first_request_and_the_second_raises():
    with interrupt_flag() as flag:
        interrupts.receive(signal.SIGTERM)
        assert flag.is_set()
        with pytest.raises(Interrupted) as raised:
            interrupts.receive(signal.SIGTERM)
    assert raised.value.signum == signal.SIGTERM


def test_flag_leaves_a_users_own_handler():
    def mine(*_):
        pass

    earlier = signal.signal(signal.SIGINT, mine)
    try:
        with interrupt_flag():
            assert signal.getsignal(signal.SIGINT) is mine
    finally:
        signal.signal(signal.SIGINT, earlier)


def test_held_signal_is_raised_at_the_end_of_the_block():
    done = []
    with pytest.raises(Interrupted), held():
        interrupts.receive(signal.SIGTERM)
        done.append(True)
    assert done


CODE = """
import sys, time
from vinci_offline.cli.signals import listen
from vinci_offline.cli.console import errors_as_exit_codes
listen(["validate"])
with errors_as_exit_codes():
    try:
        print("ready", flush=True)
        time.sleep(60)
    finally:
        print("ending", flush=True)
        time.sleep(60)
"""


def test_second_signal_ends_at_once():
    process = subprocess.Popen([sys.executable, "-c", CODE], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGTERM)
    assert process.stdout.readline() == b"ending\n"
    process.send_signal(signal.SIGTERM)  # a scheduler that repeats itself is heard once
    time.sleep(0.3)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=10)
    assert (process.returncode, told) == (130, b"interrupted\n")
