"""Columns by name: each follows its rule, for all rows at once and for parts, with one step and with five."""

from itertools import pairwise

import numpy as np
import pytest
from chains import CONTINUOUS, DISCRETE, MASKED, ROWS, chain, some_masks

from vinci_offline import Dataset, DatasetError, EnvironmentSpec, UsageError
from vinci_offline.batches.first_read import first_read
from vinci_offline.batches.names import TRANSITION, ReturnToGo
from vinci_offline.batches.opening import open_source
from vinci_offline.batches.reader import ColumnReader, load_columns, row_bytes, sample_observations
from vinci_offline.spec import BoxSpace, DictSpace, DiscreteSpace

GAMMA = 0.9
STEPS = pytest.mark.parametrize("n_step", [1, 5])


def read_in_parts(dataset, wishes, n_step):
    """Return the columns joined from parts of one to eleven rows, checked against those of one load."""
    whole = load_columns(dataset, wishes, gamma=GAMMA, n_step=n_step)
    reader = ColumnReader(dataset, wishes, gamma=GAMMA, n_step=n_step)
    cuts = [0, 1, 3, 14, 15, 26, 37, len(dataset) - 1, len(dataset)]
    parts = [reader.read(start, stop) for start, stop in pairwise(cuts)]
    for name, column in whole.items():
        joined = np.concatenate([part[name] for part in parts])
        assert joined.dtype == column.dtype
        np.testing.assert_array_equal(joined, column, err_msg=name)
    return whole


def ends_of(last, n_step):
    """Return the last summed row of each row, and whether it is its run's last."""
    run_end = last[np.searchsorted(last, np.arange(ROWS))]
    summed = np.minimum(np.arange(ROWS) + n_step - 1, run_end)
    return summed, summed == run_end


@STEPS
@pytest.mark.parametrize("spec", [CONTINUOUS, DISCRETE])
def test_next_action_is_that_of_the_following_row(spec, n_step):
    dataset, last = chain(spec)
    columns = read_in_parts(dataset, ("next_action",), n_step)
    summed, ended = ends_of(last, n_step)
    terminal = dataset.columns["terminals"][summed]
    action = columns["action"]
    np.testing.assert_array_equal(columns["next_action"][~ended], action[summed[~ended] + 1])
    np.testing.assert_array_equal(columns["next_action"][ended], action[ended])
    np.testing.assert_array_equal(columns["has_next_action"], ~ended | terminal)
    assert columns["has_next_action"].dtype == np.float32
    cut = columns["has_next_action"] == 0
    assert cut.any()
    assert (columns["discount"][cut] > 0).all()
    assert (columns["discount"][ended & ~cut] == 0).all()


def test_near_continuation_is_summed_and_has_a_next_action():
    dataset, _ = chain()
    columns = dict(dataset.columns)
    columns["next_observations"] = columns["next_observations"] * np.float32(1 + 3e-7)
    near = load_columns(Dataset.from_columns(columns, CONTINUOUS), ("next_action",), n_step=5)
    exact = load_columns(dataset, ("next_action",), n_step=5)
    for name in ("reward", "discount", "next_action", "has_next_action"):
        np.testing.assert_array_equal(near[name], exact[name], err_msg=name)


def plain_returns(dataset, last, discount, unfinished):
    """Return the returns to go by a loop over rows."""
    rewards, terminals = dataset.columns["rewards"].astype(float), dataset.columns["terminals"]
    returns = np.zeros(ROWS)
    for row in reversed(range(ROWS)):
        if row not in last:
            returns[row] = rewards[row] + discount * returns[row + 1]
        elif unfinished == "extend" and not terminals[row]:
            returns[row] = rewards[row] / (1 - discount)
        else:
            returns[row] = rewards[row]
    return returns


@STEPS
@pytest.mark.parametrize("block", [7, 2**16])
@pytest.mark.parametrize(
    "wish", [ReturnToGo(0.5, "extend"), ReturnToGo(None, "extend"), ReturnToGo(1.0, "sum")]
)
def test_return_to_go_sums_to_the_end_of_the_run(wish, block, n_step, monkeypatch):
    monkeypatch.setattr("vinci_offline.batches.returns._BLOCK_ROWS", block)
    dataset, last = chain()
    columns = read_in_parts(dataset, (wish,), n_step)
    discount = GAMMA if wish.discount is None else wish.discount
    expected = plain_returns(dataset, last, discount, wish.unfinished)
    np.testing.assert_allclose(columns["return_to_go"], expected, rtol=1e-6, atol=1e-6)
    assert columns["return_to_go"].dtype == np.float32


