"""The step column of a table: consecutive numbers with gaps, or an order; and rows without episode, step or flag."""

import json

import numpy as np
import pandas as pd
import pytest

from vinci_offline import Dataset
from vinci_offline.convert.conversion import read
from vinci_offline.data.assembly.options import ImportOptions
from vinci_offline.errors import DatasetError, UsageError

KINDS = ("csv", "jsonl", "parquet", "pandas")


def log(**changed):
    """Return a log of two episodes, in which step 2 of the first is missing."""
    content = {
        "episode": ["a", "a", "a", "a", "b", "b"],
        "step": [0, 1, 3, 4, 0, 1],
        "observation_0": [0.5, 1.5, 3.5, 4.5, 10.5, 11.5],
        "action_0": [0.25] * 6,
        "reward": [0.0, 1.0, 3.0, 4.0, 10.0, 11.0],
    }
    return pd.DataFrame({name: values for name, values in (content | changed).items() if values is not None})


def imported(tmp_path, frame, kind="csv", *, ends="terminal", columns=None, time_limit=None, **settings):
    """Import a frame by one of the kinds of tables. Return the dataset, the decisions, and the dropped rows."""
    if kind == "pandas":
        found = Dataset.from_pandas(frame, columns=columns or {}, ends=ends, settings=settings)
        return found, found.attributes["conversion"]["decisions"], found.attributes["conversion"]["dropped"]
    path = tmp_path / f"log.{kind}"
    if kind == "csv":
        frame.to_csv(path, index=False)
    elif kind == "jsonl":
        rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
        path.write_text("".join(f"{json.dumps(row, default=str)}\n" for row in rows))
    else:
        pytest.importorskip("pyarrow")
        frame.to_parquet(path, index=False)
    options = ImportOptions(ends=ends, settings=settings, columns=columns or {}, time_limit=time_limit)
    found = read(path, kind=kind, options=options)
    return found.dataset, list(found.decisions), dict(found.dropped)


def states(dataset):
    return dataset.columns["observations"][:, 0].tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_row_before_gap_is_dropped(tmp_path, kind):
    dataset, decisions, dropped = imported(tmp_path, log(), kind, step="number")
    assert states(dataset) == [0.5, 3.5, 4.5, 10.5, 11.5]
    assert dataset.columns["next_observations"][:, 0].tolist() == [1.5, 4.5, 4.5, 11.5, 11.5]
    assert dataset.columns["terminals"].tolist() == [False, False, True, False, True]
    assert dataset.columns["timeouts"].tolist() == [True, False, False, False, False]
    assert dataset.episodes["fragment"].tolist() == [True, True, False]
    assert dropped == {"rows before a gap in the steps, without a next observation": 1}
    assert "1 episodes are cut where steps are missing" in decisions


def test_row_before_gap_with_own_next_observation_is_timeout(tmp_path):
    frame = log(next_observation_0=[1.5, 2.5, 4.5, 5.5, 11.5, 12.5])
    dataset, decisions, dropped = imported(tmp_path, frame, step="number")
    assert states(dataset) == [0.5, 1.5, 3.5, 4.5, 10.5, 11.5]
    assert dataset.columns["terminals"].tolist() == [False, False, False, True, False, True]
    assert dataset.columns["timeouts"].tolist() == [False, True, False, False, False, False]
    assert "1 rows before a gap in the steps are timeouts" in decisions
    assert not dropped


@pytest.mark.parametrize(
    ("limit", "terminals", "kept"),
    [
        # The first episode has five steps, one of which is missing.
        (5, [False, False, False, True], [0.5, 3.5, 10.5, 11.5]),
        (6, [False, False, True, False, True], [0.5, 3.5, 4.5, 10.5, 11.5]),
    ],
)
def test_missing_steps_count_for_time_limit(tmp_path, limit, terminals, kept):
    dataset, _, dropped = imported(tmp_path, log(), ends="limit", time_limit=limit, step="number")
    assert states(dataset) == kept
    assert dataset.columns["terminals"].tolist() == terminals
    assert dropped["rows before a gap in the steps, without a next observation"] == 1


def test_episode_with_missing_steps_beyond_limit_is_refused(tmp_path):
    with pytest.raises(UsageError, match="an episode has 5 steps, more than the time limit of 4"):
        imported(tmp_path, log(), ends="limit", time_limit=4, step="number")


def test_steps_that_make_no_episode_column_have_gaps(tmp_path):
    dataset, _, dropped = imported(tmp_path, log(episode=None), step="number")
    assert states(dataset) == [0.5, 3.5, 4.5, 10.5, 11.5]
    assert dataset.columns["terminals"].tolist() == [False, False, True, False, True]
    assert sum(dropped.values()) == 1


