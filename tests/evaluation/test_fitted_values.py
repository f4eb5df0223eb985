"""Direct method, FQE and cross-fitting: what is made of a fitted model, without training one."""

from types import SimpleNamespace

import numpy as np
import pytest
from data_examples import continuous_spec, discrete_spec, make_columns
from keras import ops

from vinci_offline import Dataset, DatasetError, SpecError, UsageError, estimate
from vinci_offline.agents.fqe import FQE
from vinci_offline.batches.batch import Batch
from vinci_offline.evaluation.estimators import fitted
from vinci_offline.evaluation.estimators.direct import from_first_values, weighted_doubly_robust_fitted
from vinci_offline.evaluation.estimators.doubly_robust import RowValues
from vinci_offline.evaluation.estimators.fitted import FittedValues, ResampledFQE, cross_fitted, first_values
from vinci_offline.evaluation.evidence.evidence import Evidence, Fitting
from vinci_offline.evaluation.evidence.ratios import counted_episodes
from vinci_offline.evaluation.intervals import t_interval
from vinci_offline.functional import PolicyValues
from vinci_offline.policies.random_policy import RandomPolicy
from vinci_offline.spec.units import Units


def dataset(lengths, terminated=True):
    columns = make_columns(discrete_spec(2), lengths, terminated=np.broadcast_to(terminated, len(lengths)))
    columns["rewards"] = np.ones(sum(lengths), np.float32)
    columns["infos/action_log_probs"] = np.full(sum(lengths), np.log(0.5), np.float32)
    return Dataset.from_columns(columns, discrete_spec(2))


def evidence_of(data, **changes):
    counted = counted_episodes(data, 0.5)
    given = {"reference": "random", "fitting": Fitting(steps=200), **changes}
    return Evidence(data, RandomPolicy(data.spec), counted, 0.5, **given)


FIRST = np.array([[1.0, 2.0, 3.0], [3.0, 4.0, 8.0]])
"""Two critics, three episodes: means 2, 3, 5.5 by episode, 2 and 5 by critic."""


def test_direct_method_has_the_interval_of_first_states_alone():
    found = from_first_values(FIRST, 0 * FIRST, np.zeros(3), spread=False)
    assert found.value == pytest.approx(3.5)
    assert found.members is None
    np.testing.assert_allclose(found.influence, [-1.5, -0.5, 2])
    assert found.resampled(np.array([3.0, 0, 0])) == pytest.approx(2)
    assert found.effective == pytest.approx(3)
    assert "leaves out errors of the fitted values" in found.caveat


def test_fqe_counts_the_spread_of_its_critics(monkeypatch):
    # The critics' deviation is 3 / sqrt(2), and Student's quantile of one degree 12.706.
    monkeypatch.setattr(
        fitted, "first_values", lambda _: fitted.FirstValues(FIRST, 0 * FIRST, resampled=True)
    )
    data = dataset([2, 1, 1])
    told = estimate("random", data, methods=["fqe", "dm"], interval="t", gamma=0.5).estimates
    own = t_interval(3.5, np.array([-1.5, -0.5, 2.0])).high - 3.5
    assert told["dm"].high - 3.5 == pytest.approx(own)
    assert told["fqe"].high - 3.5 == pytest.approx(np.hypot(own, 12.7062 * 3 / np.sqrt(2)), rel=1e-5)
    assert "spread of 2 critics" in told["fqe"].caveat


def test_verdict_follows_a_model_where_weights_are_few(monkeypatch):
    monkeypatch.setattr(
        fitted, "first_values", lambda _: fitted.FirstValues(FIRST + 5, 0 * FIRST, resampled=False)
    )
    logs = np.log(0.5 / np.array([0.8, 1, 1.2]))  # ratios with the mean 1
    columns = {**dataset([1, 1, 1]).columns, "infos/action_log_probs": logs.astype(np.float32)}
    data = Dataset.from_columns(columns, discrete_spec(2))
    told = estimate("random", data, methods=["fqe", "ipw"], gamma=0.5)
    assert "effective" in told.methods["ipw"].warning
    assert told.by == "fqe"
    assert estimate("random", data, methods=["ipw"], gamma=0.5).by == "ipw"


def test_gain_compares_cut_episodes_for_as_long_as_they_were_recorded():
    # The second and third were cut: what follows, 1 and 2 a discount later, is the judged policy's on both sides.
    after = np.array([[0.0, 0.5, 1.0]])
    found = from_first_values(FIRST[:1], after, np.array([1.0, 1.0, 1.0]), spread=False)
    assert found.gain.value == pytest.approx(((1 - 1) + (2 - 0.5 - 1) + (3 - 1 - 1)) / 3)
    assert "goes on after the time limit" in found.caveat
    assert "time limit" not in found.gain.caveat


class Model:
    """A model whose values are the rows' episodes, and that knows the episodes it was fitted to."""

    def __init__(self, data, agent):
        self.data, self.agent = data, agent
        self.seen = set(data.columns["observations"][:, 0].tolist())

    def of_policy(self, data, rows, *, following=False):
        values = np.full((2, len(rows), 1), 4.0 if following else 10.0)
        return PolicyValues(values, np.ones((len(rows), 1)))

    def at_rows(self, data, rows):
        assert not self.seen & set(data.columns["observations"][rows, 0].tolist())
        return RowValues(rows.astype(float), 10.0 * rows)


@pytest.fixture
def fits(monkeypatch):
    made = []

    def fit(data, agent, evidence, what):
        made.append(Model(data, agent))
        return made[-1]

    monkeypatch.setattr(fitted, "_fit", fit)
    return made


