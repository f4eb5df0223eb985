"""Codes of categories: one list for a column and its next, kept in the file, compared when files join."""

import json

import pandas as pd
import pytest
from typer.testing import CliRunner

from vinci_offline import Dataset
from vinci_offline.cli.app import app
from vinci_offline.convert.conversion import read, write
from vinci_offline.data.assembly.options import ImportOptions
from vinci_offline.errors import DatasetError, SpecError, UsageError

NAMES = {"observation": "state", "next_observation": "next_state"}


def games(**changed):
    """Return two episodes. A next state is never an observation, and the other way round."""
    content = {
        "episode": ["a", "a", "b", "b"],
        "step": [0, 1, 0, 1],
        "state": ["Normal", "Hit", "Normal", "Normal"],
        "next_state": ["Hit", "Normal", "Normal", "Fled"],
        "action": [0, 1, 1, 0],
        "reward": [0.0, 0.0, 0.0, 1.0],
        "terminal": ["no", "yes", "no", "yes"],
    }
    return pd.DataFrame(content | changed)


def imported(tmp_path, frame, name="games", **settings):
    """Convert a frame by CSV to a file, and return its dataset."""
    path = tmp_path / f"{name}.csv"
    frame.to_csv(path, index=False)
    options = ImportOptions(columns=NAMES, settings={"actions": "2", "categories": "state"} | settings)
    found = read(path, options=options)
    target = tmp_path / f"{name}.h5"
    write(found.dataset, target, overwrite=True)
    return Dataset.open(target)


def test_observation_and_next_observation_share_codes(tmp_path):
    dataset = imported(tmp_path, games())
    assert dataset.attributes["categories"] == {"observation_0": ["Fled", "Hit", "Normal"]}
    assert dataset.columns["observations"][:, 0].tolist() == [2, 1, 2, 2]
    assert dataset.columns["next_observations"][:, 0].tolist() == [1, 2, 2, 0]
    assert dataset.columns["terminals"].tolist() == [False, True, False, True]


@pytest.mark.parametrize("listed", ["next_state", "state,next_state"])
def test_either_column_names_the_pair(tmp_path, listed):
    dataset = imported(tmp_path, games(), categories=listed)
    assert dataset.columns["next_observations"][:, 0].tolist() == [1, 2, 2, 0]
    assert dataset.attributes["categories"] == {"observation_0": ["Fled", "Hit", "Normal"]}


def test_frame_has_the_same_codes():
    settings = {"actions": "2", "categories": "state"}
    found = Dataset.from_pandas(games(), columns=NAMES, settings=settings)
    assert found.attributes["categories"] == {"observation_0": ["Fled", "Hit", "Normal"]}
    assert found.columns["next_observations"][:, 0].tolist() == [1, 2, 2, 0]


def test_frame_column_of_categories_is_text():
    frame = games().astype({"state": "category", "next_state": "category"})
    found = Dataset.from_pandas(frame, columns=NAMES, settings={"actions": "2", "categories": "state"})
    assert found.columns["observations"][:, 0].tolist() == [2, 1, 2, 2]


def test_long_texts_and_many_are_kept_in_full(tmp_path):
    texts = [f"{'x' * 80}{index}" for index in range(3000)]
    frame = pd.DataFrame(
        {"episode": 0, "state": texts, "next_state": texts, "action": 0, "reward": 0.0, "terminal": "no"}
    )
    assert imported(tmp_path, frame).attributes["categories"] == {"observation_0": sorted(texts)}


def test_action_and_info_have_lists_of_their_own(tmp_path):
    frame = games(action=["up", "down", "up", "up"], place=["b", "a", "b", "c"])
    path = tmp_path / "t.csv"
    frame.rename(columns={"state": "observation_0", "next_state": "next_observation_0"}).to_csv(
        path, index=False
    )
    settings = {"actions": "2", "categories": "observation_0,action,place"}
    found = read(path, options=ImportOptions(settings=settings))
    assert found.dataset.attributes["categories"] == {
        "observation_0": ["Fled", "Hit", "Normal"],
        "action": ["down", "up"],
        "place": ["a", "b", "c"],
    }
    assert found.dataset.columns["actions"].tolist() == [1, 0, 1, 1]
    assert found.dataset.columns["infos/place"].tolist() == [1, 0, 1, 2]


def test_action_without_text_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="line 4: nothing in action: an action cannot be made up"):
        imported(tmp_path, games(action=["up", "down", None, "up"]), categories="state,action")


def test_other_codes_do_not_join(tmp_path):
    north = imported(tmp_path, games(), "north")
    south = imported(tmp_path, games(next_state=["Hit", "Normal", "Normal", "Dead"]), "south")
    with pytest.raises(
        SpecError, match=r"south\.h5 cannot join .*north\.h5: the codes of observation_0 stand for Dead"
    ) as caught:
        Dataset.concatenate([north, south])
    assert "convert the sources again, all with one list: --set codes=FILE" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_select_refuses_other_codes(tmp_path):
    imported(tmp_path, games(), "north")
    imported(tmp_path, games(next_state=["Hit", "Normal", "Normal", "Dead"]), "south")
    files = [str(tmp_path / name) for name in ("north.h5", "south.h5")]
    found = CliRunner().invoke(app, ["select", *files, "-o", str(tmp_path / "both.h5")])
    assert found.exit_code == 1
    assert "the codes of observation_0 stand for Dead" in found.output
    assert not (tmp_path / "both.h5").exists()


