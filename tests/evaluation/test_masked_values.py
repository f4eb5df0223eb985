"""Values of policies that take a mask of choices beside the observation, against numbers worked out by hand."""

import keras
import numpy as np
import pytest
from keras import ops
from linear_agents import CHOICE, CHOICES, KEY, linear

from vinci_offline import estimate, train
from vinci_offline.agents.agent import Networks
from vinci_offline.agents.fqe import FQE
from vinci_offline.data.dataset import Dataset
from vinci_offline.errors import SpecError
from vinci_offline.functional import masked
from vinci_offline.networks.builder import NetworkBuilder
from vinci_offline.policies.named import load_policy

LOGITS = [[0.0, np.log(2.0), np.log(0.5)]]
GAMMA = 0.9
EPISODES = 60
FIRST, SECOND = [1, 1, 0], [1, 0, 1]
VALUE = (2 + 4) / 2 + GAMMA * (1 - 2) / 2
"""Of the uniform policy over allowed choices. The first pay 2 and 4, the second 1 and -2."""


def save_policy(path, kernel, *, drawn=True):
    """Save a policy whose logits are the allowed ones of the observation times a kernel."""
    raw, mask = keras.Input((1,), name="observation"), keras.Input((3,), name="action_mask")
    layer = keras.layers.Dense(3, use_bias=False)
    logits = masked(layer(raw), mask)
    output = {"logits": logits} if drawn else ops.top_k(logits, 1)[1][:, 0]
    model = keras.Model({"observation": raw, "action_mask": mask}, output)
    layer.set_weights([np.asarray(kernel, "f4")])
    model.save(path)
    return str(path)


def chain():
    """Make episodes of two rows. Each allows two of three choices, and no row tells what the third would pay."""
    turn = np.arange(2 * EPISODES) % 2
    choice = np.where(np.arange(2 * EPISODES) // 2 % 2, np.where(turn, 2, 1), 0)
    paid = np.array([[2, 4, np.nan], [1, np.nan, -2]])[turn, choice]
    return Dataset.from_columns(
        {
            "observations": turn[:, None].astype("f4"),
            "next_observations": turn[:, None].astype("f4") + 1,
            "actions": choice.astype(np.int64),
            "rewards": paid.astype("f4"),
            "terminals": turn == 1,
            "timeouts": np.zeros(2 * EPISODES, bool),
            "infos/action_mask": np.array([FIRST, SECOND], np.int8)[turn],
        },
        CHOICE,
    )


def test_loss_takes_the_expectation_over_allowed_choices(tmp_path):
    # At s' = 2 the policy is proportional to (1, 4, 1/4); without the second choice (0.8, 0, 0.2).
    # Q' = 2 * (3, 1, 2): the expectation is 5.6. The second row ends. Q(s, a) of the choices 1 and 2 is -1 and 4.
    agent = FQE(evaluation_policy=save_policy(tmp_path / "p.keras", LOGITS))
    build = NetworkBuilder(CHOICE, user_networks={"critic": linear(3)}, masked=True)
    made = agent.networks(build)
    made["target_critic"] = keras.models.clone_model(made["critic"])
    for name, kernel in (("critic", [[1, -1, 2]]), ("target_critic", [[3, 1, 2]])):
        made[name].set_weights([np.asarray(kernel, "f4")])
    nets = Networks(made, build.bounded, build.bounds)
    batch = CHOICES.replace(next_action_mask=ops.convert_to_tensor([[True, False, True], [True, True, True]]))
    target = np.array([1 + 0.9 * 5.6, 2])
    loss, _ = agent.critic_loss(nets, batch, KEY)
    assert float(loss) == pytest.approx(((np.array([-1, 4]) - target) ** 2).mean(), rel=1e-5)
    # Its own policies obey a mask too: of the greatest logit where it is allowed, and else of the next.
    seen = {"observation": np.ones((2, 1), "f4"), "action_mask": np.array([[1, 1, 1], [1, 0, 1]], "f4")}
    assert agent.policy(nets, build).predict_on_batch(seen).tolist() == [1, 0]
    chance = ops.softmax(agent.stochastic_policy(nets, build).predict_on_batch(seen)["logits"])
    np.testing.assert_allclose(chance, [[2 / 7, 4 / 7, 1 / 7], [2 / 3, 0, 1 / 3]], rtol=1e-5)


@pytest.mark.parametrize(("drawn", "value"), [(True, VALUE), (False, 2 + GAMMA * 1)])
def test_value_is_that_of_allowed_choices(tmp_path, drawn, value):
    policy = save_policy(
        tmp_path / "p.keras", [[0, 0, 0]], drawn=drawn
    )  # the first of equal logits is the greatest
    fit = {"hidden": (16,), "learning_rate": 0.01, "target_update": 5}
    result = train(
        chain(),
        FQE(evaluation_policy=policy, **fit),
        output=tmp_path / "run",
        steps=500,
        gamma=GAMMA,
        batch_size=100,
        jit="off",
        progress=False,
    )
    assert result.final_metrics["value/initial"] == pytest.approx(value, abs=0.02)
    assert load_policy(tmp_path / "run", CHOICE).takes_masks
    settings = {f"fqe.{name}": each for name, each in {**fit, "critics": 2}.items()}
    asked = {"stochastic": True} if drawn else {}
    found = estimate(policy, chain(), methods=["fqe"], gamma=GAMMA, steps=500, settings=settings, **asked)
    assert found.estimates["fqe"].value == pytest.approx(value, abs=0.02)


def test_data_without_masks_are_refused(tmp_path):
    agent = FQE(evaluation_policy=save_policy(tmp_path / "p.keras", LOGITS))
    with pytest.raises(
        SpecError, match=r"the data have no infos/action_mask; collect records it with --record-infos"
    ):
        agent.networks(NetworkBuilder(CHOICE))
