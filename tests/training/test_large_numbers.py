"""Numbers that float32 rounds away: batches, held-out rows, the policy's file and its actions agree on them."""

import json

import keras
import numpy as np
import pytest
from hand_made import GAMMA, LENGTHS, NEXT_PLACE, PLACE, ROWS, clock, hand_made, hand_made_spec, observed

from vinci_offline import Dataset, DatasetError, EnvironmentSpec, VinciWarning, train
from vinci_offline.agents.bc import BC
from vinci_offline.agents.td3bc import TD3BC
from vinci_offline.batches.reader import ColumnReader, load_columns
from vinci_offline.networks.builder import NetworkBuilder
from vinci_offline.policies.keras_policy import KerasPolicy
from vinci_offline.quality.doubts import doubts
from vinci_offline.quality.precision import observation_offsets
from vinci_offline.quality.statistics import observation_moments
from vinci_offline.quality.survey import survey
from vinci_offline.runs.run_directory import RunDirectory
from vinci_offline.spec import BoxSpace, DictSpace, DiscreteSpace
from vinci_offline.spec.units import Units
from vinci_offline.training.config import TrainingConfig
from vinci_offline.training.starting import choose_normalization, choose_units
from vinci_offline.training.task import Task

TENSORFLOW = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="JAX computes in float32")
SHORT = {"steps": 4, "batch_size": 4, "jit": "off", "progress": False, "settings": {"hidden": (4,)}}


def box(*shape, dtype="float64"):
    limits = (-np.inf, np.inf) if dtype.startswith("float") else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    return BoxSpace(shape, dtype, *(np.full(shape, limit, dtype) for limit in limits))


ACTIONS = BoxSpace((1,), "float32", np.array([-1], "f4"), np.array([1], "f4"))


def recorded(observations, dtype="float64", float64=True, **columns):
    """Return single steps that observe some numbers, one an observation."""
    observations = np.asarray(observations)[:, None]
    count = len(observations)
    rows = {
        "observations": observations,
        "actions": np.linspace(-1, 1, count, dtype=np.float32)[:, None],
        "rewards": np.zeros(count),
        "next_observations": observations,
        "terminals": np.zeros(count, bool),
        "timeouts": np.ones(count, bool),
    }
    spec = EnvironmentSpec(box(1, dtype=dtype), ACTIONS)
    return Dataset.from_columns(rows | columns, spec, float64=float64)


def units_and_moments(dataset, agent=None):
    known = survey(dataset)
    units = choose_units(agent or BC(), dataset, None, known)
    return units, choose_normalization(agent or BC(), dataset, None, known, units)


def exact(values):
    """Return normalised values in float64."""
    values = np.asarray(values, np.float64)
    return (values - values.mean(axis=0)) / (values.std(axis=0) + 1e-3)


def normalised(dataset, values=None):
    """Return what the first layer of a network sees of the rows of a dataset."""
    units, moments = units_and_moments(dataset)
    build = NetworkBuilder(dataset.spec, moments, None, units)
    encoder = build.encoder("seen")
    column = load_columns(dataset, units=units)["observation"] if values is None else values
    return keras.ops.convert_to_numpy(encoder(column))


OFFSET = np.random.default_rng(0).normal(size=300)
LARGE = {
    "clock": (1.7e9 + np.arange(100.0), "float64"),
    "offset": (1e6 + OFFSET, "float64"),
    "far": (-1e12 + 1e3 * OFFSET, "float64"),
    "int64": (3_000_000_000 + np.arange(100), "int64"),
    "uint32": (np.uint32(4_000_000_000) + np.arange(100, dtype=np.uint32), "uint32"),
    "id": (16_777_216 + np.arange(3), "int64"),
    "both sides of 32 bits": (np.array([0, 2**31 - 1, 2**31, 2**40]), "int64"),
    "float32": ((1e6 + OFFSET).astype(np.float32), "float32"),
}


@pytest.mark.parametrize("case", LARGE)
def test_batches_keep_normalised_values(case):
    values, dtype = LARGE[case]
    seen = normalised(recorded(values, dtype))
    assert seen.dtype == np.float32
    np.testing.assert_allclose(seen[:, 0], exact(values), rtol=2e-6, atol=2e-6)
    assert len(np.unique(seen)) == len(np.unique(exact(values).astype(np.float32)))


@TENSORFLOW
@pytest.mark.parametrize("case", LARGE)
def test_policy_acts_on_what_was_learned_from(case, tmp_path):
    values, dtype = LARGE[case]
    dataset = recorded(values, dtype)
    units, moments = units_and_moments(dataset)
    keras.utils.set_random_seed(1)  # some draws of eight units are dead for half of the rows
    build = NetworkBuilder(dataset.spec, moments, None, units)
    actor = build.deterministic_actor("actor", (8,))
    learned = keras.ops.convert_to_numpy(actor(load_columns(dataset, units=units)["observation"]))
    build.policy(actor).save(tmp_path / "policy.keras")
    loaded = keras.saving.load_model(tmp_path / "policy.keras", safe_mode=True)
    acted = KerasPolicy(loaded, dataset.spec).act(dataset.columns["observations"], [None] * len(values))
    np.testing.assert_allclose(acted.actions, learned, atol=1e-6)
    assert len(np.unique(learned)) > 0.9 * len(np.unique(exact(values).astype(np.float32)))


