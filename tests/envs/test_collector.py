import subprocess
import sys

import numpy as np
import pytest

from vinci_offline import Dataset, collect
from vinci_offline.errors import SpecError, UsageError, VinciError
from vinci_offline.quality.validation import validate


def same(one, other):
    assert set(one.columns) == set(other.columns)
    for path in one.columns:
        assert one.columns[path].tobytes() == other.columns[path].tobytes(), path
    assert one.episodes.equals(other.episodes)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "data.h5"


def test_multi_discrete_observations_are_integers(toys, path):
    data = collect("vinci_toys:Digits", path, episodes=2, env_kwargs={"length": 3}, progress=False)
    assert data.columns["observations/bits"].tolist() == [[0, 0, 0], [1, 0, 0], [0, 1, 0]] * 2
    assert data.columns["next_observations/digits"].tolist() == [[0, 1], [0, 2], [0, 3]] * 2
    assert data.columns.dtype("observations/bits") == np.int8
    assert data.columns.dtype("observations/digits") == np.int64
    assert validate(path) == []


def test_tuple_observations_and_multi_discrete_actions_are_recorded(toys, path):
    data = collect("vinci_toys:Desk", path, episodes=40, env_kwargs={"length": 5}, progress=False)
    assert data.columns["observations/0"].tolist() == [0, 1, 2, 3, 4] * 40
    assert data.columns["next_observations/1"][:3, 0, 0].tolist() == [1, 2, 3]
    actions = data.columns["actions"]
    assert actions.dtype == np.int64
    assert np.array_equal(actions.min(axis=0), [1, 0, 0])
    assert np.array_equal(actions.max(axis=0), [4, 1, 1])
    # Each of the 4 x 2 x 2 actions has the same probability.
    assert data.columns["infos/action_log_probs"] == pytest.approx(np.log(1 / 16))
    assert validate(path) == []
    assert Dataset.from_pandas(data.to_pandas(), data.spec) == data
    actions = actions.copy()
    actions[7, 1] = 2
    wrong = Dataset.from_columns({**data.columns, "actions": actions}, data.spec).save(
        path.with_name("wrong.h5")
    )
    assert [str(p).partition(",")[0] for p in validate(wrong.path)] == [
        "actions row 7: 1 row outside the space"
    ]


def test_function_gets_tuple_and_gives_multi_discrete_action(toys, path):
    data = collect(
        "vinci_toys:Desk", path, episodes=4, policy="vinci_toys:dim", lanes=2, workers=2, progress=False
    )
    assert data.columns["actions"].tolist() == [[1, 1, 0], [2, 1, 1], [3, 1, 0], [4, 1, 1], [1, 1, 0]] * 4
    # The function is deterministic: log probability 0.
    assert not data.columns["infos/action_log_probs"].any()


def test_multi_binary_actions_are_bytes(toys, path):
    data = collect(toys.Switches, path, episodes=20, progress=False)
    assert data.columns["actions"].dtype == np.int8
    assert set(data.columns["actions"].reshape(-1).tolist()) == {0, 1}
    assert data.columns["infos/action_log_probs"] == pytest.approx(3 * np.log(0.5))


def test_rows_match_the_environment(toys, path):
    data = collect("vinci_toys:Counter", path, episodes=3, env_kwargs={"length": 4}, progress=False)
    assert data.columns["observations"][:, 0].tolist() == [0, 1, 2, 3] * 3
    # The true last observation, not the next episode's first.
    assert data.columns["next_observations"][:, 0].tolist() == [1, 2, 3, 4] * 3
    assert data.columns["rewards"] == pytest.approx(data.columns["actions"][:, 0])
    assert data.columns["terminals"].tolist() == [False, False, False, True] * 3
    assert not data.columns["timeouts"].any()
    assert data.episodes["length"].tolist() == [4, 4, 4]
    assert data.episodes["return"].tolist() == pytest.approx(
        data.columns["rewards"].reshape(3, 4).sum(axis=1)
    )
    assert data.spec.id == "vinci_toys:Counter"
    assert data.spec.kwargs == {"length": 4}


def test_truncation_sets_timeouts_and_keeps_last_row(toys, path):
    data = collect(
        toys.Counter, path, episodes=2, env_kwargs={"length": 3, "truncates": True}, progress=False
    )
    assert len(data) == 6
    assert data.columns["next_observations"][-1, 0] == 3
    assert not data.columns["terminals"].any()
    assert data.columns["timeouts"].tolist() == [False, False, True] * 2


