"""Make the pictures of the docs: help, tables, plots of `info` and `estimate`, a report, an animation, TensorBoard's
pages, a notebook.

    python scripts/usability/pictures.py
    python scripts/usability/pictures.py --only help --package ../older-checkout -o before

Texts are as on a terminal of 80 columns. --package takes another checkout of this package, so that pictures from before
and after a change lie side by side. The report and TensorBoard's page need a browser without a window, such as Debian's
package chromium-headless-shell; without one their pictures are left as they are, and the script says so. It trains for
a minute or two.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).resolve().parents[2]
COLUMNS = 80
BROWSERS = ("chromium-headless-shell", "chromium", "google-chrome", "chrome-headless-shell")
PATIENCE = 600

PICTURES = ("help", "plot", "estimate", "notebook", "report", "evolution", "tensorboard")

PAGES = {
    "tensorboard": "timeseries",
    "tensorboard-charts": "custom_scalars",
    "tensorboard-histograms": "histograms",
    "tensorboard-images": "images",
    "tensorboard-hparams": "hparams",
}
"""Tabs of TensorBoard by the names of their pictures."""

TEXTS = {
    "help": ["--help"],
    "agents": ["agents"],
    "datasets": ["datasets"],
}

CELLS = (
    'import vinci_offline as vinci\n\ndata = vinci.Dataset.open("pendulum-mixed")\ndata',
    'result = vinci.train(data, "bc", steps=1_000, output="runs/first", progress=False)\nresult',
    "vinci.evaluate(result.run, episodes=10)",
    'data.episodes.groupby(data.episodes.index // 100)["return"].describe().round(1)',
)
"""Cells of a notebook; each ends in the expression that it shows."""

SWEEP = """agents: [td3bc, iql]
datasets: [mountaincar-mixed]
seeds: 3
steps: 1_000
eval_every: 200
log_every: 50
set: {hidden: [64, 64]}
"""

NOTEBOOK = """
import ast, sys
names = {}
for number, cell in enumerate(sys.argv[1:], 1):
    body = ast.parse(cell)
    last = ast.Expression(body.body.pop().value)
    exec(compile(body, "cell", "exec"), names)
    shown = eval(compile(last, "cell", "eval"), names)
    print(f"In [{number}]:  " + cell.replace("\\n", "\\n         "))
    print(f"Out[{number}]:  " + repr(shown).replace("\\n", "\\n         ") + "\\n")
"""

SVG = """<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: monospace; font-size: {char_height}px; line-height: {line_height}px; }}
{styles}
</style>
<defs><clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/></clipPath>{lines}</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}<g class="{unique_id}-matrix">{matrix}</g></g>
</svg>
"""
"""Frame of a picture of text: rich's own, without a font from elsewhere."""


