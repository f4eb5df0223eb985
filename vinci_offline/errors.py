"""Errors for users: each message says what is wrong, where, and what to do next."""


class VinciError(Exception):
    """Error that ends the work; base class of all others.

    Attributes:
        exit_code: exit code of the command line.
    """

    exit_code = 1


class VinciWarning(UserWarning):
    """Warning about something that needs a look; the work goes on."""


class UsageError(VinciError):
    """Invalid request: an unknown name, a bad option, an output that exists."""

    exit_code = 2


class DatasetError(VinciError):
    """Dataset file that is missing, damaged, or not a transition dataset."""


class SpecError(VinciError):
    """Mismatch of spaces between a dataset and an environment, a network or an agent."""
