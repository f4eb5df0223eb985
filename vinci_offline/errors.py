"""The errors a user can meet; every message says what is wrong, where, and what to do next."""


class VinciError(Exception):
    """The work cannot be done.

    Attributes:
        exit_code: what the command line exits with.
    """

    exit_code = 1


class VinciWarning(UserWarning):
    """The work goes on, and something in it needs a look."""


class UsageError(VinciError):
    """What was asked for is not valid: an unknown name, a bad option, an output that exists."""

    exit_code = 2


class DatasetError(VinciError):
    """A dataset file is missing, damaged, or not a transition dataset."""


class SpecError(VinciError):
    """Spaces do not fit: a dataset against an environment, a network or an agent."""
