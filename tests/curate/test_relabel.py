"""Hindsight relabelling: goals, rewards, ends of the copies."""

from __future__ import annotations

import numpy as np
import pytest
from data_examples import box, continuous_spec, make_columns

from vinci_offline import Dataset, EnvironmentSpec, SpecError, UsageError
from vinci_offline.curate.goals import WithinDistance
from vinci_offline.curate.relabel import Relabelling, relabel
from vinci_offline.spec import DictSpace

THRESHOLD = 0.5


def goal_spec(desired=2):
    goals = {"observation": box(3), "achieved_goal": box(2), "desired_goal": box(desired)}
    return EnvironmentSpec(DictSpace(goals), box(1, low=-1, high=1), id="Reach-v0")


def reaching(lengths=(5, 4, 6), terminating=False, seed=0, infos=("action_log_probs", "speed")):
    """Return walks with the reward of `WithinDistance`; ``terminating`` ends the first one at its goal."""
    columns = make_columns(goal_spec(), list(lengths), seed, infos=infos[:1])
    rows = sum(lengths)
    if len(infos) > 1:
        columns["infos/speed"] = np.arange(rows, dtype=np.float32)
    last = np.cumsum(lengths) - 1
    goal = np.random.default_rng(seed).uniform(2, 3, (len(lengths), 2)).repeat(lengths, axis=0)
    columns["observations/desired_goal"] = columns["next_observations/desired_goal"] = goal.astype(np.float32)
    if terminating:
        columns["next_observations/achieved_goal"][last[0]] = goal[last[0]]
    reached = WithinDistance(THRESHOLD).reached(
        columns["next_observations/achieved_goal"], columns["next_observations/desired_goal"]
    )
    columns["rewards"] = np.where(reached, 0, -1).astype(np.float32)
    columns["terminals"] = reached if terminating else np.zeros(rows, bool)
    columns["timeouts"] = np.isin(np.arange(rows), last) & ~columns["terminals"]
    return Dataset.from_columns(
        columns, goal_spec(), {"length": lengths, "seed": np.arange(len(lengths))}, {"policy": "walk"}
    )


def goal_rows(dataset, copy):
    """Return the rows that reached a copy's goals; walks never reach the same place twice."""
    reached = dataset.columns["next_observations/achieved_goal"]
    given = copy.columns["observations/desired_goal"]
    return np.array([int(np.flatnonzero((reached == goal).all(axis=1))[0]) for goal in given])


def copies_of(dataset, made, number):
    return made.rows(slice(number * len(dataset), (number + 1) * len(dataset)))


def test_future_goals_come_from_later_rows_of_the_episode():
    dataset = reaching(lengths=(30, 20, 40))
    made = relabel(dataset, Relabelling("future", 3, seed=1), WithinDistance(THRESHOLD)).dataset
    assert len(made) == 4 * len(dataset)
    ends = np.repeat(np.cumsum([30, 20, 40]), [30, 20, 40])
    seen = []
    for number in (1, 2, 3):
        rows = goal_rows(dataset, copies_of(dataset, made, number))
        assert (np.arange(90) <= rows).all()
        assert (rows < ends).all()
        seen.append(rows)
    assert (seen[0] != seen[1]).any()
    # Uniform over what is left of the episode.
    shares = np.concatenate([(rows - np.arange(90)) / (ends - np.arange(90)) for rows in seen])
    assert 0.35 < shares.mean() < 0.55


def test_random_goals_come_from_all_rows():
    dataset = reaching(lengths=(30, 20, 40))
    made = relabel(dataset, Relabelling("random", 1), WithinDistance(THRESHOLD)).dataset
    rows = goal_rows(dataset, copies_of(dataset, made, 1))
    assert (rows < np.arange(90)).any()
    assert len(set(rows)) > 40


def test_rewards_goals_and_ends_of_a_copy():
    dataset = reaching()
    made = relabel(dataset, Relabelling("future", 1), WithinDistance(THRESHOLD)).dataset
    first, copy = copies_of(dataset, made, 0), copies_of(dataset, made, 1)
    for path in first.columns:
        np.testing.assert_array_equal(first.columns[path], dataset.columns[path])
    for path in ("observations/observation", "observations/achieved_goal", "actions", "infos/speed"):
        np.testing.assert_array_equal(copy.columns[path], dataset.columns[path])
    goal = copy.columns["next_observations/desired_goal"]
    np.testing.assert_array_equal(goal, copy.columns["observations/desired_goal"])
    apart = np.linalg.norm(copy.columns["next_observations/achieved_goal"] - goal, axis=1)
    np.testing.assert_array_equal(copy.columns["rewards"], np.where(apart <= THRESHOLD, 0, -1))
    assert (copy.columns["rewards"] == 0).any()
    assert copy.columns["timeouts"].all()
    assert not copy.columns["terminals"].any()


