"""The messages of `convert` name its options: its tests read them as a command shows them."""

import pytest

from vinci_offline.calls import command_line


@pytest.fixture(autouse=True)
def _command_line():
    with command_line():
        yield
