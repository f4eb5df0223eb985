"""The command line's entry, also of ``python -m vinci_offline``: Ctrl-C is handled before anything else is imported."""

import os
import signal
import sys


def _too_early(signum: int, _frame: object) -> None:
    os.write(2, b"interrupted\n")
    os._exit(128 + signum)


def main() -> None:
    """Run the command line."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _too_early)
    from vinci_offline.cli.signals import listen

    listen(sys.argv[1:])
    from vinci_offline.cli.app import main as run

    run()


if __name__ == "__main__":
    main()
