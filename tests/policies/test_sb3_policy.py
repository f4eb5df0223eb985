import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from vinci_offline import VinciWarning, collect
from vinci_offline.envs.making import make_env
from vinci_offline.errors import SpecError, UsageError, VinciError
from vinci_offline.policies.named import check_policy_name, load_policy
from vinci_offline.spec import environment_spec

torch = pytest.importorskip("torch")
pytest.importorskip("stable_baselines3")
# Warnings of Stable-Baselines3 and PyTorch about themselves do not count.
pytestmark = [
    pytest.mark.peers,
    pytest.mark.filterwarnings("default", "error::vinci_offline.VinciWarning"),
]

REAL = Path(os.environ.get("VINCI_REAL", Path(__file__).parents[2] / "../shared/real")) / "policies/sb3_zip"
OBSERVATIONS = np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3)


def generators(count=4):
    return [np.random.default_rng((3, lane)) for lane in range(count)]


def load(name, env="Pendulum-v1", **options):
    with pytest.warns(VinciWarning, match="only files you trust"):
        return load_policy(name, environment_spec(make_env(env)), **options)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Save untrained policies of three kinds of distribution, and one without a distribution."""
    import gymnasium
    import stable_baselines3 as sb3

    folder = tmp_path_factory.mktemp("sb3")

    def small():
        return {"policy_kwargs": {"net_arch": [8]}, "seed": 0, "device": "cpu"}

    models = {
        "ppo": sb3.PPO("MlpPolicy", gymnasium.make("Pendulum-v1"), n_steps=64, **small()),
        "sac": sb3.SAC("MlpPolicy", gymnasium.make("Pendulum-v1"), buffer_size=100, **small()),
        "dqn": sb3.DQN("MlpPolicy", gymnasium.make("CartPole-v1"), buffer_size=100, **small()),
        "a2c": sb3.A2C("MlpPolicy", gymnasium.make("CartPole-v1"), **small()),
    }
    for name, model in models.items():
        model.save(folder / name)
    return folder, models


@pytest.mark.parametrize("algorithm", ["ppo", "sac"])
def test_actions_match_stable_baselines(saved, algorithm):
    folder, models = saved
    policy = load(f"sb3:{algorithm}:{folder / algorithm}.zip")
    decision = policy.act(OBSERVATIONS, generators())
    expected, _ = models[algorithm].predict(OBSERVATIONS, deterministic=True)
    assert decision.actions == pytest.approx(expected, abs=1e-6)
    assert decision.log_probs is None
    assert policy.deterministic


@pytest.mark.parametrize("algorithm", ["ppo", "sac"])
def test_sample_densities_match_stable_baselines(saved, algorithm):
    folder, models = saved
    policy = load(f"sb3:{algorithm}:{folder / algorithm}.zip", stochastic=True)
    actions, log_probs = policy.act(OBSERVATIONS, generators())
    model = models[algorithm].policy
    with torch.no_grad():
        if algorithm == "ppo":
            theirs = model.get_distribution(torch.as_tensor(OBSERVATIONS)).log_prob(torch.as_tensor(actions))
            inside = np.abs(actions[:, 0]) < 2
        else:
            mean, log_std, _ = model.actor.get_action_dist_params(torch.as_tensor(OBSERVATIONS))
            scaled = torch.as_tensor(actions / 2)
            theirs = model.actor.action_dist.proba_distribution(mean, log_std).log_prob(scaled) - np.log(2)
            inside = np.abs(actions[:, 0]) < 1.9
    assert inside.sum() >= 2
    assert log_probs[inside] == pytest.approx(theirs.numpy()[inside], abs=1e-3)
    assert not policy.deterministic


def test_categorical_samples_use_lane_generators(saved):
    folder, models = saved
    policy = load(f"sb3:a2c:{folder}/a2c.zip", "CartPole-v1", stochastic=True)
    observations = np.zeros((2000, 4), np.float32)
    actions, log_probs = policy.act(observations, generators(2000))
    with torch.no_grad():
        distribution = models["a2c"].policy.get_distribution(torch.zeros(1, 4)).distribution
        probability = distribution.probs[0, 1].item()
    assert (actions == 1).mean() == pytest.approx(probability, abs=0.04)
    assert np.exp(log_probs) == pytest.approx(np.where(actions == 1, probability, 1 - probability), abs=1e-5)
    again = policy.act(observations, generators(2000)).actions
    assert (again == actions).all()


def test_sampling_needs_a_distribution(saved):
    folder, _ = saved
    with pytest.raises(UsageError, match=r"dqn learns no distribution.*epsilon"):
        load(f"sb3:dqn:{folder}/dqn.zip", "CartPole-v1", stochastic=True)


def test_normalization_matches_vecnormalize(saved, tmp_path):
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.vec_env import VecNormalize

    folder, models = saved
    environment = VecNormalize(make_vec_env("Pendulum-v1", 1), clip_obs=0.5)
    environment.obs_rms.mean, environment.obs_rms.var = np.array([0.5, 0, 1]), np.array([4.0, 1, 0.25])
    environment.save(tmp_path / "statistics.pkl")
    policy = load(f"sb3:ppo:{folder}/ppo.zip:{tmp_path}/statistics.pkl")
    by_hand = np.clip((OBSERVATIONS - [0.5, 0, 1]) / np.sqrt(np.array([4, 1, 0.25]) + 1e-8), -0.5, 0.5)
    expected, _ = models["ppo"].predict(by_hand.astype(np.float32), deterministic=True)
    assert policy.act(OBSERVATIONS, generators()).actions == pytest.approx(expected, abs=1e-6)


def test_misfit_and_damaged_files_are_refused(saved, tmp_path):
    folder, _ = saved
    with pytest.raises(SpecError, match=r"CartPole-v1 does not fit .*ppo\.zip.*Box\(3,\) against Box\(4,\)"):
        load(f"sb3:ppo:{folder}/ppo.zip", "CartPole-v1")
    with pytest.raises(VinciError, match="cannot be loaded as a policy of a2c"):
        load(f"sb3:a2c:{folder}/sac.zip")
    (tmp_path / "cut.zip").write_bytes((folder / "ppo.zip").read_bytes()[:2000])
    with pytest.raises(VinciError, match=r"cut\.zip cannot be loaded"):
        load(f"sb3:ppo:{tmp_path}/cut.zip")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(VinciError, match=r"other\.zip cannot be loaded"):
        load(f"sb3:ppo:{tmp_path}/other.zip")
    with pytest.raises(VinciError, match=r"give the file that VecNormalize\.save wrote"):
        load(f"sb3:ppo:{folder}/ppo.zip:{tmp_path}/cut.zip")


def test_missing_package_is_named(saved, monkeypatch):
    folder, _ = saved
    monkeypatch.setattr("vinci_offline.policies.sb3_files.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'vinci-offline\[sb3\]'"):
        check_policy_name(f"sb3:ppo:{folder}/ppo.zip")


def test_unknown_algorithm_lists_known_ones(saved):
    folder, _ = saved
    with pytest.raises(
        UsageError, match=r"one of a2c, .*td3, or with pip install sb3-contrib ars, .*, trpo$"
    ):
        check_policy_name(f"sb3:reinforce:{folder}/ppo.zip")


def test_missing_sb3_contrib_is_named(saved, monkeypatch):
    folder, _ = saved
    found = {"stable_baselines3": True, "sb3_contrib": None}
    monkeypatch.setattr("vinci_offline.policies.sb3_files.find_spec", found.get)
    with pytest.raises(UsageError, match=r"needs sb3_contrib: .*, or pip install sb3-contrib$"):
        check_policy_name(f"sb3:trpo:{folder}/ppo.zip")


@pytest.mark.parametrize(
    ("name", "env", "options"),
    [
        ("ARS", "Pendulum-v1", {"policy": "LinearPolicy"}),
        ("TRPO", "Pendulum-v1", {"n_steps": 64, "batch_size": 64}),
        ("QRDQN", "CartPole-v1", {"buffer_size": 100}),
        ("TQC", "Pendulum-v1", {"buffer_size": 100}),
        ("CrossQ", "Pendulum-v1", {"buffer_size": 100}),
    ],
)
def test_sb3_contrib_actions_match(tmp_path, name, env, options):
    contrib = pytest.importorskip("sb3_contrib")
    import gymnasium

    own = {"policy": "MlpPolicy", "seed": 0, "device": "cpu"}
    model = getattr(contrib, name)(env=gymnasium.make(env), **(own | options))
    model.save(tmp_path / "policy")
    observations = (
        np.random.default_rng(0).normal(size=(4, *model.observation_space.shape)).astype(np.float32)
    )
    policy = load(f"sb3:{name}:{tmp_path}/policy.zip", env)
    expected, _ = model.predict(observations, deterministic=True)
    actions = policy.act(observations, generators()).actions
    assert actions == pytest.approx(expected.reshape(actions.shape), abs=1e-6)


def test_lanes_and_mixtures_keep_sampled_data(saved, tmp_path):
    folder, _ = saved
    name = f"sb3:ppo:{folder}/ppo.zip"
    options = {
        "episodes": 4,
        "policy": [name, "random"],
        "noise": "sample",
        "env_kwargs": {"max_episode_steps": 20},
        "progress": False,
    }
    with pytest.warns(VinciWarning, match="only files you trust"):
        one = collect("Pendulum-v1", tmp_path / "one.h5", lanes=2, **options)
    with pytest.warns(VinciWarning, match="only files you trust"):
        four = collect("Pendulum-v1", tmp_path / "four.h5", lanes=4, **options)
    assert one.episodes["policy"].tolist() == [0, 1, 0, 1]
    assert np.isfinite(one.columns["infos/action_log_probs"]).all()
    assert four.columns["actions"] == pytest.approx(one.columns["actions"], abs=1e-5)


def test_recurrent_state_resets_with_each_episode(tmp_path):
    contrib = pytest.importorskip("sb3_contrib")
    import gymnasium

    small = {"policy_kwargs": {"net_arch": [8], "lstm_hidden_size": 4}, "seed": 0, "device": "cpu"}
    model = contrib.RecurrentPPO("MlpLstmPolicy", gymnasium.make("Pendulum-v1"), n_steps=16, **small)
    model.save(tmp_path / "lstm")
    policy = load(f"sb3:ppo_lstm:{tmp_path}/lstm.zip")
    policy.reset(range(4))
    first, second = (policy.act(OBSERVATIONS, generators()).actions for _ in range(2))
    assert (first != second).any()
    policy.reset([1, 3])
    third = policy.act(OBSERVATIONS, generators()).actions
    assert third[[1, 3]] == pytest.approx(first[[1, 3]], abs=1e-6)
    _, state = model.predict(OBSERVATIONS, deterministic=True)
    expected, _ = model.predict(OBSERVATIONS, state, deterministic=True)
    assert second == pytest.approx(expected, abs=1e-6)


@pytest.mark.skipif(not REAL.is_dir(), reason="the real policies are not here")
@pytest.mark.parametrize(
    ("algorithm", "stem", "env", "mean"),
    [
        ("a2c", "a2c_CartPole-v1", "CartPole-v1", 500),
        ("dqn", "dqn_CartPole-v1", "CartPole-v1", 500),
        ("sac", "sac_Pendulum-v1", "Pendulum-v1", -170),
        ("ppo", "ppo_MountainCarContinuous-v0", "MountainCarContinuous-v0", 87.2),
    ],
)
def test_published_policies_reach_published_returns(algorithm, stem, env, mean):
    name = f"sb3:{algorithm}:{REAL / stem}.zip"
    if (REAL / f"{stem}.vecnormalize.pkl").exists():
        name += f":{REAL / stem}.vecnormalize.pkl"
    policy = load(name, env)
    # The page's figures are of these ten seeds.
    returns = [total_reward(policy, make_env(env), seed) for seed in range(1000, 1010)]
    assert np.mean(returns) == pytest.approx(mean, abs=0.5)


def total_reward(policy, env, seed):
    observation, _ = env.reset(seed=seed)
    total, over = 0.0, False
    while not over:
        action = policy.act(observation[None], generators(1)).actions[0]
        observation, reward, terminated, truncated, _ = env.step(action)
        total, over = total + reward, terminated or truncated
    return total
