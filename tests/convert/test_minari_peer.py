"""The real Minari: we read its files step for step, and it reads ours."""

import warnings

import gymnasium
import numpy as np
import pytest
from data_examples import make_columns

from vinci_offline import Dataset
from vinci_offline.convert.conversion import read, write
from vinci_offline.convert.registry import recognise
from vinci_offline.envs.wrapper import EnvWrapper
from vinci_offline.spec import space_from_gymnasium

pytestmark = pytest.mark.peers
minari = pytest.importorskip("minari")
spaces = gymnasium.spaces


class Robot(gymnasium.Env):
    """An environment of random observations and infos; the third step terminates every second episode."""

    def __init__(self, observation_space, action_space):
        self.observation_space, self.action_space = observation_space, action_space
        self.steps = self.episodes = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        self.steps, self.episodes = 0, self.episodes + 1
        return self.observation_space.sample(), {"height": 0.5}

    def step(self, action):
        self.steps += 1
        observation, info = self.observation_space.sample(), {"height": float(self.steps)}
        ended = self.steps == 3 and self.episodes % 2 == 0
        return observation, self.steps / 3, ended, self.steps == 4, info


IMAGE = spaces.Box(0, 255, (32, 40, 3), np.uint8)
MIXED = spaces.Dict(
    {
        "pose": spaces.Box(-np.inf, np.inf, (3,), np.float64),
        "inner": spaces.Tuple((spaces.Discrete(3, start=1), spaces.MultiBinary(4))),
    }
)
ENVIRONMENTS = {
    "cartpole": lambda: gymnasium.make("CartPole-v1", max_episode_steps=20),
    "pendulum": lambda: gymnasium.make("Pendulum-v1", max_episode_steps=7, g=9.0),
    "mixed": lambda: Robot(MIXED, spaces.MultiDiscrete([2, 5])),
    "image": lambda: Robot(IMAGE, spaces.Discrete(2)),
}


def stacked(rows):
    if isinstance(rows[0], dict):
        return {key: stacked([row[key] for row in rows]) for key in rows[0]}
    if isinstance(rows[0], tuple):
        return tuple(stacked([row[number] for row in rows]) for number in range(len(rows[0])))
    return np.array(rows)


def episode(env, seed):
    observation, info = env.reset(seed=seed)
    env.action_space.seed(seed)
    observations, actions, steps, infos = [observation], [], [], [info]
    while not steps or not (steps[-1][1] or steps[-1][2]):
        action = env.action_space.sample()
        observation, reward, terminated, truncated, info = env.step(action)
        observations.append(observation)
        actions.append(action)
        steps.append((reward, terminated, truncated))
        infos.append(info)
    rewards, terminations, truncations = (list(values) for values in zip(*steps, strict=True))
    buffer = {"rewards": rewards, "terminations": terminations, "truncations": truncations}
    named = {"infos": {key: list(values) for key, values in stacked(infos).items()}} if infos[0] else {}
    return minari.data_collector.EpisodeBuffer(
        observations=stacked(observations), actions=stacked(actions), seed=seed, **buffer, **named
    )


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    return tmp_path


def record(name, **options):
    """Record a dataset with Minari."""
    env = ENVIRONMENTS[name]()
    buffers = [episode(env, seed) for seed in range(4)]
    known = {"env": env.spec} if env.spec else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Minari asks for an author, and so on
        return minari.create_dataset_from_buffers(
            "ours/test-v0",
            buffers,
            observation_space=env.observation_space,
            action_space=env.action_space,
            **known,
            **options,
        )


def leaves(value, path):
    if isinstance(value, dict):
        return {k: v for key, part in value.items() for k, v in leaves(part, f"{path}/{key}").items()}
    if isinstance(value, tuple):
        return {k: v for key, part in enumerate(value) for k, v in leaves(part, f"{path}/{key}").items()}
    return {path: np.asarray(value)}