@pytest.mark.parametrize("policy", ["random", "vinci_toys:follow"])
def test_steps_cut_the_last_episode_as_timeout(toys, path, policy):
    kwargs = {"length": 4, "max_episode_steps": 50}
    data = collect("vinci_toys:Counter", path, steps=10, policy=policy, env_kwargs=kwargs, progress=False)
    assert len(data) == 10
    assert data.columns["timeouts"].tolist() == [False] * 9 + [True]
    assert data.columns["terminals"].tolist() == [False, False, False, True] * 2 + [False, False]
    assert data.episodes["length"].tolist() == [4, 4, 2]
    assert data.episodes["terminated"].tolist() == [True, True, False]


def test_cut_at_a_terminal_row_is_no_timeout(toys, path):
    data = collect(toys.Counter, path, steps=8, env_kwargs={"length": 4}, progress=False)
    assert data.columns["terminals"][-1]
    assert not data.columns["timeouts"].any()


@pytest.mark.parametrize("policy", ["random", "vinci_toys:follow"])
def test_termination_at_the_time_limit_is_a_terminal(toys, path, policy):
    """The environment says both: D4RL's loader would skip the row, and lose the terminal."""
    kwargs = {"length": 4, "max_episode_steps": 4}
    data = collect("vinci_toys:Counter", path, episodes=3, policy=policy, env_kwargs=kwargs, progress=False)
    assert data.columns["terminals"].tolist() == [False, False, False, True] * 3
    assert not data.columns["timeouts"].any()
    assert data.episodes["fragment"].tolist() == [False] * 3
    assert validate(path) == []