@pytest.mark.parametrize("shape", ["flat", "dict"])
def test_ordinary_observations_have_no_offset(shape):
    ordinary = np.random.default_rng(0).normal(5, 2, (50, 2)).astype(np.float32)
    ordinary[:, 1] = 8.1  # a constant
    space = box(2, dtype="float32")
    rows = {
        **dict.fromkeys(("observations", "next_observations"), ordinary),
        "actions": np.zeros((50, 1), np.float32),
        "rewards": np.zeros(50, np.float32),
        "terminals": np.zeros(50, bool),
        "timeouts": np.ones(50, bool),
    }
    if shape == "dict":
        for path in ("observations", "next_observations"):
            rows[f"{path}/state"] = rows.pop(path)
        space = DictSpace({"state": space})
    dataset = Dataset.from_columns(rows, EnvironmentSpec(space, ACTIONS))
    assert observation_offsets(dataset) == {}
    assert units_and_moments(dataset)[0].to_json() is None


def test_only_entries_that_need_it_are_shifted():
    dataset = hand_made()
    offsets = observation_offsets(dataset)
    assert set(offsets) == {"state", "tag"}
    assert offsets["state"].tolist() == [0, clock(PLACE).mean()]
    assert offsets["tag"].tolist() == [3e9 + PLACE.mean()]


def test_goals_share_an_offset():
    rng = np.random.default_rng(0)
    goals = {"achieved_goal": 1e7 + rng.normal(size=(40, 1)), "desired_goal": 2e7 + rng.normal(size=(40, 1))}
    space = DictSpace({key: box(1) for key in goals})
    rows = {
        **{f"observations/{key}": values for key, values in goals.items()},
        **{f"next_observations/{key}": values for key, values in goals.items()},
        "actions": np.zeros((40, 1)),
        "rewards": np.zeros(40),
        "terminals": np.zeros(40, bool),
        "timeouts": np.ones(40, bool),
    }
    dataset = Dataset.from_columns(rows, EnvironmentSpec(space, ACTIONS), float64=True)
    offsets = observation_offsets(dataset)
    assert offsets["achieved_goal"] == offsets["desired_goal"] == goals["desired_goal"].mean()


def test_hand_made_rows_in_batches():
    dataset = hand_made()
    units, _ = units_and_moments(dataset)
    columns = load_columns(dataset, gamma=GAMMA, n_step=1, units=units)
    for name, place in (("observation", PLACE), ("next_observation", NEXT_PLACE)):
        seen = columns[f"{name}/state"].astype(np.float64) + units.offsets["state"]
        np.testing.assert_allclose(seen[:, 1], clock(place), atol=1e-6)
        tags = columns[f"{name}/tag"].astype(np.float64) + units.offsets["tag"]
        np.testing.assert_allclose(tags[:, 0], 3e9 + place, atol=1e-6)
    reader = ColumnReader(dataset, gamma=GAMMA, units=units)
    for path, values in reader.read(3, 9).items():  # as a stream reads them
        np.testing.assert_array_equal(values, columns[path][3:9])
        assert values.dtype == np.float32


@TENSORFLOW
def test_run_on_hand_made_rows(tmp_path):
    result = train(hand_made(), "bc", output=tmp_path / "run", validation=0.25, **SHORT)
    config = json.loads((result.run / "config.json").read_text())
    spec, run = hand_made_spec(), RunDirectory(result.run)
    units = run.units(spec)
    assert units.to_json() == config["units"]
    (mean, _) = run.normalization()["tag"]
    assert mean.tolist() == units.offsets["tag"].tolist()  # float64, not rounded on the way through JSON
    policy = keras.saving.load_model(result.run / "policy.keras", safe_mode=True)
    actor = keras.saving.load_model(result.run / "networks" / "actor.keras", safe_mode=True)
    raw = {path.partition("/")[2]: values for path, values in observed(PLACE).items()}
    seen = {key: units.observed(key, values) for key, values in raw.items()}
    scaled = keras.ops.convert_to_numpy(actor(seen))
    acted = policy.predict_on_batch(raw)
    assert len(np.unique(acted[:, 0])) == ROWS
    np.testing.assert_allclose(acted[:, 0], 2 * scaled[:, 0], atol=1e-5)
    np.testing.assert_allclose(
        acted[:, 1], np.maximum(scaled[:, 1] * units.actions.scale[1] + units.actions.offset[1], 0), rtol=1e-5
    )
    again = train(hand_made(), "bc", output=tmp_path / "next", init=result.run, **SHORT)
    assert RunDirectory(again.run).units(spec).to_json() == units.to_json()
    resumed = train(
        hand_made(), "bc", output=tmp_path / "run", validation=0.25, resume=True, **SHORT | {"steps": 6}
    )
    assert resumed.steps == 6


