"""Settings of all tests: property tests have no deadline and fixed examples in CI, and Ctrl-C interrupts.

At the end of a run one line names the missing packages of other tools, so that nobody takes a skip for a pass.
"""

import os
import re
import signal
from pathlib import Path

from hypothesis import settings

# JAX compiles the same loops in many tests and in every run of the suite. Each worker keeps its compiled programs in a
# folder of its own, since JAX may read a file that another process is writing. Deleting the folder costs only time.
if os.environ.get("KERAS_BACKEND") == "jax":
    cache = Path(__file__).parents[1] / "build" / "jax" / os.environ.get("PYTEST_XDIST_WORKER", "main")
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(cache))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")

settings.register_profile("default", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")

# A shell starts background jobs with SIGINT ignored, and the processes of the Ctrl-C tests would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_terminal_summary(terminalreporter):
    """Name the packages whose tests were skipped."""
    reasons = [str(report.longrepr) for report in terminalreporter.stats.get("skipped", [])]
    missing = sorted({name for reason in reasons for name in re.findall(r"could not import '(\w+)", reason)})
    if missing:
        terminalreporter.write_line(
            f"not tested, because these packages are missing: {', '.join(missing)} (scripts/test-peers has them)",
            yellow=True,
        )