@pytest.mark.parametrize("policy", ["random", "vinci_toys:follow", ["random", "vinci_toys:follow"]])
@pytest.mark.parametrize(("steps", "cut"), [(12, False), (14, True), (3, True)])
def test_episode_cut_by_steps_is_a_fragment(toys, path, policy, steps, cut):
    kwargs = {"length": 4, "truncates": True}
    data = collect("vinci_toys:Counter", path, steps=steps, policy=policy, env_kwargs=kwargs, progress=False)
    assert data.episodes["fragment"].tolist() == [False] * (steps // 4) + [True] * cut
    assert data.columns["timeouts"][-1]
    assert data.episodes["return"].isna().tolist() == data.episodes["fragment"].tolist()
    assert validate(path) == []


def test_endless_episode_is_cut_at_steps(toys, path):
    endless = {"length": 10**9}
    data = collect(toys.Counter, path, steps=3000, policy=toys.follow, env_kwargs=endless, progress=False)
    assert data.columns["next_observations"][:, 0].tolist() == list(range(1, 3001))
    assert data.episodes["length"].tolist() == [3000]


def test_episodes_depend_on_seed_and_number_alone(toys, path, tmp_path):
    options = {"policy": toys.draw, "env_kwargs": {"varied": True}, "progress": False}
    few = collect(toys.Counter, path, episodes=5, seed=3, lanes=2, **options)
    many = collect(toys.Counter, tmp_path / "many.h5", episodes=40, seed=3, lanes=7, **options)
    rows = len(few)
    assert few.columns["actions"].tobytes() == many.columns["actions"][:rows].tobytes()
    assert few.columns["observations"].tobytes() == many.columns["observations"][:rows].tobytes()
    assert few.episodes["seed"].tolist() == many.episodes["seed"].tolist()[:5]
    other = collect(toys.Counter, tmp_path / "other.h5", episodes=5, seed=4, **options)
    assert set(other.episodes["seed"]).isdisjoint(few.episodes["seed"])


def test_short_episodes_count_once(toys, path):
    # Stopping at the first 200 episodes to end would count too many short ones.
    data = collect(
        toys.Counter, path, episodes=200, policy=toys.follow, env_kwargs={"varied": True}, progress=False
    )
    lengths = data.episodes["length"]
    assert len(data.episodes) == 200
    assert lengths.mean() == pytest.approx(5, abs=0.5)
    assert data.episodes["seed"].is_unique


@pytest.mark.parametrize(
    ("policy", "options"),
    [
        ("random", {"steps": 700}),
        ("vinci_toys:draw", {"episodes": 120}),
        (["random", "vinci_toys:draw", "vinci_toys:follow"], {"steps": 700}),
    ],
    ids=str,
)
def test_workers_do_not_change_data(toys, path, tmp_path, policy, options):
    options = {
        **options,
        "policy": policy,
        "env_kwargs": {"varied": True, "max_episode_steps": 8},
        "progress": False,
    }
    alone = collect("vinci_toys:Counter", path, lanes=4, **options)
    same(alone, collect("vinci_toys:Counter", tmp_path / "two.h5", lanes=4, workers=2, **options))


def test_workers_do_not_change_hopper_data(path, tmp_path):
    pytest.importorskip("mujoco")
    alone = collect("Hopper-v5", path, steps=1500, progress=False)
    same(alone, collect("Hopper-v5", tmp_path / "two.h5", steps=1500, workers=2, progress=False))
    assert alone.columns["observations"].dtype == np.float32


def test_workers_do_not_change_keras_policy_data(path, tmp_path, pendulum_actor):
    pendulum_actor[1].save(tmp_path / "policy.keras")
    options = {"policy": str(tmp_path / "policy.keras"), "noise": "sample", "steps": 900, "progress": False}
    alone = collect("Pendulum-v1", path, **options)
    same(alone, collect("Pendulum-v1", tmp_path / "two.h5", workers=2, **options))
    assert np.isfinite(alone.columns["infos/action_log_probs"]).all()


def test_policies_take_turns_by_episode(toys, path):
    policies = [toys.follow, "random", toys.follow]
    data = collect(toys.Counter, path, episodes=7, policy=policies, lanes=2, progress=False)
    assert data.episodes["policy"].tolist() == [0, 1, 2, 0, 1, 2, 0]
    followed = np.isclose(data.columns["actions"], data.columns["observations"][:, :1] * 0.1 - 0.5)[:, 0]
    assert followed.reshape(7, 5).all(axis=1).tolist() == [True, False, True, True, False, True, True]


def test_log_probs_need_a_density_in_every_row(toys, path, tmp_path):
    column = "infos/action_log_probs"
    random = collect(toys.Counter, path, episodes=2, progress=False)
    assert random.columns[column] == pytest.approx(-np.log(4))
    mixed = collect(
        toys.Counter, tmp_path / "mixed.h5", episodes=4, policy=["random", toys.draw], progress=False
    )
    assert column not in mixed.columns
    batched = collect(toys.Counter, tmp_path / "batched.h5", episodes=4, policy=toys.Batched, progress=False)
    assert (batched.columns[column] == -1.5).all()


def test_batch_shape_stays_to_the_last_episode(toys, path):
    policy = toys.Batched()
    collect(
        toys.Counter, path, episodes=5, policy=policy, lanes=3, env_kwargs={"varied": True}, progress=False
    )
    assert policy.shapes == {(3, 2)}


def test_annealed_noise_reaches_its_final_level(toys, path, tmp_path):
    options = {"policy": toys.follow, "noise": "gaussian:0.4->0", "env_kwargs": {"max_episode_steps": 5}}
    by_episode = collect(toys.Counter, path, episodes=200, progress=False, **options)
    added = by_episode.columns["actions"] - (by_episode.columns["observations"][:, :1] * 0.1 - 0.5)
    assert np.abs(added[-5:]).max() < 1e-6
    assert added[:100].std() > 3 * added[-100:].std()
    by_step = collect(toys.Counter, tmp_path / "steps.h5", steps=1000, progress=False, **options)
    same(
        by_step, collect(toys.Counter, tmp_path / "two.h5", steps=1000, workers=2, progress=False, **options)
    )


def test_dict_observations_have_a_column_per_key(toys, path):
    data = collect(
        toys.Keyed, path, episodes=2, policy=lambda observation: observation["count"][:1], progress=False
    )
    assert data.columns["observations/image"].dtype == np.uint8
    assert data.columns["observations/image"].shape == (10, 2, 2)
    assert data.columns["next_observations/count"][:5, 0].tolist() == [1, 2, 3, 4, 5]
    assert data.columns["actions"][:5, 0].tolist() == [0, 1, 2, 3, 3]  # the fifth is clipped to the bound


def test_discrete_values_are_stored_unchanged(toys, path):
    data = collect(
        toys.Chooser, path, episodes=3, policy=lambda observation: 2 + observation % 3, progress=False
    )
    assert data.columns["actions"].dtype == np.int64
    assert data.columns["actions"][:5].tolist() == [2, 3, 4, 2, 3]
    assert data.columns["observations"][:5].tolist() == [0, 1, 2, 3, 4]
    assert (data.columns["infos/action_log_probs"] == 0).all()


def test_float64_option_keeps_float64(toys, path, tmp_path):
    kwargs = {"dtype": "float64"}
    narrow = collect(toys.Counter, path, episodes=1, env_kwargs=kwargs, progress=False)
    wide = collect(
        toys.Counter, tmp_path / "wide.h5", episodes=1, env_kwargs=kwargs, float64=True, progress=False
    )
    assert narrow.columns["observations"].dtype == np.float32
    assert wide.columns["observations"].dtype == np.float64
    assert wide.columns["rewards"].dtype == np.float64
    assert (
        narrow.columns["observations"].tobytes() == wide.columns["observations"].astype(np.float32).tobytes()
    )


def test_record_infos_adds_columns(toys, path):
    data = collect(toys.Counter, path, episodes=2, record_infos=["count", "pair"], progress=False)
    assert data.columns["infos/count"].tolist() == [1, 2, 3, 4, 5] * 2
    assert data.columns["infos/pair"].shape == (10, 2)


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        (["speed"], "has no 'speed'"),
        (["word"], "not numbers"),
        (["a//b"], "cannot name"),
        (["count", "count"], "twice"),
        (["action_log_probs"], "by itself"),
    ],
)
def test_bad_infos_are_refused(toys, path, keys, says):
    with pytest.raises(UsageError, match=says):
        collect(toys.Counter, path, episodes=1, record_infos=keys, progress=False)
    assert list(path.parent.iterdir()) == []


