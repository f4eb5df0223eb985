"""`estimate` and its command: values, refusals, and what a reader is told."""

import json

import numpy as np
import pytest
from data_examples import continuous_spec, discrete_spec, make_columns
from typer.testing import CliRunner

from vinci_offline import Dataset, DatasetError, UsageError, estimate
from vinci_offline.cli.app import app
from vinci_offline.evaluation.estimators.importance import mean_of
from vinci_offline.evaluation.evidence.logged_episodes import LoggedEpisodes
from vinci_offline.evaluation.evidence.overlap import Overlap
from vinci_offline.evaluation.judgement import judged
from vinci_offline.evaluation.picture import plot_estimates
from vinci_offline.policies.policy import Policy


class Fixed(Policy):
    """A policy of choices with fixed probabilities."""

    def __init__(self, probabilities):
        self._probabilities = np.asarray(probabilities, float)

    def act(self, observations, rngs):
        raise NotImplementedError

    def log_probs_of(self, observations, actions):
        with np.errstate(divide="ignore"):
            return np.log(self._probabilities[actions])


@pytest.fixture(autouse=True)
def _policies_pass(monkeypatch):
    from vinci_offline.evaluation import estimates

    load = estimates.load_policy
    monkeypatch.setattr(
        estimates,
        "load_policy",
        lambda policy, spec, **kw: policy if isinstance(policy, Fixed) else load(policy, spec, **kw),
    )


def dataset(lengths, probabilities=None, *, spec=None, terminated=True, log=True, **columns):
    """Return episodes of choices; the behaviour took them with the given probabilities, by default equal ones."""
    spec = spec or discrete_spec(4)
    made = make_columns(spec, lengths, terminated=[terminated] * len(lengths))
    if probabilities is None:
        probabilities = np.full(4, 0.25)
    if log:
        made["infos/action_log_probs"] = np.log(np.asarray(probabilities)[made["actions"]]).astype(np.float32)
    return Dataset.from_columns({**made, **columns}, spec)


def test_the_logged_policys_estimates_equal_the_mean_return():
    data = dataset([3, 2, 4] * 10)
    found = estimate("random", data, gamma=0.9)
    assert [*found.methods] == ["is", "pdis", "wis", "wpdis"]
    for each in found.methods.values():
        assert each.value == pytest.approx(found.logged.value, rel=1e-12)
        assert each.effective_sample_size == pytest.approx(30)
    assert "the same as the policy that was logged" in found.verdict


def test_bandit_data_have_their_own_names():
    rewards = np.array([1, 0, 0, 1] * 25, np.float32)
    actions = np.array([0, 1, 2, 3] * 25)
    data = dataset([1] * 100, rewards=rewards, actions=actions)
    found = estimate(Fixed([0.5, 0.5, 0, 0]), data)
    # Weights are 2, 2, 0, 0: choice 0 always pays and choice 1 never does.
    assert found.methods["ipw"].value == pytest.approx(0.5)
    assert found.methods["snipw"].value == pytest.approx(0.5)
    assert found.methods["ipw"].effective_sample_size == pytest.approx(50)
    better = estimate(Fixed([0.5, 0, 0, 0.5]), data, methods=["ipw", "snipw"])
    assert better.methods["snipw"].value == pytest.approx(1)
    assert better.verdict.startswith("better than the policy that was logged (+0.5 a return")
    assert estimate(Fixed([0, 0.5, 0.5, 0]), data).verdict.startswith("worse than")


def test_propensities_may_be_probabilities():
    columns = make_columns(discrete_spec(4), [1] * 40, terminated=[True] * 40)
    columns["infos/propensity"] = np.full(40, 0.25, np.float32)
    found = estimate("random", Dataset.from_columns(columns, discrete_spec(4)))
    assert found.methods["ipw"].value == pytest.approx(columns["rewards"].astype(float).mean(), rel=1e-12)


def refused(found):
    assert not found.estimates
    assert found.verdict == "these data cannot tell how good the policy is"
    (why,) = found.refusals.values()
    return why


def test_data_without_propensities_are_refused():
    assert "no propensities: the dataset does not say" in refused(
        estimate("random", dataset([2, 2], log=False))
    )


@pytest.mark.parametrize("value", [np.nan, -np.inf, 0.5])
def test_a_wrong_propensity_names_its_row(value):
    logs = np.full(6, np.log(0.25))
    logs[4] = value
    data = dataset([3, 3], **{"infos/action_log_probs": logs})
    assert "row 4 of infos/action_log_probs is" in refused(estimate("random", data))


