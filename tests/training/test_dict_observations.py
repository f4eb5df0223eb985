"""Dict and image observations from collection to evaluation: each agent, both memories, half an agent at a time."""

import json

import gymnasium
import keras
import numpy as np
import pytest
from typer.testing import CliRunner

from vinci_offline import Dataset, collect, evaluate, train
from vinci_offline.cli.app import app
from vinci_offline.runs.checkpoint import latest_checkpoint

SMALL = {"hidden": (8,)}
SHORT = {"steps": 6, "log_every": 3, "checkpoint_every": 3, "batch_size": 8, "jit": "off", "progress": False}


class Rooms(gymnasium.Env):
    """Environment with a Dict of a position, a room number and a small image. Going right pays."""

    def __init__(self, discrete=False, image_only=False):
        self.image_only = image_only
        image = gymnasium.spaces.Box(0, 255, (16, 16, 3) if image_only else (12, 12, 3), np.uint8)
        parts = {
            "image": image,
            "position": gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float32),
            "room": gymnasium.spaces.Discrete(3),
        }
        self.observation_space = image if image_only else gymnasium.spaces.Dict(parts)
        box = gymnasium.spaces.Box(-2.0, 2.0, (2,), np.float32)
        self.action_space = gymnasium.spaces.Discrete(3, start=1) if discrete else box

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count, self.position = 0, self.np_random.normal(5.0, 2.0, 2).astype(np.float32)
        return self._observation(), {}

    def step(self, action):
        assert self.action_space.contains(action), action
        step = action if np.ndim(action) else np.array([action - 2, 0])
        self.position = (self.position + 0.1 * step).astype(np.float32)
        self.count += 1
        return self._observation(), float(np.sum(step)), self.count == 7, False, {}

    def _observation(self):
        pixels = np.zeros(self.observation_space.shape if self.image_only else (12, 12, 3), np.uint8)
        pixels[self.count, self.count] = 255
        if self.image_only:
            return pixels
        return {"image": pixels, "position": self.position, "room": np.int64(self.count % 3)}