def test_terminal_flag_before_gap_holds(tmp_path):
    frame = log(terminal=[0, 1, 0, 1, 0, 0])
    dataset, decisions, dropped = imported(tmp_path, frame, ends=None, step="number")
    assert states(dataset) == [0.5, 1.5, 3.5, 4.5, 10.5]
    assert dataset.columns["terminals"].tolist() == [False, True, False, True, False]
    assert "1 episodes end in a row without a flag: they were cut there" in decisions
    assert dropped == {"last rows of episodes that timed out, without a next observation": 1}


@pytest.mark.parametrize("kind", KINDS)
def test_steps_that_are_not_consecutive_are_asked_for(tmp_path, kind):
    with pytest.raises(
        UsageError, match=r"3 after 1, and others 1 apart\): say --set step=order .* or --set step=n"
    ):
        imported(tmp_path, log(), kind)


@pytest.mark.parametrize("kind", KINDS)
def test_whole_seconds_order_rows(tmp_path, kind):
    frame = log(step=[1714552200, 1714552201, 1714552207, 1714552230, 1714552201, 1714552260])
    with pytest.raises(UsageError, match="say --set step=order"):
        imported(tmp_path, frame, kind)
    dataset, decisions, dropped = imported(tmp_path, frame, kind, step="order")
    assert states(dataset) == [0.5, 1.5, 3.5, 4.5, 10.5, 11.5]
    assert dataset.columns["terminals"].tolist() == [False, False, False, True, False, True]
    assert "the step only orders rows, as --set step=order says" in decisions
    assert not dropped


def test_every_fifth_step_is_consecutive(tmp_path):
    dataset, decisions, _ = imported(tmp_path, log(step=[0, 5, 10, 15, 5, 10]))
    assert dataset.episodes["length"].tolist() == [4, 2]
    assert not any("step" in text and "cut" in text for text in decisions)


def test_decimal_steps_order_rows(tmp_path):
    dataset, decisions, _ = imported(tmp_path, log(step=[0.0, 0.5, 3.0, 3.1, 7.0, 9.0]))
    assert dataset.episodes["length"].tolist() == [4, 2]
    assert "the step only orders rows: its numbers are not whole" in decisions
    with pytest.raises(UsageError, match="the steps are no whole numbers: say --set step=order"):
        imported(tmp_path, log(step=[0.0, 0.5, 3.0, 3.1, 7.0, 9.0]), step="number")


def test_episode_begins_where_decimal_steps_start_again(tmp_path):
    dataset, _, _ = imported(tmp_path, log(episode=None, step=[0.0, 0.5, 3.0, 3.1, 0.0, 9.0]))
    assert dataset.episodes["length"].tolist() == [4, 2]


def test_day_numbers_as_order_end_each_episode_once(tmp_path):
    rng = np.random.default_rng(0)
    days = np.cumsum(rng.integers(1, 9, (5, 700)), axis=1).reshape(-1)
    frame = pd.DataFrame(
        {
            "episode": np.repeat(np.arange(5), 700),
            "step": days,
            "observation_0": rng.normal(size=3500),
            "action_0": 0.1,
            "reward": 1.0,
        }
    )
    dataset, _, _ = imported(tmp_path, frame, "pandas", step="order")
    assert dataset.columns["terminals"].sum() == 5
    counted, _, dropped = imported(tmp_path, frame, "pandas", step="number")
    assert counted.columns["terminals"].sum() == 5
    assert len(counted) + sum(dropped.values()) == 3500


ISO = ["2024-05-01", "2024-05-02", "2024-05-04", "2024-05-09", "2024-04-30", "2024-05-01"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "steps",
    [
        ISO,
        [f"{day}T08:30:00Z" for day in ISO],
        [f"{day} 08:30:00.123456789" for day in ISO],
        [f"{day} 08:30+0200" for day in ISO],
    ],
    ids=["date", "zulu", "nanoseconds", "offset"],
)
def test_iso_texts_order_rows(tmp_path, kind, steps):
    frame = log(step=steps).iloc[[3, 0, 5, 4, 1, 2]]
    with pytest.raises(
        UsageError, match="the steps are dates or times, which only order rows: say --set step=order"
    ):
        imported(tmp_path, frame, kind, step="number")
    dataset, decisions, dropped = imported(tmp_path, frame, kind)
    assert "the step only orders rows: it holds dates or times" in decisions
    assert states(dataset) == [0.5, 1.5, 3.5, 4.5, 10.5, 11.5]
    assert not dropped


