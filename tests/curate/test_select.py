"""Selecting rows: conditions as in pandas, seeded draws, splits, lineage."""

import json
from collections import Counter

import numpy as np
import pytest
from data_examples import continuous_spec, discrete_spec, make_columns
from typer.testing import CliRunner

from vinci_offline import Dataset, DatasetError, SpecError, UsageError
from vinci_offline.cli.app import app
from vinci_offline.curate.select import choose, fragments_left_out, merged, split
from vinci_offline.curate.selection import Selection

SPEC = continuous_spec()
LENGTHS = [5, 3, 1, 4, 7]


def dataset(seed=0, spec=SPEC, lengths=LENGTHS, infos=False):
    columns = make_columns(spec, lengths, seed)
    if infos:
        columns["infos/speed"] = np.arange(len(columns["rewards"]), dtype=np.float32)
    return Dataset.from_columns(columns, spec, {"length": lengths, "seed": np.arange(len(lengths))})


def chosen(*sources, **settings):
    return merged(choose(sources or [dataset()], Selection(**settings)), {})[0]


def rewards(data):
    return data.columns["rewards"].tolist()


@pytest.mark.parametrize(
    "where",
    [
        "reward > 0",
        "abs(action_0) < 0.5 and observation_2 >= 0",
        "step < 2",
        "terminal or timeout",
        "episode in (1, 3)",
    ],
)
def test_conditions_match_pandas(where):
    frame = dataset().to_pandas()
    expected = frame.query(where.replace("abs(action_0) < 0.5", "action_0.abs() < 0.5"))
    assert rewards(chosen(where=where)) == expected["reward"].tolist()


def test_episode_conditions_keep_whole_episodes():
    data = dataset()
    expected = data.episodes[data.episodes["return"] > 0]
    found = chosen(where="return > 0").episodes
    for name in ("length", "return", "seed"):
        assert found[name].tolist() == expected[name].tolist()


def test_row_and_episode_conditions_mix():
    data = dataset()
    frame = data.to_pandas().merge(data.episodes["length"], left_on="episode", right_index=True)
    assert (
        rewards(chosen(where="reward > 0 and length > 3"))
        == frame.query("reward > 0 and length > 3")["reward"].tolist()
    )


def test_conditions_do_not_depend_on_blocks(monkeypatch):
    whole = rewards(chosen(where="reward > 0 and step > 0"))
    monkeypatch.setattr("vinci_offline.curate.conditions._BLOCK_ROWS", 3)
    assert rewards(chosen(where="reward > 0 and step > 0")) == whole


def test_episodes_by_number():
    assert chosen(episodes=slice(1, 3)).episodes["seed"].tolist() == [1, 2]
    assert chosen(episodes=slice(-2, None)).episodes["seed"].tolist() == [3, 4]


def test_top_returns_ranks_all_sources_together():
    sources = [dataset(0), dataset(1)]
    returns = np.concatenate([each.episodes["return"] for each in sources])
    found = chosen(*sources, top_returns=0.3).episodes["return"]
    assert sorted(found) == sorted(returns)[-3:]


def cut_dataset(seed=0):
    """Return episodes of five rows with rewards of -1, the last of which was cut after two."""
    columns = make_columns(SPEC, [5, 5, 2], seed)
    columns["rewards"] = -np.ones(12, np.float32)
    return Dataset.from_columns(columns, SPEC, {"length": [5, 5, 2], "fragment": [False, False, True]})


def test_top_returns_ranks_whole_episodes():
    found = chosen(cut_dataset(), cut_dataset(1), top_returns=0.25).episodes
    assert found["length"].tolist() == [5]
    with pytest.raises(DatasetError, match="every one left is a fragment"):
        chosen(cut_dataset(), top_returns=0.5, where="fragment")


def test_returns_of_fragments_meet_no_condition():
    assert chosen(cut_dataset(), where="return > -9").episodes["length"].tolist() == [5, 5]
    assert chosen(cut_dataset(), where="length < 5").episodes["length"].tolist() == [2]
    assert chosen(cut_dataset(), where="not fragment").episodes["length"].tolist() == [5, 5]


def test_whole_episodes_are_drawn():
    assert chosen(cut_dataset(), sample_episodes=2).episodes["length"].tolist() == [5, 5]
    with pytest.raises(DatasetError, match="3 whole episodes are to be drawn and 2 are there"):
        chosen(cut_dataset(), sample_episodes=3)
    with pytest.raises(DatasetError, match="1 whole episodes are to be drawn and 0 are there"):
        chosen(cut_dataset(), sample_episodes=1, where="fragment")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"top_returns": 0.5}, True),
        ({"sample_episodes": 1}, True),
        ({"where": "episode.return > 0"}, True),
        ({"where": "reward > 0"}, False),
        ({"top_returns": 0.5, "episodes": slice(0, 2)}, False),
        ({}, False),
    ],
)
def test_fragments_left_out_are_said(settings, said):
    told = fragments_left_out([cut_dataset()], Selection(**settings))
    assert [line.partition(":")[0] for line in told] == ["1 fragment of an episode left out"] * said