def test_a_policy_that_never_takes_the_actions_has_no_overlap():
    data = dataset([2] * 5, actions=np.zeros(10, int))
    assert "no overlap" in refused(estimate(Fixed([0, 1, 0, 0]), data))


def test_a_policy_without_a_density_is_refused(tmp_path):
    spec = continuous_spec()
    columns = make_columns(spec, [2, 2])
    columns["infos/action_log_probs"] = np.zeros(4, np.float32)
    path = tmp_path / "policy.py"
    path.write_text("def act(observation):\n    return [0.0, 0.0]\n")
    found = estimate(f"{path}:act", Dataset.from_columns(columns, spec))
    assert "no density" in refused(found)


def test_one_episode_that_carries_all_is_refused():
    data = dataset([60] * 20, probabilities=[0.25] * 4)
    assert "of all weight" in refused(estimate(Fixed([0.7, 0.1, 0.1, 0.1]), data, methods=["wis"]))


def test_missing_episodes_refuse_the_unbiased_methods_alone():
    """Half of the episodes took choice 0 and half choice 1; a policy that takes 2 too is not covered."""
    actions = np.repeat([0, 1], 50)
    logs = np.full(100, np.log(0.25))
    found = estimate("random", dataset([1] * 100, actions=actions, **{"infos/action_log_probs": logs}))
    assert found.methods["ipw"].effective_sample_size == 100
    lacking = estimate(Fixed([0.1, 0.1, 0.4, 0.4]), dataset([1] * 100, actions=actions))
    assert "the weights have a mean of 0.4, not 1" in lacking.methods["ipw"].why
    assert "the data lack what the policy does" in lacking.methods["snipw"].warning
    assert lacking.verdict.startswith("these data cannot tell how good the policy is")


def test_a_policy_that_was_fitted_to_the_episodes_is_warned_of():
    """Choices came up more often than they are probable, and the policy takes them as often as they came up."""
    actions = np.repeat([0, 1], 50)
    found = estimate(Fixed([0.5, 0.5, 0, 0]), dataset([1] * 100, actions=actions))
    assert "a mean of 2, not 1: the policy was trained on these episodes" in found.methods["ipw"].why


def test_few_effective_episodes_are_said():
    found = estimate("random", dataset([2] * 10))
    assert found.methods["wis"].few
    assert "only 10 effective episodes" in found.methods["wis"].to_json()["warning"]
    assert estimate("random", dataset([2] * 40)).methods["wis"].warning is None


def test_weights_without_a_finite_variance_are_warned_of():
    from scipy.stats import genpareto

    def heavy(shape):
        weights = genpareto.rvs(shape, scale=1 - shape, size=2000, random_state=0)  # mean 1
        estimate = judged(mean_of(weights, weights), "t", 0.95, None, 0)
        return estimate.warning

    assert "a tail of shape 0.6" in heavy(0.6)
    assert "their variance is not finite: more may come" in heavy(0.6)
    assert heavy(0.2) is None


def test_cut_episodes_and_fragments_are_left_out():
    columns = make_columns(discrete_spec(4), [3, 5, 2, 5], terminated=[True, False, False, False])
    columns["infos/action_log_probs"] = np.full(15, np.log(0.25), np.float32)
    found = estimate("random", Dataset.from_columns(columns, discrete_spec(4)))
    assert found.episodes == 3
    assert any("without 1 episode cut off before the longest one's end" in note for note in found.notes)
    assert any("a time limit" in note for note in found.notes)
    rows = Dataset.from_columns(columns, discrete_spec(4)).rows(slice(1, 15))
    assert any(
        "without 1 fragment of episodes, whose returns are not known" in note
        for note in estimate("random", rows).notes
    )


