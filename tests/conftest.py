"""What holds for every test: property tests have no clock, in CI always the same examples, and Ctrl-C is heard."""

import os
import signal

from hypothesis import settings

settings.register_profile("default", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")

# A suite that a shell runs in the background starts with SIGINT ignored, and so would what its Ctrl-C tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