class Studio:
    """Maker of pictures of one checkout of the package.

    Args:
        package: the checkout.
        output: folder of the pictures.
        folder: folder in which the commands run.
    """

    def __init__(self, package: Path, output: Path, folder: Path) -> None:
        self.package, self.output, self.folder = package, output, folder
        self.env = {
            **os.environ,
            "PYTHONPATH": str(package),
            "COLUMNS": str(COLUMNS),
            "FORCE_COLOR": "1",
            "TF_CPP_MIN_LOG_LEVEL": "3",
        }

    def command(self, *words: str) -> str:
        """Run a command of the package, and return its standard output as on a terminal."""
        return self.python(
            "import sys; sys.argv[0] = 'vinci-offline'; from vinci_offline.cli.app import main; main()",
            *words,
        )

    def python(self, code: str, *words: str) -> str:
        """Run Python code with the package, and return its standard output."""
        return subprocess.run(
            [sys.executable, "-c", code, *words],
            cwd=self.folder,
            env=self.env,
            stdout=subprocess.PIPE,
            text=True,
            timeout=PATIENCE,
            check=True,
        ).stdout

    def text(self, name: str, title: str, shown: str, width: int = COLUMNS) -> None:
        """Write a picture of a text."""
        with Path(os.devnull).open("w") as nowhere:
            console = Console(record=True, width=width, file=nowhere, force_terminal=True)
            # A place of this machine would differ from the reader's.
            told = shown.replace(str(self.package), "/home/me/vinci-offline").rstrip("\n")
            console.print(Text.from_ansi(told), overflow="fold")
        svg = console.export_svg(title=title, code_format=SVG, unique_id=name)
        self.path(f"{name}.svg").write_text(svg, encoding="utf-8")

    def path(self, name: str) -> Path:
        """Return the path of a picture, and say that it is made."""
        print(self.output / name, flush=True)
        return self.output / name

    def help(self) -> None:
        """Picture help and lists."""
        for name, words in TEXTS.items():
            self.text(name, f"vinci-offline {' '.join(words)}", self.command(*words))

    def plot(self) -> None:
        """Picture a dataset, as `info --plot` does."""
        self.command("info", "pendulum-mixed", "--plot", str(self.path("info.png")), "--overwrite")

    def estimate(self) -> None:
        """Picture what episodes of one policy tell of another, as `estimate --plot` does."""
        for name, steps in (("short", "150"), ("long", "450")):
            self.command(
                "train", "cartpole-mixed", "--agent", "bc", "--steps", steps, "--set", "hidden=64,64",
                "-o", f"runs/{name}",
            )  # fmt: skip
        self.command(
            "collect", "CartPole-v1", "--policy", "runs/short", "--noise", "sample", "--episodes", "300",
            "--env-kwargs", '{"max_episode_steps": 60}', "-o", "short.h5",
        )  # fmt: skip
        self.command(
            "estimate", "runs/long", "short.h5", "--stochastic", "--plot", str(self.path("estimate.png")), "--overwrite"
        )  # fmt: skip

    def notebook(self) -> None:
        """Picture cells of a notebook as text: code, and what the last expression shows."""
        self.text("notebook", "notebook", self.python(NOTEBOOK, *CELLS), width=110)

    def report(self) -> None:
        """Picture the page on a sweep of two agents and three seeds."""
        browser = next(filter(None, map(shutil.which, BROWSERS)), None)
        if browser is None:
            print(f"no picture of a report: there is none of {', '.join(BROWSERS)}")
            return
        (self.folder / "spec.yaml").write_text(SWEEP, encoding="utf-8")
        self.command("sweep", "spec.yaml", "-o", "first")
        self.command("report", "first", "-o", "first.html")
        take(browser, (self.folder / "first.html").as_uri(), self.path("report.png"), "1200,1000")

    def evolution(self) -> None:
        """Animate a run: the picture that README opens with, by the commands there."""
        readme = (self.package / "README.md").read_text(encoding="utf-8").replace("\\\n", " ")
        lines = [line for line in readme.splitlines() if line.startswith("$ vinci-offline ")]
        made = next(place for place, line in enumerate(lines) if line.endswith("-o evolution.gif"))
        for line in lines[made - 1 : made + 1]:
            self.command(*shlex.split(line)[2:])
        shutil.copyfile(self.folder / "evolution.gif", self.path("evolution.gif"))

    def tensorboard(self) -> None:
        """Picture pages of TensorBoard, of two agents and two seeds."""
        browser = next(filter(None, map(shutil.which, BROWSERS)), None)
        if browser is None:
            print(f"no picture of TensorBoard: there is none of {', '.join(BROWSERS)}")
            return
        for agent, seed in (("bc", 0), ("td3bc", 0), ("td3bc", 1)):
            self.command(
                "train", "mountaincar-mixed", "--agent", agent, "--steps", "1000", "--eval-every", "200",
                "--log-every", "100", "--set", "hidden=64,64", "--seed", str(seed), "-o", f"runs/{agent}-{seed}",
            )  # fmt: skip
        with tempfile.TemporaryFile("w+") as told:
            server = subprocess.Popen(
                [str(Path(sys.executable).with_name("tensorboard")), "--logdir", "runs", "--port", "0"],
                cwd=self.folder,
                env=self.env,
                stdout=told,
                stderr=told,
            )
            try:
                address = served(told)
                for name, page in PAGES.items():
                    take(browser, f"{address}#{page}", self.path(f"{name}.png"))
            finally:
                server.terminate()
                server.wait()


def served(told: object) -> str:
    """Return the address that a server says in a file."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        told.seek(0)  # type: ignore[attr-defined]
        found = [word for word in told.read().split() if word.startswith("http://")]  # type: ignore[attr-defined]
        if found:
            return str(found[0])
        time.sleep(0.5)
    raise TimeoutError("TensorBoard does not say its address")


def take(browser: str, address: str, path: Path, size: str = "1600,1000") -> None:
    """Take a picture of a page, once its charts are drawn."""
    subprocess.run(
        [
            browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--window-size={size}",
            "--virtual-time-budget=120000", f"--screenshot={path}", address,
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=PATIENCE,
        check=True,
    )  # fmt: skip


def main() -> None:
    """Make the pictures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "docs" / "pictures")
    parser.add_argument("--package", type=Path, default=ROOT, help="checkout of the package")
    parser.add_argument("--only", choices=PICTURES, action="append")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="pictures ") as folder:
        studio = Studio(options.package.resolve(), options.output.resolve(), Path(folder))
        for name in options.only or PICTURES:
            getattr(studio, name)()


if __name__ == "__main__":
    main()