class Doors(gymnasium.Env):
    """Environment of three doors; the observation's mask opens one or two. A closed door is an error."""

    observation_space = gymnasium.spaces.Dict(
        {
            "action_mask": gymnasium.spaces.MultiBinary(3),
            "state": gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32),
        }
    )
    action_space = gymnasium.spaces.Discrete(3, start=2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count = 0
        return self._observation(), {}

    def step(self, action):
        assert self.mask[action - 2], "this door is closed"
        self.count += 1
        return self._observation(), float(action), self.count == 6, False, {}

    def _observation(self):
        self.mask = np.roll([1, 1, self.count % 2], self.count).astype(np.int8)
        return {"action_mask": self.mask, "state": self.np_random.uniform(-1, 1, 2).astype(np.float32)}


def open_door(observation, rng):
    return 2 + rng.choice(np.flatnonzero(observation["action_mask"]))


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    """Record each environment once; a recording names its environment."""
    made = {}

    def of(discrete=False, image_only=False):
        kwargs = {"discrete": discrete, "image_only": image_only}
        if (discrete, image_only) not in made:
            path = tmp_path_factory.mktemp("rooms") / "rooms.h5"
            collect(f"{__file__}:Rooms", path, episodes=6, env_kwargs=kwargs, progress=False)
            made[discrete, image_only] = path
        return made[discrete, image_only]

    return of


def run(data, output, agent, **options):
    return train(data, agent, output=output, **{"settings": SMALL, **SHORT, **options})


def state(result):
    return latest_checkpoint(result.run / "checkpoints").state


def assert_equal(left, right, prefix=""):
    names = [name for name in left if name.startswith(prefix)]
    assert names
    for name in names:
        np.testing.assert_array_equal(left[name], right[name], err_msg=name)


@pytest.fixture(scope="module")
def trained(record, tmp_path_factory):
    """Train each agent once on each recording."""
    made = {}

    def of(agent, discrete=False, image_only=False):
        name = agent, discrete, image_only
        if name not in made:
            made[name] = run(record(discrete, image_only), tmp_path_factory.mktemp("runs") / "run", agent)
        return made[name]

    return of


@pytest.mark.parametrize(
    ("agent", "discrete", "image_only"),
    [
        ("bc", False, False),
        ("iql", False, False),
        ("bc", True, False),
        ("dqn", True, False),
        ("bc", False, True),
        ("dqn", True, True),
    ],
)
def test_agents_train_from_collection_to_evaluation(trained, agent, discrete, image_only):
    result = trained(agent, discrete, image_only)
    policy = keras.saving.load_model(result.run / "policy.keras", safe_mode=True)
    env = Rooms(discrete, image_only)
    observation, _ = env.reset(seed=0)
    batch = observation[None] if image_only else {key: x[None] for key, x in observation.items()}
    action = np.asarray(policy.predict_on_batch(batch))[0]
    assert env.action_space.contains(action.astype(env.action_space.dtype))

    evaluation = evaluate(result.run, lambda: Rooms(discrete, image_only), episodes=3, lanes=2)
    assert evaluation.lengths == (7, 7, 7)
    assert np.isfinite(evaluation.returns).all()


def test_a_stream_that_holds_all_rows_trains_like_memory(record, trained, tmp_path):
    streamed = run(record(), tmp_path / "run", "bc", memory="stream")
    assert_equal(state(trained("bc")), state(streamed))


def test_shifted_images_are_alike_in_memory_and_streamed(record, trained, tmp_path):
    shifted = run(record(), tmp_path / "memory", "bc", random_shift=2)
    streamed = run(record(), tmp_path / "stream", "bc", random_shift=2, memory="stream")
    assert_equal(state(shifted), state(streamed))
    plain = state(trained("bc"))
    assert any((plain[name] != value).any() for name, value in state(shifted).items() if "networks/" in name)


def test_resumed_runs_end_with_the_same_networks(record, trained, tmp_path):
    run(record(), tmp_path / "run", "bc", steps=3)
    assert_equal(state(trained("bc")), state(run(record(), tmp_path / "run", "bc", resume=True)))


def test_critic_and_actor_train_alone(record, tmp_path):
    critic = run(record(), tmp_path / "critic", "iql", only="critic")
    actor = run(record(), tmp_path / "actor", "iql", only="actor", init=critic.run)
    before, after = state(critic), state(actor)
    for name in ("critic", "value", "target_critic"):
        assert_equal(before, after, f"networks/{name}/")
    moved = [name for name in before if name.startswith("networks/actor/")]
    assert any((before[name] != after[name]).any() for name in moved)


def test_moments_of_each_key_are_stored_and_start_the_next_run(record, trained, tmp_path):
    data, first = record(), trained("bc")
    stored = json.loads((first.run / "config.json").read_text())["normalization"]
    positions = Dataset.open(data).columns["observations/position"]
    assert set(stored["keys"]) == {"position"}  # pixels and choices are not normalised
    np.testing.assert_allclose(stored["keys"]["position"]["mean"], positions.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(stored["keys"]["position"]["std"], positions.std(axis=0), rtol=1e-4)

    few = Dataset.open(data).select_episodes([0, 1])
    second = run(few, tmp_path / "second", "bc", init=first.run)
    assert json.loads((second.run / "config.json").read_text())["normalization"] == stored


def test_the_commands_take_dict_observations(record, tmp_path):
    def call(*words):
        result = CliRunner().invoke(app, [str(word) for word in words])
        assert result.exit_code == 0, result.stderr
        return result.stdout

    output = tmp_path / "run"
    data = record(discrete=True)
    fast = ["--set", "hidden=8", "--jit", "off", "--steps", 4, "--log-every", 2, "--batch-size", 8]
    # A file of the user's, which a dataset alone may not import.
    named = ["--env", Dataset.open(data).spec.id, "--env-kwargs", '{"discrete": true}']
    call(
        "train", data, "--agent", "dqn", *fast, *named, "--eval-every", 2, "--eval-episodes", 1, "-o", output
    )
    assert list(output.glob("events.out.tfevents.*"))
    assert len((output / "evaluations.csv").read_text().splitlines()) == 3
    assert json.loads(call("evaluate", output, *named, "--episodes", 2, "--json"))["episodes"] == 2
    call("info", data)


NETWORKS = """
import keras
from keras import layers


def actor(env):
    image, position, room = env.state["image"], env.state["position"], env.state["room"]
    pixels = layers.Flatten()(layers.Conv2D(2, 3, strides=3)(image))
    hidden = layers.Dense(8, activation="relu")(layers.concatenate([pixels, position, room]))
    return keras.Model([room, image, position], layers.Dense(env.action_space_dim, activation="tanh")(hidden))
"""


def test_user_networks_see_each_key(record, tmp_path):
    file = tmp_path / "networks.py"
    file.write_text(NETWORKS)
    result = run(record(), tmp_path / "run", "bc", networks=file)
    actor = keras.saving.load_model(result.run / "networks" / "actor.keras", safe_mode=True)
    assert (3, 3, 3, 2) in {tuple(weight.shape) for weight in actor.weights}
    assert evaluate(result.run, Rooms, episodes=1).lengths == (7,)


@pytest.mark.parametrize("agent", ["bc", "dqn"])
def test_exported_policies_never_choose_masked_actions(tmp_path, agent):
    data = collect(f"{__file__}:Doors", tmp_path / "d.h5", episodes=4, policy=open_door, progress=False)
    result = run(data, tmp_path / "run", agent)
    # The environment fails at a closed door.
    evaluate(result.run, Doors, episodes=10)
    policy = keras.saving.load_model(result.run / "policy.keras", safe_mode=True)
    states = np.random.default_rng(0).uniform(-1, 1, (30, 2)).astype("f4")
    for masked in range(3):
        mask = np.ones((30, 3), "i1")
        mask[:, masked] = 0
        chosen = np.asarray(policy.predict_on_batch({"action_mask": mask, "state": states})) - 2
        assert set(chosen.tolist()) <= {0, 1, 2} - {masked}
    if agent == "bc":
        evaluate(result.run, Doors, episodes=10, stochastic=True)