def test_each_copy_is_an_episode_of_one_row(tmp_path):
    dataset = reaching()
    made = relabel(dataset, Relabelling("future", 2, seed=5), WithinDistance(THRESHOLD))
    saved = made.dataset.save(tmp_path / "d.h5")
    table = saved.episodes
    assert table["length"].tolist() == [5, 4, 6] + [1] * 30
    assert table["relabelled"].tolist() == [0] * 3 + [1] * 15 + [2] * 15
    assert table["seed"].tolist()[3:18] == [0] * 5 + [1] * 4 + [2] * 6
    assert saved.attributes["parents"] == [dataset.hash]
    assert saved.attributes["relabelling"] == {"strategy": "future", "copies": 2, "seed": 5}
    assert saved.attributes["policy"] == "walk"
    assert "infos/action_log_probs" not in saved.columns
    assert made.notes == (
        "rewards are the recorded ones in 15 of 15 rows looked at",
        "action_log_probs are left out: they are densities under the recorded goals",
    )


def test_goals_do_not_depend_on_blocks(monkeypatch):
    def goals(seed):
        made = relabel(reaching(), Relabelling("future", 2, seed), WithinDistance(THRESHOLD)).dataset
        return made.hash

    whole = goals(3)
    monkeypatch.setattr("vinci_offline.data.columns.BLOCK_BYTES", 50)
    assert goals(3) == whole
    assert goals(4) != whole


def test_terminals_of_copies_follow_the_goal():
    dataset = reaching(terminating=True)
    assert dataset.columns["terminals"].sum() == 1
    made = relabel(dataset, Relabelling("future", 1), WithinDistance(THRESHOLD)).dataset
    copy = copies_of(dataset, made, 1)
    np.testing.assert_array_equal(copy.columns["terminals"], copy.columns["rewards"] == 0)
    np.testing.assert_array_equal(copy.columns["timeouts"], ~copy.columns["terminals"])


def changed(dataset, **columns):
    return Dataset.from_columns({**dataset.columns, **columns}, dataset.spec)


def test_terminals_without_a_goal_reached_are_refused():
    dataset = reaching()
    fallen = np.arange(15) == 14
    with pytest.raises(
        UsageError, match=r"terminals are not where the goal is reached \(row 14\): give an environment"
    ):
        relabel(changed(dataset, terminals=fallen), Relabelling("future", 1), WithinDistance(THRESHOLD))


def test_unlike_reward_is_refused():
    dataset = reaching()
    with pytest.raises(UsageError, match=r"rewards of relabelled rows would not follow .* in 15 of 15 rows"):
        relabel(changed(dataset, rewards=np.ones(15)), Relabelling("future", 1), WithinDistance(THRESHOLD))


def test_observations_without_goals_are_refused():
    spec = continuous_spec()
    plain = Dataset.from_columns(make_columns(spec, [3]), spec)
    with pytest.raises(SpecError, match="Dict observations with achieved_goal"):
        relabel(plain, Relabelling("future", 1), WithinDistance(1))
    other = Dataset.from_columns(make_columns(goal_spec(3), [3]), goal_spec(3))
    with pytest.raises(SpecError, match="achieved_goal and desired_goal differ in shape"):
        relabel(other, Relabelling("future", 1), WithinDistance(1))


@pytest.mark.parametrize("text", ["future", "future:0", "future:-1", "final:2", ":3", "future:4.5"])
def test_malformed_relabelling_is_refused(text):
    with pytest.raises(UsageError, match="write future:K or random:K"):
        Relabelling.parse(text)


def test_threshold_must_be_positive():
    assert Relabelling.parse("random:2", 7) == Relabelling("random", 2, 7)
    for threshold in (0.0, -1.0, float("nan")):
        with pytest.raises(UsageError, match="give a distance above 0"):
            WithinDistance(threshold)