@TENSORFLOW
def test_bootstrap_actor_gets_raw_observations(tmp_path):
    dataset = hand_made()
    units, moments = units_and_moments(dataset)
    build = NetworkBuilder(dataset.spec, moments, None, units)
    actor = build.deterministic_actor("actor", (8,))
    build.policy(actor).save(tmp_path / "policy.keras")
    seen = {
        name.partition("/")[2]: column
        for name, column in load_columns(dataset, units=units).items()
        if name.startswith("observation/")
    }
    stored = build.stored_actor("bootstrap_actor", str(tmp_path / "policy.keras"))
    np.testing.assert_allclose(stored(seen), actor(seen), atol=1e-5)


def test_units_survive_json():
    units, _ = units_and_moments(hand_made(), TD3BC())
    again = Units.from_json(hand_made_spec(), json.loads(json.dumps(units.to_json())))
    assert again.to_json() == units.to_json()
    assert again.actions.scale.tolist() == units.actions.scale.tolist()
    assert Units.from_json(hand_made_spec(), None).to_json() is None
    with pytest.raises(ValueError, match="offset of shape"):
        Units.from_json(hand_made_spec(), {**units.to_json(), "observation_offsets": {"state": [1.0]}})


def test_numbers_that_networks_cannot_take_are_refused():
    with pytest.raises(DatasetError, match=r"beyond float32, about 3.4e38"):
        load_columns(recorded([0.0, 1e300]))
    with pytest.raises(DatasetError, match="float64 cannot tell apart"):
        observation_offsets(recorded(2**62 + np.arange(5) * 512, "int64"))
    with pytest.raises(Exception, match="float32 holds no square of it"):
        NetworkBuilder(EnvironmentSpec(box(1), ACTIONS), (np.zeros(1), np.full(1, 1e20))).value("v", (4,))
    choices = EnvironmentSpec(DiscreteSpace(3, start=3_000_000_000), ACTIONS)
    with pytest.raises(Exception, match="beyond 32 bits"):
        NetworkBuilder(choices).value("v", (4,))


@TENSORFLOW
@pytest.mark.parametrize(
    ("dataset", "agent", "message"),
    [
        (recorded(1e6 + OFFSET, float64=False), BC(), r"observations is near 1e\+06 and deviates by"),
        (recorded(OFFSET, float64=False, rewards=1e9 + 100 * OFFSET), BC(), r"rewards is near 1e\+09"),
        (recorded(1e6 + OFFSET), BC(normalize_observations=False), "float32 rounds numbers so far"),
    ],
)
def test_rounding_that_nothing_mends_is_said(dataset, agent, message):
    with pytest.warns(VinciWarning, match=message):
        Task.of([dataset], agent, TrainingConfig(steps=1), networks=None, init=None, env=None)


@TENSORFLOW
def test_backend_without_float64_is_said(monkeypatch):
    dataset = recorded(1e6 + OFFSET)
    units, moments = units_and_moments(dataset)
    build = NetworkBuilder(dataset.spec, moments, None, units)
    policy = build.policy(build.deterministic_actor("actor", (4,)))
    monkeypatch.setattr("vinci_offline.keras_setup.wide_dtype", lambda: "float32")
    monkeypatch.setattr("vinci_offline.training.task.wide_dtype", lambda: "float32")
    with pytest.warns(VinciWarning, match="takes float64 observations, and JAX rounds them"):
        KerasPolicy(policy, dataset.spec)
    with pytest.warns(VinciWarning, match="JAX computes in float32"):
        Task.of([dataset], BC(), TrainingConfig(steps=1), networks=None, init=None, env=None)


def test_actions_outside_the_bounds_are_counted():
    actions = np.where(np.arange(300) % 4 < 3, 1.5, 0.5).astype(np.float32)[:, None]
    dataset = recorded(OFFSET, actions=actions)
    with pytest.warns(VinciWarning, match=r"225 of 300 rows \(75%\) have actions outside the bounds"):
        Task.of([dataset], BC(), TrainingConfig(steps=1), networks=None, init=None, env=None)
    few = recorded(OFFSET, actions=np.where(np.arange(300) < 2, 1.5, 0.5)[:, None])
    assert doubts(few, survey(few)) == []


def test_infos_that_float32_rounds_are_said():
    dataset = recorded(OFFSET, **{"infos/time": 1.7e9 + OFFSET, "infos/cost": OFFSET})
    (told,) = doubts(dataset, survey(dataset), infos=["infos/time", "infos/cost"])
    assert told.startswith("infos/time: batches hold it as float32")
    paid = recorded(OFFSET, rewards=1e9 + OFFSET)
    (told,) = doubts(paid, survey(paid))
    assert told.startswith("rewards: batches hold it as float32")


def test_moments_without_offsets_are_float32():
    mean, std = observation_moments(recorded([1.0, 2.0, 4.0]))
    assert mean.dtype == std.dtype == np.float32


def test_lengths_of_hand_made_episodes():
    assert hand_made().episodes["length"].tolist() == LENGTHS
