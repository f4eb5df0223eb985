"""Errors for users: each message says what is wrong, where, and what to do next."""


class VinciError(Exception):
    """Error that ends the work; base class of all others.

    Attributes:
        exit_code: exit code of the command line.
    """

    exit_code = 1


class VinciWarning(UserWarning):
    """Warning about something that needs a look; the work goes on."""


class ResumableError(VinciError):
    """Error that ends a run after its state was saved: ``--resume`` goes on.

    Args:
        reason: what is wrong and where; the message adds what to do.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"{reason}: go on with --resume")
        self.reason = reason

    def __reduce__(self) -> tuple[type["ResumableError"], tuple[str]]:
        return type(self), (self.reason,)


class UsageError(VinciError):
    """Invalid request: an unknown name, a bad option, an output that exists."""

    exit_code = 2


class DatasetError(VinciError):
    """Dataset file that is missing, damaged, or not a transition dataset."""


class SpecError(VinciError):
    """Mismatch of spaces between a dataset and an environment, a network or an agent."""