def test_made_environment_has_one_lane(toys, path):
    env = toys.Counter(length=3)
    data = collect(env, path, episodes=4, policy=toys.follow, lanes=8, progress=False)
    assert data.episodes["length"].tolist() == [3] * 4
    env.reset(seed=0)  # still open
    with pytest.raises(UsageError, match="already made has one worker"):
        collect(env, path.with_name("two.h5"), episodes=4, workers=2, progress=False)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "either steps=N or episodes=N"),
        ({"steps": 5, "episodes": 5}, "either steps=N or episodes=N"),
        ({"steps": 0}, "steps must be at least 1, not 0"),
        ({"episodes": -1}, "episodes must be at least 1, not -1"),
        ({"steps": 5, "seed": -1}, "seed must be at least 0, not -1"),
        ({"steps": 5, "workers": 0}, "workers must be at least 1, not 0"),
        ({"steps": 5, "lanes": 0}, "lanes must be at least 1, not 0"),
        ({"steps": 5, "policy": []}, "no policy"),
        ({"steps": 5, "policy": "unknown"}, "unknown policy"),
        ({"steps": 5, "policy": "unknown", "workers": 2}, "unknown policy"),
        ({"steps": 5, "noise": "gaussian:0.1"}, "no effect on the random policy"),
        ({"steps": 5, "noise": "loud"}, "unknown noise"),
        ({"steps": 5, "compress": "zip"}, "compress must be"),
        ({"steps": 5, "resume": True, "overwrite": True}, "give one of them"),
    ],
    ids=str,
)
def test_bad_options_leave_no_files(toys, path, options, says):
    with pytest.raises(UsageError, match=says):
        collect(toys.Counter, path, progress=False, **options)
    assert list(path.parent.iterdir()) == []


def test_gaussian_noise_on_discrete_actions_is_refused(toys, path):
    with pytest.raises(UsageError, match="discrete"):
        collect(
            toys.Chooser, path, steps=5, policy=lambda observation: 2, noise="gaussian:0.1", progress=False
        )


def test_existing_file_needs_overwrite(toys, path):
    path.write_text("precious")
    with pytest.raises(UsageError, match="exists already"):
        collect(toys.Counter, path, steps=5, progress=False)
    assert path.read_text() == "precious"
    assert len(collect(toys.Counter, path, steps=5, overwrite=True, progress=False)) == 5


def test_policy_of_another_environment_is_refused(path, pendulum_actor):
    with pytest.raises(SpecError, match="CartPole-v1"):
        collect("CartPole-v1", path, steps=5, policy=pendulum_actor[0], progress=False)


def test_worker_errors_reach_the_caller(toys, path):
    with pytest.raises(UsageError, match="workers=1"):
        collect(toys.Counter, path, episodes=2, workers=2, policy=lambda observation: [0.0], progress=False)
    with pytest.raises(VinciError, match="RuntimeError: no idea what to do"):
        collect(toys.Counter, path, episodes=2, workers=2, policy=toys.broken, progress=False)
    assert list(path.parent.iterdir()) == []


def test_wrong_observation_shape_is_refused(toys, path):
    class Wrong(toys.Counter):
        def _observation(self):
            return np.zeros(1, np.float32)

    with pytest.raises(SpecError, match=r"shape \(1,\).*Box\(2,\)"):
        collect(Wrong, path, episodes=1, progress=False)


def test_script_without_main_guard_fails_in_one_line(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import vinci_offline\n"
        "vinci_offline.collect('Pendulum-v1', 'd.h5', steps=8000, workers=2, overwrite=True, progress=False)\n"
    )
    done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith("put the script's work under if __name__ == '__main__':")