@pytest.mark.parametrize("kind", ["csv", "parquet", "pandas"])
@pytest.mark.parametrize("unit", ["ns", "us", "s"])
@pytest.mark.parametrize("zone", [None, "Europe/Vienna"])
def test_datetimes_order_rows(tmp_path, kind, unit, zone):
    times = (
        pd.Series(pd.to_datetime(ISO))
        .dt.tz_localize(zone)
        .astype(f"datetime64[{unit}{', ' + zone if zone else ''}]")
    )
    if unit == "ns":
        times += pd.to_timedelta(np.arange(6), unit="ns")  # in order by these alone within a day
    frame = log(step=times).iloc[[5, 3, 4, 2, 1, 0]]
    dataset, _, _ = imported(tmp_path, frame, kind, step="order")
    assert states(dataset) == [0.5, 1.5, 3.5, 4.5, 10.5, 11.5]


def test_durations_order_rows(tmp_path):
    frame = log(step=pd.to_timedelta([1, 2, 4, 9, 0, 7], unit="s")).iloc[[5, 3, 4, 2, 1, 0]]
    for kind in ("parquet", "pandas"):
        assert states(imported(tmp_path, frame, kind, step="order")[0]) == [0.5, 1.5, 3.5, 4.5, 10.5, 11.5]


def test_times_of_different_zones_are_compared_in_utc(tmp_path):
    hours = ["10:00+02:00", "09:00Z", "11:30+02:00", "11:00Z", "00:00Z", "01:00Z"]
    frame = log(step=[f"2024-05-01T{hour}" for hour in hours])
    assert states(imported(tmp_path, frame, step="order")[0]) == [0.5, 1.5, 3.5, 4.5, 10.5, 11.5]


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        (
            ["noon", *ISO[1:]],
            "line 2: step is 'noon', neither a number of 64 bits nor a date or time such as 2024",
        ),
        (["2024-13-01", *ISO[1:]], "line 2: step is '2024-13-01', neither"),
        (["0001-01-01", *ISO[1:]], "line 2: step is '0001-01-01', neither"),
        ([*ISO[:2], "3", *ISO[3:]], "line 4: step is a number after a time: write all alike"),
        ([*ISO[:2], "2024-05-04T00:00Z", *ISO[3:]], "line 4: step is a time with a zone after a time"),
    ],
)
def test_steps_that_cannot_be_read_are_named(tmp_path, steps, message):
    with pytest.raises(DatasetError, match=message) as caught:
        imported(tmp_path, log(step=steps), step="order")
    assert "categories" not in str(caught.value)


def test_step_is_no_category(tmp_path):
    with pytest.raises(UsageError, match="a step is no category: say --set step=order"):
        imported(tmp_path, log(step=ISO), categories="step")


def test_unknown_meaning_of_steps_is_refused(tmp_path):
    with pytest.raises(UsageError, match="--set step=time: there are number and order"):
        imported(tmp_path, log(), step="time")
    with pytest.raises(UsageError, match="from_pandas has no setting steps: it has actions, action_low"):
        imported(tmp_path, log(), "pandas", steps="order")


@pytest.mark.parametrize("kind", KINDS)
def test_repeated_step_names_episode_and_line(tmp_path, kind):
    frame = log(step=[0, 1, 2, 3, 1, 1]).iloc[[4, 0, 1, 2, 3, 5]]
    places = {"csv": "line 2 and line 7", "jsonl": "line 1 and line 6"}.get(kind, "row 0 and row 5")
    with pytest.raises(DatasetError, match=f"episode b: step 1 comes twice in one episode, in {places}"):
        imported(tmp_path, frame, kind)


