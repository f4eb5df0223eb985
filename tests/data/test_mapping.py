"""Mapping of a table's columns to the names of a dataset."""

import pandas as pd
import pytest

from vinci_offline import Dataset
from vinci_offline.data.assembly.mapping import choose, listed, wanted
from vinci_offline.errors import DatasetError, UsageError

NAMES = ["user", "x_0", "x_10", "x_2", "age", "reward", "click", "terminal", ""]


def test_without_a_mapping_every_column_has_its_own_name():
    choice = choose(["observation_0", "speed", "propensity", ""], {}, "t.csv")
    assert choice.sources == {
        "observation_0": "observation_0",
        "speed": "speed",
        "infos/propensity": "propensity",
    }
    assert choice.left_out == ("",)


def test_mapped_columns_join_those_with_names_of_a_frame():
    choice = choose(NAMES, {"action": "user"}, "t.csv")
    assert choice.sources == {"action": "user", "reward": "reward", "terminal": "terminal"}
    assert choice.left_out == ("x_0", "x_10", "x_2", "age", "click", "")


def test_a_mapped_reward_replaces_the_column_of_that_name():
    choice = choose(NAMES, {"reward": "click"}, "t.csv")
    assert choice.sources == {"reward": "click", "terminal": "terminal"}
    assert "reward" in choice.left_out


def test_several_columns_are_a_vector_in_order_of_their_numbers():
    choice = choose(NAMES, {"observation": "age,x_*"}, "t.csv")
    vector = [choice.sources[f"observation_{index}"] for index in range(4)]
    assert vector == ["age", "x_0", "x_2", "x_10"]


def test_a_single_observation_is_a_vector_and_a_single_action_a_number():
    choice = choose(NAMES, {"observation": "age", "action": "user"}, "t.csv")
    assert {"observation_0": "age", "action": "user"}.items() <= choice.sources.items()


def test_mapped_name_without_a_column_is_a_vector():
    choice = choose(NAMES, {"observation": "age,x"}, "t.csv")
    assert [choice.sources[f"observation_{index}"] for index in range(4)] == ["age", "x_0", "x_2", "x_10"]
    assert wanted({"observation": "x"})("x_10")
    with pytest.raises(UsageError, match="reward is one number a row, and x names 3 columns"):
        choose(NAMES, {"reward": "x"}, "t.csv")


def test_a_name_with_a_comma_or_a_star_is_a_name_first():
    choice = choose(["a,b", "a", "b", "c*", "cd"], {"reward": "a,b", "step": "c*"}, "t.csv")
    assert choice.sources == {"reward": "a,b", "step": "c*"}


def test_entries_of_a_mapped_vector_are_not_taken_by_name():
    choice = choose(["observation_0", "observation_1", "age"], {"observation": "age"}, "t.csv")
    assert choice.sources == {"observation_0": "age"}


@pytest.mark.parametrize("target", ["reward", "episode", "propensity", "observation_0"])
def test_one_number_is_one_column(target):
    with pytest.raises(UsageError, match=f"{target} is one number a row, and x_. names 3 columns"):
        choose(NAMES, {target: "x_*"}, "t.csv")


@pytest.mark.parametrize("pattern", ["speed", "y_*", "age,speed"])
def test_missing_column_is_named(pattern):
    with pytest.raises(DatasetError, match=r"t.csv has no column (speed|y_\*); it has user, x_0"):
        choose(NAMES, {"observation": pattern}, "t.csv")


def test_duplicate_columns_are_named():
    with pytest.raises(DatasetError, match="several columns named age"):
        choose(["age", "age", "reward"], {}, "t.csv")


def test_wanted_columns_are_known_without_the_names():
    may = wanted({"observation": "age,x_*"})
    assert [name for name in NAMES if may(name)] == ["x_0", "x_10", "x_2", "age", "reward", "terminal"]
    assert all(wanted({})(name) for name in NAMES)


def test_message_lists_at_most_thirty_names():
    assert listed([str(number) for number in range(40)]).endswith("29 and 10 more")
    assert listed(["a\nb", ""]) == "a\N{REPLACEMENT CHARACTER}b, one without a name"


def test_frames_take_lists_of_columns_and_numbers_as_settings():
    frame = pd.DataFrame(
        {
            "day": pd.to_datetime(["2024-05-01", "2024-05-03"]),
            "age": [1.0, 2.0],
            "weight": [3.0, 4.0],
            "arm": [1, 0],
        }
    )
    made = Dataset.from_pandas(
        frame.assign(gain=1.0),
        columns={"step": "day", "observation": ["weight", "age"], "action": "arm", "reward": "gain"},
        settings={"actions": 2},
        ends="terminal",
    )
    assert made.columns["observations"].tolist() == [[3.0, 1.0], [4.0, 2.0]]
    decisions = made.attributes["conversion"]["decisions"]
    assert "the step only orders rows: it holds dates or times" in decisions
    assert "the end of every episode is a terminal, as ends= says" in decisions
