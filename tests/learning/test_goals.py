"""Hindsight goals on a recording of gymnasium-robotics: a minimal agent reaches more goals than it did untrained."""

import sys
from dataclasses import dataclass

import numpy as np
import pytest
from keras import ops

from vinci_offline import Agent, Update, collect, evaluate, functional, train
from vinci_offline.agents.agent import adam, setting

pytestmark = [pytest.mark.peers, pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

MAZE = "gymnasium_robotics:PointMaze_UMaze-v3"
# An episode ends with the first goal reached, whose reward is 1: the return says whether it was.
ENDS = {"continuing_task": False, "max_episode_steps": 150}


@dataclass(frozen=True)
class HindsightBC(Agent):
    """Goal-conditioned imitation: each action is the right one for a goal that its episode reached later.

    Ghosh et al. (2021), https://arxiv.org/abs/1912.06088. Goals lie at a geometric distance.
    """

    roles = ("actor",)
    trajectories = True

    learning_rate: float = setting(1e-3, "Adam's; 0 leaves the actor as it was made", low=0)
    distance: float = setting(0.95, "gamma of the goals' distance", low=0, high=1)

    def networks(self, build):
        on = ("observation/observation", "observation/desired_goal")
        return {"actor": build.deterministic_actor("actor", (256, 256), on=on)}

    def updates(self):
        return (Update(self.actor_loss, "actor", adam(self.learning_rate), role="actor"),)

    def batch(self, rows, key):
        reached = rows.at(rows.future(key, self.distance, least=0)).next_observation["achieved_goal"]
        return rows.at(rows.index).replace(observation={"desired_goal": reached})

    def actor_loss(self, nets, batch, key):
        action = nets.actor([batch.observation["observation"], batch.observation["desired_goal"]])
        return ops.mean(functional.imitation_loss(action, batch.action)), {}

    def policy(self, nets, build):
        return build.policy(nets.actor)


def still(observation):
    return np.zeros(2, np.float32)


def test_point_maze_goals_are_reached_more_often_than_untrained(tmp_path):
    pytest.importorskip("gymnasium_robotics")
    options = {"steps": 50_000, "policy": still, "noise": "ou:0.1:0.5", "env_kwargs": ENDS, "progress": False}
    data = collect(MAZE, tmp_path / "maze.h5", **options)

    def reached(name, agent, steps, seed=0):
        result = train(data, agent, output=tmp_path / name, steps=steps, seed=seed, progress=False)
        return np.mean(evaluate(result.run, episodes=50, seed=1).returns)

    rates = [
        (reached(f"untrained-{seed}", HindsightBC(learning_rate=0.0), 1, seed),
         reached(f"trained-{seed}", HindsightBC(), 5_000, seed))
        for seed in range(3)
    ]  # fmt: skip
    print("recorded", data.episodes["return"].mean(), "untrained and trained", rates, file=sys.stderr)
    assert min(trained - untrained for untrained, trained in rates) > 0.3
