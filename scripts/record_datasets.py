"""Make the shipped datasets: train policies from random data and record them.

    python scripts/record_datasets.py [pendulum-mixed] [mountaincar-mixed] [cartpole-mixed] [--work DIR]

Each recipe records random data, trains policies from it, and records these with exploration noise. The parts are
concatenated to ``datasets/NAME.h5``; ``datasets/NAME.md`` is its card.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from vinci_offline import Dataset, collect, evaluate, train
from vinci_offline.quality.statistics import summarize

DATASETS = Path(__file__).resolve().parent.parent / "datasets"
SMALL = {"hidden": (64, 64)}


@dataclass(frozen=True)
class Part:
    """Share of a dataset that one behaviour policy records."""

    recorder: str
    policy: str | Path
    noise: str
    steps: int


@dataclass(frozen=True)
class Recipe:
    """Recipe of a dataset: its environment, the training of its policies, and their shares."""

    env: str
    title: str
    story: str

    def parts(self, work: Path) -> list[Part]:
        """Train the policies under ``work`` and return the shares."""
        raise NotImplementedError


class Pendulum(Recipe):
    """Pendulum: DDPG learns the swing-up from uniformly random actions alone."""

    def parts(self, work: Path) -> list[Part]:
        practice = collect(self.env, work / "practice.h5", steps=20_000, seed=100, overwrite=True)
        medium, good = (learn(practice, "ddpg", work / f"ddpg-{n}", n) for n in (2_500, 10_000))
        return [
            Part("uniformly random actions", "random", "none", 20_000),
            Part("DDPG after 2,500 steps, Gaussian noise 0.5", medium, "gaussian:0.5", 20_000),
            Part("DDPG after 10,000 steps, Gaussian noise 0.1", good, "gaussian:0.1", 20_000),
        ]


class MountainCar(Recipe):
    """Mountain car: random actions never reach the flag, so DDPG learns from random states."""

    def parts(self, work: Path) -> list[Part]:
        practice = collect(
            self.env, work / "practice.h5", steps=30_000, seed=100, policy="random-state", overwrite=True
        )
        good = learn(practice, "ddpg", work / "ddpg-5000", 5_000)
        return [
            Part("uniformly random actions", "random", "none", 20_000),
            Part("DDPG after 5,000 steps, Ornstein-Uhlenbeck noise 0.15:0.9", good, "ou:0.15:0.9", 20_000),
            Part("DDPG after 5,000 steps, Gaussian noise 0.3", good, "gaussian:0.3", 20_000),
        ]


class CartPole(Recipe):
    """Cart and pole: DQN learns to balance from uniformly random actions; random actions make it fall."""

    def parts(self, work: Path) -> list[Part]:
        practice = collect(self.env, work / "practice.h5", steps=50_000, seed=100, overwrite=True)
        good = learn(practice, "dqn", work / "dqn-2000", 2_000)
        return [
            Part("uniformly random actions", "random", "none", 15_000),
            Part("DQN after 2,000 steps, every other action random", good, "epsilon:0.5", 15_000),
            Part("DQN after 2,000 steps, a random action in ten", good, "epsilon:0.1", 15_000),
        ]


RECIPES: dict[str, Recipe] = {
    "pendulum-mixed": Pendulum(
        "Pendulum-v1",
        "Pendulum swing-up",
        "DDPG was trained on 20,000 transitions of uniformly random actions.",
    ),
    "mountaincar-mixed": MountainCar(
        "MountainCarContinuous-v0",
        "Continuous mountain car",
        "DDPG was trained on 30,000 transitions from uniformly random states (`--policy random-state`), since random "
        "actions from the start state never reach the flag.",
    ),
    "cartpole-mixed": CartPole(
        "CartPole-v1",
        "Cart and pole (Discrete actions)",
        "DQN was trained on 50,000 transitions of uniformly random actions.",
    ),
}


def learn(data: Dataset | list[Dataset], agent: str, run: Path, steps: int) -> Path:
    """Train a policy and print its mean return."""
    train(data, agent, output=run, settings=SMALL, steps=steps, overwrite=True, progress=False)
    print(f"  {run.name}: {evaluate(run, episodes=50).return_mean:.1f}", flush=True)
    return run


def record(name: str, recipe: Recipe, work: Path) -> None:
    """Make ``datasets/NAME.h5`` and its card."""
    print(name, flush=True)
    work.mkdir(parents=True, exist_ok=True)
    parts = recipe.parts(work)
    recorded = [
        collect(
            recipe.env, work / f"part-{i}.h5", steps=part.steps, policy=str(part.policy), noise=part.noise, seed=i,
            overwrite=True,
        )
        for i, part in enumerate(parts)
    ]  # fmt: skip
    path = DATASETS / f"{name}.h5"
    Dataset.concatenate(recorded).save(path, compress="gzip", overwrite=True)
    (DATASETS / f"{name}.md").write_text(card(name, recipe, parts, recorded), encoding="utf-8")
    print(f"  {path}: {path.stat().st_size / 1e6:.2f} MB", flush=True)


def card(name: str, recipe: Recipe, parts: list[Part], recorded: list[Dataset]) -> str:
    """Return the dataset's card."""
    whole = summarize(Dataset.open(DATASETS / f"{name}.h5"))
    rows = "\n".join(
        f"| {part.recorder} | {len(data):,} | {len(data.episodes):,} | {mean:.1f} | {low:.1f} to {high:.1f} |"
        for part, data in zip(parts, recorded, strict=True)
        for mean, low, high in [data.episodes["return"].agg(["mean", "min", "max"])]
    )
    span = f"{whole['return_min']:.1f} to {whole['return_max']:.1f}"
    total = f"| all | {whole['rows']:,} | {whole['episodes']:,} | {whole['return_mean']:.1f} | {span} |"
    return f"""# {name}

{recipe.title}: {whole["rows"]:,} transitions of `{recipe.env}`, from random to good policies.

| recorded by | rows | episodes | mean return | from, to |
| --- | --- | --- | --- | --- |
{rows}
{total}

**How it was recorded.** {recipe.story}
Then each policy was recorded by `vinci-offline collect` with the noise above, which is in half ranges of the action.
The whole recipe is `scripts/record_datasets.py`.

**Columns.** As in `docs/format.md`; `infos/action_log_probs` where every part's behaviour policy has a density.

**Licence.** MIT, as the project.
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", choices=[*RECIPES, []], help="datasets to make; all by default")
    parser.add_argument(
        "--work", type=Path, default=Path("runs") / "datasets", help="folder of policies and parts"
    )
    options = parser.parse_args()
    for name in options.names or RECIPES:
        record(name, RECIPES[name], options.work / name)


if __name__ == "__main__":
    main()