def test_values_of_an_episode_are_those_of_a_model_that_has_not_seen_it(fits):
    data = dataset([3, 2, 4, 1, 2])
    evidence = evidence_of(data)
    found = cross_fitted(evidence)
    np.testing.assert_array_equal(found.logged, np.arange(12))
    np.testing.assert_array_equal(found.policy, 10 * np.arange(12))
    assert len(fits) == 2
    assert {len(fits[0].data.episode_columns["start"]), len(fits[1].data.episode_columns["start"])} == {2, 3}
    cross_fitted(evidence)
    assert len(fits) == 2  # once


def test_first_values_discount_what_follows_a_cut(fits):
    found = first_values(evidence_of(dataset([3, 2, 3], [True, True, False])))
    np.testing.assert_allclose(found.first, np.full((2, 3), 10))
    np.testing.assert_allclose(found.after, [[0, 0, 4 / 8]] * 2)
    assert fits[0].agent.critics == 5


def test_critics_learn_from_resamples_of_whole_episodes(fits):
    data = dataset([3, 2, 4])
    first_values(evidence_of(data, fitting=Fitting(200, {"fqe": {"critics": 4}})))
    times = fits[0].data.columns["infos/resample"]
    assert times.shape == (9, 4)
    np.testing.assert_array_equal(times[[0, 3, 5]].sum(axis=0), [3] * 4)  # as many episodes as there are
    np.testing.assert_array_equal(times[[1, 2, 4, 8]], times[[0, 0, 3, 5]])
    batch = Batch({"infos/resample": ops.convert_to_tensor(times[:2])})
    agent = fits[0].agent
    assert isinstance(agent, ResampledFQE)
    np.testing.assert_array_equal(ops.convert_to_numpy(agent.row_weight(batch, 2)), times[:2, 2])


def test_quantiles_have_one_critic_and_the_data_as_they_are(fits):
    first_values(evidence_of(dataset([3, 2]), fitting=Fitting(200, {"fqe": {"quantiles": "7"}})))
    assert fits[0].agent.critics == 1
    assert fits[0].agent.quantiles == 7
    assert "infos/resample" not in fits[0].data.columns


def test_model_is_not_fitted_where_weights_are_refused(fits):
    data = dataset([2, 2])
    evidence = evidence_of(data.rows(slice(None)))
    never = SimpleNamespace(takes_masks=False, log_probs_of=lambda *_: np.full(4, -np.inf))
    object.__setattr__(evidence, "policy", never)
    with pytest.raises(DatasetError, match="no overlap"):
        weighted_doubly_robust_fitted(evidence)
    assert not fits


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"reference": "sb3:PPO:a.zip"}, SpecError, "fqe evaluates a run directory, a .keras file or random"),
        ({"fitting": Fitting(3, {"fqe": {"policy": "a"}})}, UsageError, "follow from the judged policy"),
        ({"fitting": Fitting(3, {"fqe": {"critic": 2}})}, UsageError, "critic"),
    ],
)
def test_agent_that_cannot_be_made_is_refused(changes, error, message):
    with pytest.raises(error, match=message):
        first_values(evidence_of(dataset([2, 2]), **changes))


def test_settings_name_their_agent():
    with pytest.raises(UsageError, match=r"setting .hidden.: name whose it is, fqe.*as in fqe\.hidden"):
        estimate("random", dataset([2, 2]), methods=["fqe"], settings={"hidden": "8"})


def test_values_at_rows_are_those_of_the_networks():
    """Q(s, a) = sum of s + a of scaled actions; the policy takes the action 0.5 s_0 + 0.25 with weight 1."""
    spec = continuous_spec(2, 1)
    data = Dataset.from_columns(make_columns(spec, [3, 2]), spec)
    agent = SimpleNamespace(
        values=lambda nets, seen, key: PolicyValues(
            ops.stack([ops.sum(seen, axis=1), ops.sum(seen, axis=1) + 2])[..., None], ops.ones((len(seen), 1))
        )
    )
    nets = SimpleNamespace(
        critic=lambda inputs: ops.stack([ops.sum(inputs[0], axis=1) + inputs[1][:, 0]] * 2)
    )
    model = FittedValues(agent, nets, Units.of(spec), 0)
    rows = np.array([4, 0, 2])
    found = model.at_rows(data, rows)
    sums = data.columns["observations"][rows].sum(axis=1)
    np.testing.assert_allclose(found.policy, sums + 1, rtol=1e-6)
    np.testing.assert_allclose(found.logged, sums + data.columns["actions"][rows, 0], rtol=1e-6)
    after = model.of_policy(data, rows, following=True).values[0, :, 0]
    np.testing.assert_allclose(after, data.columns["next_observations"][rows].sum(axis=1), rtol=1e-6)


def test_a_fit_that_cannot_look_as_far_as_returns_reach_is_too_short():
    def critic(steps):
        return {"critic": steps}

    assert FQE().too_short(critic(10_000), 0.99, 500) is None
    assert FQE(target_update=0.005).too_short(critic(20_000), 0.99, 500) is None
    # Ten copies of the target: ten steps ahead. A discount of 0.99 reaches 100.
    told = "1,000 steps let the values look 10 steps ahead, and returns reach 100: give more --steps"
    assert FQE().too_short(critic(1_000), 0.99, 500) == told
    assert "look 30 steps ahead" in FQE().too_short(critic(1_000), 0.99, 500, 3)  # of three rewards each
    assert FQE().too_short(critic(1_000), 1, 10) is None  # no episode is longer
    assert "look 5 steps ahead" in FQE(target_update=0.005).too_short(critic(1_000), 0.99, 500)
    # A discount of 0.5 reaches two steps: 200 steps copy the target twice, 199 once.
    with pytest.raises(
        DatasetError, match="199 steps let the values look 1 steps ahead, and returns reach 2"
    ):
        first_values(evidence_of(dataset([3, 2]), fitting=Fitting(199)))
