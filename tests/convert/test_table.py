"""Frames of any layout to datasets: order, episodes, ends, spaces."""

import numpy as np
import pandas as pd
import pytest
from data_examples import continuous_spec, discrete_spec, lengths, make_columns, seeds, specs
from hypothesis import given, settings
from hypothesis import strategies as st

from vinci_offline import Dataset
from vinci_offline.convert.conversion import read, write
from vinci_offline.data.assembly.options import ImportOptions
from vinci_offline.errors import DatasetError, SpecError, UsageError


def visits(**changed):
    """Return two users' visits, in no order."""
    content = {
        "user": ["b", "a", "b", "a", "a"],
        "visit": [1, 0, 0, 2, 1],
        "age": [11.0, 0.0, 10.0, 2.0, 1.0],
        "dose": [0.1, 0.2, 0.3, 0.4, 0.5],
        "gain": [1.0, 2.0, 3.0, 4.0, 5.0],
    }
    return pd.DataFrame(content | changed)


NAMES = {"episode": "user", "step": "visit", "observation": "age", "action": "dose", "reward": "gain"}


def taken(frame, columns=NAMES, **options):
    return Dataset.from_pandas(frame, columns=columns, **options)


def decisions(dataset):
    return " / ".join(dataset.attributes["conversion"]["decisions"])


def test_rows_are_sorted_by_episode_and_step():
    found = taken(visits(), ends="terminal")
    assert found.columns["observations"][:, 0].tolist() == [0, 1, 2, 10, 11]
    assert found.columns["rewards"].tolist() == [2, 5, 4, 3, 1]
    assert found.episodes["length"].tolist() == [3, 2]
    assert "rows were sorted by episode and step" in decisions(found)


def test_rows_in_order_are_kept():
    frame = visits().sort_values(["user", "visit"], ascending=[False, True])
    found = taken(frame, ends="terminal")
    assert found.columns["observations"][:, 0].tolist() == [10, 11, 0, 1, 2]
    assert "sorted" not in decisions(found)


def test_next_observations_come_from_following_row():
    found = taken(visits(), ends="terminal")
    assert found.columns["next_observations"][:, 0].tolist() == [1, 2, 2, 11, 11]
    assert found.columns["terminals"].tolist() == [False, False, True, False, True]
    assert "its own stands in" in decisions(found)


def test_last_row_of_timeout_is_dropped():
    found = taken(visits(), ends="timeout")
    assert found.columns["observations"][:, 0].tolist() == [0, 1, 10]
    assert found.columns["timeouts"].tolist() == [False, True, True]
    assert list(found.attributes["conversion"]["dropped"].values()) == [2]


def test_unknown_ends_need_option():
    with pytest.raises(UsageError, match="the frame does not say whether its episodes terminated"):
        taken(visits())


def test_terminal_column_tells_ends():
    frame = visits(gone=[0, 0, 0, 1, 0])
    found = taken(frame, NAMES | {"terminal": "gone"})
    assert found.columns["terminals"].tolist() == [False, False, True, False]
    assert "1 episodes end in a row without a flag" in decisions(found)


def test_missing_step_cuts_episode():
    frame = visits(visit=[1, 0, 0, 3, 1])
    found = taken(frame, ends="terminal", settings={"step": "number"})
    assert found.columns["observations"][:, 0].tolist() == [0, 2, 10, 11]
    assert found.episodes["length"].tolist() == [1, 1, 2]
    assert "1 episodes are cut where steps are missing" in decisions(found)


def test_times_only_order_rows():
    found = taken(visits(visit=[7.5, 0.0, 1.0, 3.25, 0.5]), ends="terminal")
    assert found.episodes["length"].tolist() == [3, 2]


def test_repeated_step_is_refused():
    with pytest.raises(DatasetError, match="step 0 comes twice in one episode"):
        taken(visits(visit=[1, 0, 0, 0, 1]), ends="terminal")


def test_steps_tell_episodes():
    frame = visits().sort_values(["user", "visit"])
    names = {name: source for name, source in NAMES.items() if name != "episode"}
    found = taken(frame, names, ends="terminal")
    assert found.episodes["length"].tolist() == [3, 2]
    assert "left out, since nothing is mapped to them: user" in decisions(found)