def assert_same(dataset, episodes):
    """Check that each step of Minari's episodes is a row of the dataset."""
    first = 0
    for each in episodes:
        rows = slice(first, first + len(each.rewards))
        expected = {
            "rewards": each.rewards,
            "terminals": each.terminations,
            **leaves(each.actions, "actions"),
        }
        for path, values in leaves(each.observations, "observations").items():
            expected |= {path: values[:-1], f"next_{path}": values[1:]}
        for path, values in expected.items():
            stored = dataset.columns[path][rows]
            np.testing.assert_array_equal(stored, np.asarray(values).astype(stored.dtype), err_msg=path)
        timed_out = np.asarray(each.truncations) & ~np.asarray(each.terminations)
        np.testing.assert_array_equal(dataset.columns["timeouts"][rows], timed_out)
        first = rows.stop
    assert first == len(dataset)


@pytest.fixture(params=["hdf5", "arrow", "parquet"])
def storage(request):
    if request.param != "hdf5":
        pytest.importorskip("pyarrow")
    return request.param


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_import_matches_minari_steps(root, name, storage):
    written = record(name, data_format=storage)
    assert recognise(root / "ours" / "test-v0").name == "minari"
    imported = read(root / "ours" / "test-v0")
    assert not imported.dropped
    assert_same(imported.dataset, written.iterate_episodes())
    assert imported.dataset.episode_columns["seed"].tolist() == [0, 1, 2, 3]


def test_minari_recovers_environment(root):
    record("pendulum")
    found = read(root / "ours" / "test-v0").dataset.spec
    made = EnvWrapper(found)
    assert (found.id, found.kwargs, found.max_episode_steps) == ("Pendulum-v1", {"g": 9.0}, 7)
    assert (made.unwrapped.g, made.spec.max_episode_steps) == (9.0, 7)


def test_infos_are_of_steps(root, storage):
    record("mixed", data_format=storage)
    found = read(root / "ours" / "test-v0").dataset
    assert found.columns["infos/height"].tolist() == [1, 2, 3, 4, 1, 2, 3] * 2


def test_plain_images_are_read(root, storage):
    written = record("image", jpeg_encoding=False, data_format=storage)
    assert_same(read(root / "ours" / "test-v0").dataset, written.iterate_episodes())


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_import_of_minari_collection(root):
    pytest.importorskip("jax")
    env = minari.DataCollector(gymnasium.make("CartPole-v1"), record_infos=True)
    for seed in range(3):
        env.reset(seed=seed)
        ended = False
        while not ended:
            _, _, terminated, truncated, _ = env.step(env.action_space.sample())
            ended = terminated or truncated
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        written = env.create_dataset("cartpole/random-v0")
    env.close()
    found = read(root / "cartpole" / "random-v0").dataset
    assert_same(found, written.iterate_episodes())
    assert (found.spec.id, found.spec.max_episode_steps) == ("CartPole-v1", 500)


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_minari_loads_our_export(root, name, storage):
    env = ENVIRONMENTS[name]()
    record(name)
    dataset = read(root / "ours" / "test-v0").dataset
    write(dataset, root / "ours" / "again-v1", kind="minari", settings={"storage": storage})
    assert set(minari.list_local_datasets()) == {"ours/test-v0", "ours/again-v1"}
    loaded = minari.load_dataset("ours/again-v1")
    assert (loaded.total_steps, loaded.total_episodes) == (len(dataset), 4)
    assert_same(dataset, loaded.iterate_episodes())
    returns = [each.rewards.sum() for each in loaded.iterate_episodes()]
    np.testing.assert_array_equal(returns, dataset.episode_columns["return"])
    assert space_from_gymnasium(loaded.action_space) == space_from_gymnasium(env.action_space)
    for each in loaded.iterate_episodes():
        assert loaded.action_space.contains(each.actions[0])
    if env.spec:
        recovered = loaded.recover_environment()
        assert (recovered.spec.id, recovered.spec.max_episode_steps) == (
            env.spec.id,
            env.spec.max_episode_steps,
        )
        assert recovered.spec.kwargs == env.spec.kwargs


def test_minari_appends_to_our_export(root, storage):
    spec = EnvWrapper("Pendulum-v1").environment_spec
    dataset = Dataset.from_columns(make_columns(spec, [5, 3]), spec)
    write(dataset, root / "pendulum-v0", kind="minari", settings={"storage": storage})
    loaded = minari.load_dataset("pendulum-v0")
    loaded.storage.update_episodes([episode(ENVIRONMENTS["pendulum"](), 3)])
    assert read(root / "pendulum-v0").dataset.episode_columns["length"].tolist() == [5, 3, 7]
