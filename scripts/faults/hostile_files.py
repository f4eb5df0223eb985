"""Read hostile files of every format: bombs, lattices, lies, and run directories that were tampered with.

    python scripts/faults/hostile_files.py
    python scripts/faults/hostile_files.py hdf5 models/zip_bomb

Each file must be refused in one line or read right, within 20 seconds and 1 GiB beyond the imports. Nothing that a file
names is imported, called or unpickled, and nothing is written outside the folder of the attack. Each attack is a
function in scripts/faults/hostile/; arguments choose modules or single attacks. Each fault is printed, and the exit
code is 1.
"""

from __future__ import annotations

import argparse
import importlib
import tempfile
import warnings
from collections import Counter
from pathlib import Path

from hostile.frame import ATTACKS
from hostile.guard import Result, run_attack

IMPORTS = (
    "h5py",
    "pandas",
    "pyarrow.parquet",
    "pyarrow.feather",
    "pyarrow.csv",
    "pyarrow.json",
    "pyarrow.dataset",
    "vinci_offline.cli.app",
    "vinci_offline.convert.registry",
    "vinci_offline.convert.conversion",
    "vinci_offline.quality.statistics",
    "vinci_offline.quality.repair",
    "vinci_offline.envs.evaluation_job",
    "vinci_offline.training.run",
    "vinci_offline.plots.overview",
    "typer.testing",
    "onnxruntime",
)
"""What the readings import, so that it does not count."""


def main() -> None:
    options = parse()
    for path in sorted((Path(__file__).parent / "hostile").glob("*.py")):
        importlib.import_module(f"hostile.{path.stem}")
    chosen = [
        name
        for name in ATTACKS
        if not options.attacks or {name, name.partition("/")[0]} & set(options.attacks)
    ]
    if options.list:
        print("\n".join(chosen))
        return
    import_all()
    results = {name: attacked(name, options.seconds, verbose=options.verbose) for name in chosen}
    summarise(results)
    if not results or not all(result.fine for result in results.values()):
        raise SystemExit(1)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("attacks", nargs="*", help="modules or names; all by default")
    parser.add_argument("--seconds", type=float, default=20.0, help="limit on the time of one reading")
    parser.add_argument("--list", action="store_true", help="list the names only")
    parser.add_argument("--verbose", action="store_true", help="print the answer to each attack")
    return parser.parse_args()


def import_all() -> None:
    """Import once what the readings use; each reading is a fork of this process."""
    from vinci_offline.keras_setup import import_keras

    import_keras()
    for name in IMPORTS:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            if str(error.name).startswith("vinci_offline"):
                raise
    warnings.simplefilter("ignore")


def attacked(name: str, seconds: float, *, verbose: bool) -> Result:
    with tempfile.TemporaryDirectory(prefix="hostile-") as root:
        result = run_attack(ATTACKS[name], Path(root), seconds)
    if verbose or not result.fine:
        print(
            f"{name}: {result.outcome} ({result.seconds:.1f} s, {result.memory / 2**20:,.0f} MiB): {result.what}",
            flush=True,
        )
    return result


def summarise(results: dict[str, Result]) -> None:
    outcomes = Counter(result.outcome for result in results.values())
    kinds = Counter(name.partition("/")[0] for name in results)
    print(
        f"{len(results)} attacks: " + ", ".join(f"{count} {kind}" for kind, count in outcomes.most_common())
    )
    print("formats: " + ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())))
    if results:
        slowest = max(results, key=lambda name: results[name].seconds)
        largest = max(results, key=lambda name: results[name].memory)
        print(
            f"the longest took {results[slowest].seconds:.1f} s ({slowest}), the largest "
            f"{results[largest].memory / 2**20:,.0f} MiB beyond the imports ({largest})"
        )


if __name__ == "__main__":
    main()