def test_data_without_whole_episodes_are_refused():
    rows = dataset([4, 4]).rows([1, 2])
    with pytest.raises(DatasetError, match="no whole episode"):
        estimate("random", rows)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"methods": ["wiss"]}, "unknown method 'wiss'.*did you mean .wis"),
        ({"methods": ["ipw"]}, "ipw is for data of one step"),
        ({"methods": "wis"}, "methods must be a list of texts or None, not 'wis': write it in a list"),
        ({"method": ["wis"]}, "estimate has no argument 'method'; did you mean 'methods'"),
        ({"gamma": "0.9"}, "gamma must be a number"),
        ({"gamma": 1.5}, "gamma 1.5"),
        ({"level": 95}, "level 95"),
        ({"interval": "normal"}, "unknown interval 'normal'"),
        ({"interval": "bernstein"}, "needs the smallest and the greatest"),
        ({"interval": "bernstein", "bounds": (1, 0)}, "give the lower one first"),
    ],
)
def test_wrong_arguments_are_one_line(options, message):
    with pytest.raises(UsageError, match=message):
        estimate("random", dataset([2, 2]), **options)


def test_bernstein_intervals_are_for_means_of_bounded_terms():
    found = estimate("random", dataset([2] * 30), interval="bernstein", bounds=(-50, 50))
    assert [*found.estimates] == ["is", "pdis"]
    assert "no bernstein interval" in found.refusals["wis, wpdis"]
    assert "outside the bounds" in refused(
        estimate("random", dataset([2] * 30), methods=["is"], interval="bernstein", bounds=(0, 0.1))
    )


def test_the_command_prints_a_table_a_verdict_and_json(tmp_path):
    path = tmp_path / "data.h5"
    dataset([3, 2, 4] * 10).save(path)
    run = CliRunner().invoke(app, ["estimate", "random", str(path), "--interval", "t"])
    assert run.exit_code == 0, run.output
    assert "effective episodes" in run.stdout
    assert run.stdout.splitlines()[-1].startswith("verdict: the same as")
    run = CliRunner().invoke(app, ["estimate", "random", str(path), "--method", "wis", "--json"])
    content = json.loads(run.stdout)
    assert content["wis"].keys() >= {"value", "low", "high", "effective_sample_size"}
    assert content["wis"]["low"] <= content["logged"]["value"] <= content["wis"]["high"]
    assert content["gain"]["value"] == pytest.approx(0, abs=1e-6)
    assert content["gain"]["by"] == "wis"
    assert content["gain"]["verdict"].startswith("the same as")


def test_the_command_ends_with_1_where_nothing_can_be_told(tmp_path):
    path = tmp_path / "data.h5"
    dataset([2, 2], log=False).save(path)
    run = CliRunner().invoke(app, ["estimate", "random", str(path), "--json"])
    assert run.exit_code == 1
    assert "no propensities" in json.loads(run.stdout)["wis"]["refused"]
    assert json.loads(run.stdout)["gain"]["refused"].startswith("these data cannot tell")
    run = CliRunner().invoke(app, ["estimate", "random", str(path), "--bounds", "3"])
    assert run.exit_code == 2
    assert "LOW:HIGH" in run.output


def test_the_picture_has_values_ratios_and_weights(tmp_path):
    path = tmp_path / "data.h5"
    dataset([3, 2, 4] * 10).save(path)
    options = ["estimate", "random", str(path), "--interval", "t", "--plot"]
    run = CliRunner().invoke(app, [*options, str(tmp_path / "picture.png")])
    assert run.exit_code == 0, run.output
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")
    for name, message in (("picture.png", "--overwrite"), ("picture.exe", "does not name a picture")):
        run = CliRunner().invoke(app, [*options, str(tmp_path / name)])
        assert run.exit_code == 2
        assert message in run.output


def test_the_picture_of_refused_methods_and_of_one_step(tmp_path):
    rng = np.random.default_rng(0)
    one = estimate(
        Fixed([0.4, 0.2, 0.2, 0.2]), dataset([1] * 40, actions=rng.integers(4, size=40)), interval="t"
    )
    none = estimate("random", dataset([2, 2], log=False))
    assert none.overlap is None
    for name, found in (("one.svg", one), ("none.svg", none)):
        plot_estimates(tmp_path / name, found)
        assert (tmp_path / name).stat().st_size > 1000


def test_effective_episodes_by_step_count_last_weights():
    # Weights: 2, 1; 1, 1; 0.5, which has ended. So 2, 1, 0.5 at the first step and 1, 1, 0.5 at the second.
    episodes = LoggedEpisodes(np.zeros(5), np.log([2, 0.5, 1, 1, 0.5]), np.array([2, 2, 1]), 1.0)
    found = Overlap.of(episodes)
    np.testing.assert_allclose(found.effective, [3.5**2 / 5.25, 2.5**2 / 2.25])
    np.testing.assert_allclose(found.heaviest(), [0.4, 0.8, 1])