def test_command_says_what_it_left_out(tmp_path):
    source, target = str(tmp_path / "cut.h5"), str(tmp_path / "best.h5")
    cut_dataset().save(source)
    done = CliRunner().invoke(app, ["select", source, "-o", target, "--top-returns", "1", "--json"])
    (part,) = json.loads(done.stdout)["parts"]
    assert (part["episodes"], part["fragments"], part["return_mean"]) == (2, 0, -5)
    assert "1 fragment of an episode left out" in part["notes"][0]
    done = CliRunner().invoke(app, ["select", source, "-o", target, "--where", "step > 0", "--overwrite"])
    assert "no whole episode" in done.stdout


@pytest.mark.parametrize("settings", [{"sample": 8}, {"sample_episodes": 2}])
def test_samples_have_the_size_and_follow_the_seed(settings):
    one, same, other = chosen(**settings), chosen(**settings), chosen(**settings, seed=1)
    assert (len(one) if "sample" in settings else len(one.episodes)) == next(iter(settings.values()))
    assert len(set(rewards(one))) == len(one)
    assert rewards(one) == rewards(same) != rewards(other)


def test_weights_are_shares_of_a_sample():
    sources = [dataset(0, lengths=[10] * 10), dataset(1, lengths=[10] * 10)]
    first = set(rewards(sources[0]))
    counts = Counter(reward in first for reward in rewards(chosen(*sources, sample=40, weights=(1, 3))))
    assert counts == {True: 10, False: 30}
    # Without a number: all of the heavier one.
    counts = Counter(reward in first for reward in rewards(chosen(*sources, weights=(1, 4))))
    assert counts == {True: 25, False: 100}


def test_split_parts_share_no_episode():
    kept = choose([dataset(0), dataset(1)], Selection(where="reward > -1"))
    first, second = (
        [each.episodes_with_rows().tolist() for each in part] for part in split(kept, 0.6, seed=0)
    )
    for number, each in enumerate(kept):
        assert sorted(first[number] + second[number]) == each.episodes_with_rows().tolist()
        assert len(first[number]) == round(0.6 * len(each.episodes_with_rows()))
    one, other = (rewards(merged(part, {})[0]) for part in split(kept, 0.6, seed=0))
    assert sorted(one + other) == sorted(rewards(merged(kept, {})[0]))


def test_lineage_names_sources_and_selection():
    sources = [dataset(0), dataset(1)]
    kept = choose(sources, Selection(where="reward > 0", sample=3))
    found, _ = merged(kept, {"selection": Selection(where="reward > 0", sample=3).described()})
    assert found.attributes["parents"] == [each.hash for each in sources]
    assert found.attributes["selection"] == {"where": "reward > 0", "sample": 3, "seed": 0}


def test_columns_missing_in_a_source_are_reported():
    _, lost = merged(choose([dataset(0, infos=True), dataset(1)], Selection()), {})
    assert lost == ["infos/speed"]


def test_unlike_spaces_are_refused_without_rows_too():
    sources = [dataset(), dataset(spec=discrete_spec())]
    with pytest.raises(SpecError, match="another action space"):
        merged(choose(sources, Selection(weights=(1, 0))), {})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"top_returns": 0.0}, "top-returns 0.0"),
        ({"sample": 0}, "--sample must be at least 1, not 0"),
        ({"sample": 1, "sample_episodes": 1}, "give one of them"),
        ({"weights": (1, 2)}, "2 weights for 1 sources"),
        ({"weights": (-1,)}, "at least 0"),
        ({"where": "speed > 0"}, "has no speed: there are observation_0"),
    ],
)
def test_contradicting_selections_are_refused(settings, message):
    with pytest.raises(UsageError, match=message):
        chosen(**settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"where": "reward > 99"}, "no row of the sources is left"),
        ({"sample": 21}, "21 rows are to be drawn and 20 are there"),
    ],
)
def test_too_few_rows_are_refused(settings, message):
    with pytest.raises(DatasetError, match=message):
        chosen(**settings)


def test_empty_part_is_refused():
    with pytest.raises(DatasetError, match="one part would be empty"):
        split(choose([dataset(lengths=[4])], Selection()), 0.9, seed=0)


def test_command_writes_both_parts_of_a_split(tmp_path):
    one, other = str(tmp_path / "one.h5"), str(tmp_path / "other.h5")
    command = ["select", "pendulum-mixed", "-o", one, "--top-returns", "0.1", "--split", f"0.8:{other}"]
    done = CliRunner().invoke(app, [*command, "--json"])
    assert done.exit_code == 0, done.output
    assert [part["episodes"] for part in json.loads(done.stdout)["parts"]] == [24, 6]
    again = CliRunner().invoke(app, command)
    assert again.exit_code == 2
    assert "exists already" in again.output


@pytest.mark.parametrize(
    "arguments", [["--episodes", "1-3"], ["--weight", "a"], ["--split", "0.5"], ["--split", "x:y.h5"]]
)
def test_malformed_options_are_refused(tmp_path, arguments):
    done = CliRunner().invoke(app, ["select", "pendulum-mixed", "-o", str(tmp_path / "one.h5"), *arguments])
    assert done.exit_code == 2
    assert "write" in done.output