def test_return_to_go_of_terminated_episodes_needs_no_rule():
    dataset, last = chain(cuts=False)
    columns = load_columns(dataset, ("return_to_go",), gamma=GAMMA)
    np.testing.assert_allclose(
        columns["return_to_go"], plain_returns(dataset, last, GAMMA, "refuse"), rtol=1e-6, atol=1e-6
    )


def test_return_to_go_refuses_cut_episodes():
    dataset, last = chain()
    cut = [row for row in last if not dataset.columns["terminals"][row]]
    told = rf"return_to_go: {len(cut)} of {len(last)} episodes .* the first at row {cut[0]}, .*unfinished='extend'"
    with pytest.raises(DatasetError, match=told):
        load_columns(dataset, ("return_to_go",))
    with pytest.raises(UsageError, match="needs a discount below 1"):
        load_columns(dataset, (ReturnToGo(1.0, "extend"),))


MASKS = ("action_mask", "next_action_mask")


@STEPS
def test_masks_of_a_dict_observation_are_exact(n_step):
    dataset, last = chain(MASKED)
    columns = read_in_parts(dataset, MASKS, n_step)
    summed, _ = ends_of(last, n_step)
    masks = some_masks(ROWS + 1) != 0
    np.testing.assert_array_equal(columns["action_mask"], masks[:-1])
    terminal = dataset.columns["terminals"][summed]
    np.testing.assert_array_equal(columns["next_action_mask"], masks[1:][summed] | terminal[:, None])
    assert not columns["next_action_mask"].all()


@STEPS
@pytest.mark.parametrize("recorded", [False, True])
def test_masks_of_infos_belong_to_the_observation_of_their_row(n_step, recorded):
    masks = some_masks(ROWS)
    following = some_masks(2 * ROWS)[ROWS:]
    dataset, last = chain(
        DISCRETE, action_mask=masks, **({"next_action_mask": following} if recorded else {})
    )
    columns = read_in_parts(dataset, MASKS, n_step)
    summed, ended = ends_of(last, n_step)
    terminal = dataset.columns["terminals"][summed]
    expected = np.ones((ROWS, 3), bool)  # at a cut, and after a terminal row
    if recorded:
        expected[~terminal] = following[summed[~terminal]] != 0
    else:
        expected[~ended] = masks[summed[~ended] + 1] != 0
    np.testing.assert_array_equal(columns["action_mask"], masks != 0)
    np.testing.assert_array_equal(columns["next_action_mask"], expected)
    assert columns["next_action_mask"].dtype == bool


def test_masks_that_allow_no_action_are_refused():
    masks = some_masks(ROWS)
    masks[13] = 0
    dataset, _ = chain(DISCRETE, action_mask=masks)
    with pytest.raises(DatasetError, match="infos/action_mask: row 13 allows no action"):
        load_columns(dataset, ("action_mask",))
    with pytest.raises(DatasetError, match="infos/action_mask: row 13 allows no action"):
        ColumnReader(dataset, ("next_action_mask",)).read(10, 13)


def test_infos_keep_their_values_in_compact_types():
    counts = np.arange(ROWS)
    dataset, _ = chain(cost=np.linspace(0, 1, ROWS), count=counts, safe=counts % 2 == 0)
    columns = read_in_parts(dataset, ("infos/cost", "infos/count", "infos/safe"), 1)
    assert [columns[f"infos/{name}"].dtype for name in ("cost", "count", "safe")] == [
        np.float32,
        np.int32,
        bool,
    ]
    np.testing.assert_array_equal(columns["infos/count"], counts)
    with pytest.raises(DatasetError, match="infos/count holds integers beyond 32 bits"):
        load_columns(chain(count=counts + 2**31)[0], ("infos/count",))


@pytest.mark.parametrize(
    ("wish", "error", "told"),
    [
        ("next_acton", UsageError, "asks for the column 'next_acton', which does not exist: name one of obs"),
        ("infos/", UsageError, "'infos/', which does not exist"),
        (
            "infos/cost",
            DatasetError,
            "asks for the column 'infos/cost', and the dataset has infos/speed: record",
        ),
        ("action_mask", DatasetError, "only Discrete actions have masks"),
    ],
)
def test_columns_that_cannot_be_had_are_refused(wish, error, told):
    dataset, _ = chain(speed=np.zeros(ROWS))
    with pytest.raises(error, match=told):
        load_columns(dataset, (wish,))