def test_lines_are_those_of_the_file(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("episode,step,observation_0,action_0,reward\n\na,0,1.5,0.5,1\n\n\na,0,1.5,0.5,1\n")
    with pytest.raises(
        DatasetError, match="episode a: step 0 comes twice in one episode, in line 3 and line 6"
    ):
        read(path, kind="csv")


@pytest.mark.parametrize("kind", KINDS)
def test_interleaved_episodes_are_put_together(tmp_path, kind):
    frame = log(step=None).iloc[[4, 0, 1, 2, 5, 3]]
    dataset, decisions, dropped = imported(tmp_path, frame, kind)
    assert states(dataset) == [10.5, 11.5, 0.5, 1.5, 3.5, 4.5]
    assert dataset.columns["terminals"].tolist() == [False, True, False, False, False, True]
    assert "rows of one episode were put together, in the order of the file" in decisions
    assert not dropped


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("missing", [None, np.nan], ids=["none", "nan"])
@pytest.mark.parametrize("name", ["episode", "step", "terminal", "timeout", "action_0"])
def test_row_without_key_is_refused(tmp_path, kind, missing, name):
    frame = log(step=range(6), terminal=[False] * 6, timeout=[False] * 6)
    frame[name] = pd.Series(
        [*frame[name][:3], missing, *frame[name][4:]], dtype=object if missing is None else None
    )
    place = {"csv": "line 5", "jsonl": "line 4"}.get(kind, "row 3")
    with pytest.raises(DatasetError, match=place) as caught:
        imported(tmp_path, frame, kind)
    assert "nothing" in str(caught.value) or "the step is nan" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("name", ["episode", "step", "terminal", "timeout"])
def test_missing_makes_up_no_key(tmp_path, kind, name):
    frame = log(step=range(6), terminal=[False] * 6, timeout=[False] * 6).astype({name: object})
    frame.loc[3, name] = None
    with pytest.raises(DatasetError, match="write it into the file, or leave the row out"):
        imported(tmp_path, frame, kind, missing="0")


@pytest.mark.parametrize("text", ["", " ", "nan", "NaN", "None", "null", "NA", "<NA>"])
def test_text_for_nothing_tells_no_episode(tmp_path, text):
    frame = log(step=None, episode=["a", "a", text, "a", "b", "b"])
    with pytest.raises(DatasetError, match="line 4: nothing tells its episode"):
        imported(tmp_path, frame)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("yes", "no"),
    [("true", "false"), ("T", "f"), ("Yes", "NO"), ("y", "n"), ("1", "0"), ("1.0", "0.0"), (1.0, 0.0)],
)
def test_words_for_true_and_false_are_flags(tmp_path, kind, yes, no):
    frame = log(step=None, terminal=[no, no, no, yes, no, yes], timeout=no)
    dataset, _, _ = imported(tmp_path, frame, kind, ends=None)
    assert dataset.columns["terminals"].tolist() == [False, False, False, True, False, True]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("word", "shown"), [("running", "'running'"), ("2", "'2'"), ("done", "'done'")])
def test_other_words_are_no_flags(tmp_path, kind, word, shown):
    frame = log(step=None, terminal=["no", "no", "no", word, "no", "yes"])
    place = {"csv": "line 5", "jsonl": "line 4"}.get(kind, "row 3")
    with pytest.raises(DatasetError, match=f"{place}: terminal is {shown}, neither true nor false"):
        imported(tmp_path, frame, kind)


def test_number_that_is_no_flag_names_its_line(tmp_path):
    with pytest.raises(DatasetError, match=r"line 3: terminal is '0.5', neither true nor false"):
        imported(tmp_path, log(step=None, terminal=[0, 0.5, 0, 0, 0, 1]))
    with pytest.raises(DatasetError, match=r"row 1: terminal is 0.5, neither 0 nor 1"):
        imported(tmp_path, log(step=None, terminal=[0, 0.5, 0, 0, 0, 1]), "pandas")


def test_episode_that_is_done_before_missing_steps_has_ended(tmp_path):
    frame = log(done=[0, 1, 0, 0, 0, 1])
    dataset, _, dropped = imported(tmp_path, frame, step="number")
    assert states(dataset) == [0.5, 1.5, 3.5, 10.5, 11.5]
    assert dataset.columns["terminals"].tolist() == [False, True, False, False, True]
    assert dropped == {"last rows of episodes that timed out, without a next observation": 1}


@pytest.mark.parametrize("kind", ["timestamp[ns]", "timestamp[us, tz=UTC]", "date32"])
def test_arrow_times_of_a_frame_order_rows(tmp_path, kind):
    pytest.importorskip("pyarrow")
    zone = "UTC" if "tz" in kind else None
    times = pd.Series(pd.to_datetime(ISO)).dt.tz_localize(zone).astype(f"{kind}[pyarrow]")
    frame = log(step=times).iloc[[5, 3, 4, 2, 1, 0]]
    assert states(imported(tmp_path, frame, "pandas", step="order")[0]) == [0.5, 1.5, 3.5, 4.5, 10.5, 11.5]


def test_words_of_a_frame_are_no_steps(tmp_path):
    with pytest.raises(DatasetError, match="row 1: step is 'noon', no date or time such as 2024-05-01"):
        imported(tmp_path, log(step=[ISO[0], "noon", *ISO[2:]]), "pandas", step="order")
    with pytest.raises(DatasetError, match="column step: a time zone in some rows alone"):
        imported(tmp_path, log(step=[f"{ISO[0]}T00:00Z", *ISO[1:]]), "pandas", step="order")


@pytest.mark.parametrize("labels", [[("a", 1), ("b", 2)], [[1, 2], [3]]], ids=["tuples", "lists"])
def test_any_label_tells_episodes(tmp_path, labels):
    frame = log(step=None, episode=[labels[0]] * 4 + [labels[1]] * 2)
    assert imported(tmp_path, frame, "pandas")[0].episodes["length"].tolist() == [4, 2]
