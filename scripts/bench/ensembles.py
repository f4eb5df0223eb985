"""Time ensembles of critics: compilation, and one step.

An ensemble of many critics is one batched product. The table compares the compile time of 50 critics with that of 2,
and the time of a step of 50 critics in one product with that of 50 separate towers. Each contender runs in a process of
its own; they take turns, and medians count. Run:

    python scripts/bench/ensembles.py --markdown docs/performance.md
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contenders.race import environment
from contenders.task import ACTIONS, OBSERVATIONS, Task
from tables import keep, made_by, table

GOAL = 1.5
CONTENDERS = {
    "2 critics": (2, "ensemble"),
    "50 critics, one batched product": (50, "ensemble"),
    "50 critics, separate towers": (50, "towers"),
}
HEADER = ("", "compile, s", "range", "compile / first", "step, ms", "range")


def main() -> None:
    options = parse()
    if options.contender:
        print(json.dumps(measure(options.contender, options.seconds, Task(batch_size=options.batch_size))))
        return
    sections = []
    for backend in options.backends.split(","):
        sections.append(section(backend, options))
        print(sections[-1], end="\n\n", flush=True)
    if options.markdown:
        keep(options.markdown, "ensembles", "\n\n".join([made_by(), *sections]))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backends", default="tensorflow,jax")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="seconds of steps in each round")
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--markdown", type=Path, metavar="PAGE", help="write the tables to this page")
    parser.add_argument("--contender", choices=CONTENDERS, help=argparse.SUPPRESS)
    return parser.parse_args()


@dataclass(frozen=True)
class Times:
    """Seconds of every round."""

    compile: list[float]
    step: list[float]


def section(backend: str, options: argparse.Namespace) -> str:
    """Return the table of one backend."""
    taken = {name: Times([], []) for name in CONTENDERS}
    for _ in range(options.rounds):
        for name, times in taken.items():
            found = in_own_process(backend, name, options)
            times.compile.append(found["compile"])
            times.step.append(found["step"])
    first = next(iter(taken.values()))
    rows = [
        (
            name,
            f"{statistics.median(times.compile):.2f}",
            f"{min(times.compile):.2f} to {max(times.compile):.2f}",
            f"{statistics.median(b / a for a, b in zip(first.compile, times.compile, strict=True)):.2f}",
            f"{1e3 * statistics.median(times.step):.2f}",
            f"{1e3 * min(times.step):.2f} to {1e3 * max(times.step):.2f}",
        )
        for name, times in taken.items()
    ]
    return (
        f"**{backend}**, {OBSERVATIONS} + {ACTIONS} dimensions, two layers of 256, batch {options.batch_size}; goal: "
        f"50 critics compile in at most {GOAL} times the time of 2\n\n{table(HEADER, rows)}"
    )


def in_own_process(backend: str, name: str, options: argparse.Namespace) -> Any:
    command = [sys.executable, __file__, "--contender", name, "--seconds", str(options.seconds)]
    command += ["--batch-size", str(options.batch_size)]
    done = subprocess.run(
        command, env=environment(backend, Task()), stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def measure(name: str, seconds: float, task: Task) -> dict[str, float]:
    """Compile one contender's loop and take steps with it: the seconds of each."""
    from contenders.ours import box, transitions_of

    from vinci_offline import EnvironmentSpec
    from vinci_offline.networks.builder import NetworkBuilder
    from vinci_offline.training.engines import make_engine
    from vinci_offline.training.learner import Learner

    count, form = CONTENDERS[name]
    agent = make_agent(count, separate=form == "towers")
    build = NetworkBuilder(EnvironmentSpec(box(OBSERVATIONS, float("inf")), box(ACTIONS, 1)))
    learner = Learner(agent, build, seed=0)
    engine = make_engine(learner, transitions_of(task), batch_size=task.batch_size, seed=0, jit="on")
    updates = learner.select(None)
    engine.check()
    began = time.perf_counter()
    engine.run(updates, 0, 0)
    compiled = time.perf_counter() - began
    taken = 0
    chunks: list[float] = []
    while sum(chunks) < seconds or len(chunks) < 3:
        began = time.perf_counter()
        engine.run(updates, taken, 10)
        chunks.append(time.perf_counter() - began)
        taken += 10
    return {"compile": compiled, "step": statistics.median(chunks[1:]) / 10}


def make_agent(count: int, *, separate: bool) -> Any:
    """Make an agent that only evaluates: clipped Q-learning of ``count`` critics on the recorded actions."""
    import keras

    from vinci_offline import Agent, Update, functional

    class Ensemble(Agent):
        def networks(self, build: Any) -> dict[str, Any]:
            if not separate:
                critic = build.critics("critic", (256, 256), count)
            else:
                towers = [build.critics(f"tower_{i}", (256, 256), 1) for i in range(count)]
                inputs = [keras.Input(each.shape[1:]) for each in towers[0].inputs]
                critic = keras.Model(inputs, keras.ops.concatenate([tower(inputs) for tower in towers]))
            return {"critic": critic, "actor": build.deterministic_actor("actor", (8,))}

        def updates(self) -> tuple[Update, ...]:
            return (Update(self.critic_loss, "critic", lambda: keras.optimizers.Adam(3e-4)),)

        def policy(self, nets: Any, build: Any) -> Any:
            return build.policy(nets.actor)

        def critic_loss(self, nets: Any, batch: Any, key: Any) -> Any:
            following = nets.critic([batch.next_observation, batch.action])
            value = functional.clipped_double_q(following)
            target = keras.ops.stop_gradient(functional.td_target(batch.reward, batch.discount, value))
            return functional.ensemble_loss(nets.critic([batch.observation, batch.action]), target), {}

    return Ensemble()


if __name__ == "__main__":
    main()