def test_message_shows_the_first_texts_that_differ(tmp_path):
    names = ["Dodge", "Fall", "Hit", "Miss", "Normal", "Run"]
    one = Dataset.open("pendulum-mixed").with_attributes({"categories": {"observation_0": names}})
    other = one.with_attributes({"categories": {"observation_0": [*names[:5], "Walk"]}})
    with pytest.raises(
        SpecError, match=r"stand for Walk \(from 5 on\) there, and for Run \(from 5 on\) here"
    ):
        Dataset.concatenate([one, other])
    longer = one.with_attributes({"categories": {"observation_0": [*names, "Walk"]}})
    with pytest.raises(SpecError, match=r"stand for Walk \(from 6 on\) there, and for 6 texts here"):
        Dataset.concatenate([one, longer])
    with pytest.raises(SpecError, match="stand for no texts there"):
        Dataset.concatenate([one, Dataset.open("pendulum-mixed")])


def test_codes_of_a_dataset_are_taken(tmp_path):
    north = imported(tmp_path, games(next_state=["Hit", "Normal", "Normal", "Dead"]), "north")
    frame = games(state=["Normal"] * 4, next_state=["Normal", "Normal", "Normal", "Dead"])
    south = imported(tmp_path, frame, "south", codes=str(tmp_path / "north.h5"))
    assert south.columns["next_observations"][:, 0].tolist() == [2, 2, 2, 0]
    both = Dataset.concatenate([north, south])
    assert both.attributes["categories"] == {"observation_0": ["Dead", "Hit", "Normal"]}
    assert both.rows(slice(0, 3)).attributes["categories"] == both.attributes["categories"]


@pytest.mark.parametrize("name", ["observation_0", "state", "next_state"])
def test_codes_of_a_json_file_are_taken(tmp_path, name):
    codes = tmp_path / "codes.json"
    codes.write_text(json.dumps({name: ["Normal", "Fled", "Hit", "Dead"]}))
    dataset = imported(tmp_path, games(), codes=str(codes))
    assert dataset.columns["next_observations"][:, 0].tolist() == [2, 0, 0, 1]
    assert dataset.attributes["categories"] == {"observation_0": ["Normal", "Fled", "Hit", "Dead"]}


def test_text_without_a_code_is_refused(tmp_path):
    codes = tmp_path / "codes.json"
    codes.write_text('{"state": ["Normal", "Hit"]}')
    with pytest.raises(
        DatasetError, match="line 5: next_state is 'Fled', which the list of --set codes does not have"
    ):
        imported(tmp_path, games(), codes=str(codes))


@pytest.mark.parametrize(
    "content", ["state", "[1]", '{"state": ["a", "a"]}', '{"state": [1]}', "{}", "", "\x00"]
)
def test_unfit_codes_are_refused(tmp_path, content):
    codes = tmp_path / "codes.json"
    codes.write_text(content)
    with pytest.raises(
        UsageError, match="give a dataset that has categories, or a JSON file such as"
    ) as caught:
        imported(tmp_path, games(), codes=str(codes))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["missing.json", "pendulum.h5"])
def test_codes_need_a_file_that_has_some(tmp_path, name):
    Dataset.open("pendulum-mixed").rows(slice(0, 3)).save(tmp_path / "pendulum.h5")
    with pytest.raises(UsageError, match="give a dataset that has categories"):
        imported(tmp_path, games(), codes=str(tmp_path / name))


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_codes_stay_through_tables(tmp_path, kind):
    dataset = imported(tmp_path, games())
    path = tmp_path / f"back.{kind}"
    exported = write(dataset, path)
    assert "the texts of categories (observation_0); their codes are the same" in exported.lost
    settings = {"codes": str(tmp_path / "games.h5")}
    back = read(path, options=ImportOptions(dataset.spec, settings=settings)).dataset
    assert back == dataset
    assert Dataset.concatenate([dataset, back]).attributes["categories"] == dataset.attributes["categories"]


def test_number_that_is_no_code_is_refused(tmp_path):
    imported(tmp_path, games())
    frame = games(state=[2, 1, 3, 2], next_state=[1, 2, 2, 0])
    with pytest.raises(
        DatasetError, match="line 4: state is 3, no code of the 3 texts that --set codes has for it"
    ):
        imported(tmp_path, frame, "other", categories="", codes=str(tmp_path / "games.h5"))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("terminal", "a terminal is no category: write true/false, yes/no or 1/0 in its cells"),
        ("step", "a step is no category: say --set step=order"),
        ("reward", "a reward is no category: write numbers in its cells"),
    ],
)
def test_flags_steps_and_rewards_are_no_categories(tmp_path, name, message):
    with pytest.raises(UsageError, match=message):
        imported(tmp_path, games(), categories=f"state,{name}")


def test_word_for_a_running_episode_is_no_terminal(tmp_path):
    with pytest.raises(DatasetError, match="line 2: terminal is 'running', neither true nor false"):
        imported(tmp_path, games(terminal=["running", "done", "running", "done"]))


def test_own_format_loses_no_texts(tmp_path):
    dataset = imported(tmp_path, games())
    assert not write(dataset, tmp_path / "copy.h5").lost
    assert Dataset.open(tmp_path / "copy.h5").attributes["categories"] == dataset.attributes["categories"]