def test_masks_that_are_missing_or_too_narrow_are_refused():
    with pytest.raises(DatasetError, match="neither observations/action_mask nor infos/action_mask: record"):
        load_columns(chain(DISCRETE)[0], ("action_mask",))
    with pytest.raises(DatasetError, match=r"rows of shape \(2,\), and the 3 actions need \(3,\)"):
        load_columns(chain(DISCRETE, action_mask=np.ones((ROWS, 2)))[0], ("action_mask",))


def test_return_to_go_is_wished_once():
    with pytest.raises(UsageError, match="in two ways"):
        ColumnReader(chain()[0], ("return_to_go", ReturnToGo(0.5)))


@STEPS
def test_dict_observations_are_one_column_a_key(n_step):
    image = BoxSpace((4, 4), "uint8", np.zeros((4, 4)), np.full((4, 4), 255))
    speed = BoxSpace((2,), "float64", np.full(2, -9.0), np.full(2, 9.0))
    space = DictSpace({"image": image, "room": DiscreteSpace(9), "speed": speed})
    generator = np.random.default_rng(0)
    seen = {
        "image": generator.integers(0, 256, (ROWS + 1, 4, 4)).astype(np.uint8),
        "room": generator.integers(0, 9, ROWS + 1),
        "speed": generator.normal(size=(ROWS + 1, 2)),
    }
    plain, _ = chain()
    rest = {path: plain.columns[path] for path in plain.columns if "observations" not in path}
    rest |= {f"observations/{key}": values[:-1] for key, values in seen.items()}
    rest |= {f"next_observations/{key}": values[1:] for key, values in seen.items()}
    rest["terminals"], rest["timeouts"] = np.zeros(ROWS, bool), np.zeros(ROWS, bool)
    dataset = Dataset.from_columns(rest, EnvironmentSpec(space, CONTINUOUS.action_space), float64=True)
    columns = read_in_parts(dataset, TRANSITION, n_step)
    kinds = {"image": np.uint8, "room": np.int32, "speed": np.float32}
    after = np.minimum(np.arange(ROWS) + n_step, ROWS)
    for key, kind in kinds.items():
        assert columns[f"observation/{key}"].dtype == columns[f"next_observation/{key}"].dtype == kind
        np.testing.assert_array_equal(columns[f"observation/{key}"], seen[key][:-1].astype(kind))
        np.testing.assert_array_equal(columns[f"next_observation/{key}"], seen[key][after].astype(kind))
    sample = sample_observations(dataset, 6)
    assert {key: (len(values), values.dtype) for key, values in sample.items()} == {
        key: (6, values.dtype) for key, values in seen.items()
    }
    assert sample_observations(plain, 6).shape == (6, 2)


@pytest.mark.parametrize("trajectories", [False, True])
def test_row_bytes_are_those_of_a_loaded_row(trajectories):
    wishes = ("next_action", ReturnToGo(unfinished="sum"), "infos/cost")
    dataset, _ = chain(cost=np.zeros(ROWS))
    columns = load_columns(dataset, wishes, trajectories=trajectories)
    assert row_bytes(dataset, wishes, trajectories) * ROWS == sum(each.nbytes for each in columns.values())


def with_nan(column):
    dataset, _ = chain(cost=np.zeros(ROWS))
    columns = {path: np.array(values) for path, values in dataset.columns.items()}
    columns[column][11] = np.nan
    return Dataset.from_columns(columns, CONTINUOUS)


@pytest.mark.parametrize("surveyed", [False, True])
@pytest.mark.parametrize("column", ["observations", "infos/cost"])
def test_values_that_are_not_finite_are_refused(column, surveyed):
    dataset, wishes = with_nan(column), (*TRANSITION, "infos/cost")
    known = first_read(dataset, wishes) if surveyed else None
    with pytest.raises(DatasetError, match=f"{column} has NaN .* the first is row 11"):
        load_columns(dataset, wishes, known=known)


@pytest.mark.parametrize("memory", ["device", "stream"])
@pytest.mark.parametrize("surveyed", [False, True])
def test_nan_in_an_info_that_nothing_reads_passes(surveyed, memory):
    dataset = with_nan("infos/cost")
    known = first_read(dataset, memory=memory) if surveyed else None
    open_source(dataset, gamma=0.9, memory=memory, batch_size=4, known=known)
    if known is not None:
        assert known.non_finite == {"infos/cost": (11, 1)}