def test_each_row_is_an_episode_of_a_bandit():
    names = {name: NAMES[name] for name in ("observation", "action", "reward")}
    with pytest.raises(UsageError, match="--ends terminal if each row is an episode of its own"):
        taken(visits(), names)
    found = taken(visits(), names, ends="terminal")
    assert found.episodes["length"].tolist() == [1] * 5
    assert found.columns["terminals"].all()


def test_propensity_becomes_log_probability():
    frame = visits(p=[1.0, 0.5, 0.25, 0.125, 1.0])
    found = taken(frame, NAMES | {"propensity": "p"}, ends="terminal")
    np.testing.assert_allclose(
        found.columns["infos/action_log_probs"], np.log([0.5, 1, 0.125, 0.25, 1]), rtol=1e-15
    )


@pytest.mark.parametrize("wrong", [0.0, 1.5, -0.1, np.nan])
def test_invalid_propensity_is_refused(wrong):
    with pytest.raises(DatasetError, match=rf"propensity of row 2 is {wrong}, not in \(0, 1\]"):
        taken(visits(p=[1, 1, wrong, 1, 1]), NAMES | {"propensity": "p"}, ends="terminal")


def test_number_of_choices_comes_from_spec():
    frame = visits(dose=[0, 1, 2, 3, 1], age=np.zeros((5,)), more=0.0, most=0.0)
    names = NAMES | {"observation": "age,more,most"}
    with pytest.raises(UsageError, match="the largest seen need not be the last"):
        taken(frame, names, ends="terminal")
    found = taken(frame, names, ends="terminal", spec=discrete_spec(5))
    assert found.columns["actions"].dtype == np.int64
    assert found.spec.action_space.n == 5
    with pytest.raises(DatasetError, match="the action of row 3 is 3, not of 0 … 2"):
        taken(frame, names, ends="terminal", spec=discrete_spec(3))


@pytest.mark.parametrize(
    ("frame", "columns", "message"),
    [
        (visits(), NAMES | {"reward": "cost"}, "the frame has no column cost; it has user, visit"),
        (visits(dose="much"), NAMES, "column dose: str values are no numbers"),
        (
            visits(),
            {"observation": "age", "action": "dose"},
            "no column reward: say which it is with --map reward",
        ),
        (visits().iloc[:0], NAMES, "the frame holds no rows"),
        (
            visits(observation_0=0.0, observation_2=0.0),
            {name: source for name, source in NAMES.items() if name != "observation"},
            "the frame has observation_2 without all of those before it",
        ),
    ],
)
def test_bad_frame_is_one_line(frame, columns, message):
    with pytest.raises(DatasetError, match=message) as caught:
        taken(frame, columns, ends="terminal")
    assert "\n" not in str(caught.value)


def test_complete_frame_is_taken_as_it_is():
    spec = continuous_spec()
    dataset = Dataset.from_columns(make_columns(spec, [4, 2, 3], terminated=[True, False, True]), spec)
    frame = dataset.to_pandas().rename(columns={"reward": "gain"})
    found = taken(frame.sample(frac=1, random_state=0), {"reward": "gain"}, spec=spec)
    for path in dataset.columns:
        np.testing.assert_array_equal(found.columns[path], dataset.columns[path], err_msg=path)
    assert found.episodes["length"].tolist() == [4, 2, 3]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
@given(specs, lengths, seeds, st.data())
@settings(max_examples=40)
def test_roundtrip_of_any_spaces(tmp_path_factory, kind, spec, lengths, seed, data):
    """Refuse spaces at export, or import the same columns, dtypes and episodes."""
    ended = data.draw(st.lists(st.booleans(), min_size=len(lengths), max_size=len(lengths)))
    columns = make_columns(spec, lengths, seed, ended, infos=["cost", "force"])
    columns["infos/cost"][0] = data.draw(st.floats(width=32))
    dataset = Dataset.from_columns(columns, spec)
    path = tmp_path_factory.mktemp("table") / f"data.{kind}"
    try:
        write(dataset, path, kind=kind)
    except SpecError:
        assert not path.exists()
        return
    found = read(path, kind=kind, options=ImportOptions(spec))
    assert not found.dropped
    for name in dataset.columns:
        np.testing.assert_array_equal(found.dataset.columns[name], dataset.columns[name], err_msg=name)
        assert found.dataset.columns.dtype(name) == dataset.columns.dtype(name)
    assert found.dataset.episode_columns["length"].tolist() == lengths
