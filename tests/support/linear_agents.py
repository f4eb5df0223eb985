"""Agents with linear networks of one observation and one action, whose losses a reader can compute by hand.

Row 1 does not terminate, row 2 does. Environment actions lie in [-2, 2]: a scaled action is half of them.
"""

import keras
import numpy as np
from keras import ops
from keras.layers import Dense, concatenate

from vinci_offline.agents.agent import Networks
from vinci_offline.agents.update import updates_of_kind
from vinci_offline.batches.batch import Batch
from vinci_offline.functional import random
from vinci_offline.networks.builder import NetworkBuilder
from vinci_offline.spec import BoxSpace, DiscreteSpace, EnvironmentSpec

LINE = BoxSpace((1,), "float32", np.array([-np.inf], "f4"), np.array([np.inf], "f4"))
BOX = EnvironmentSpec(LINE, BoxSpace((1,), "float32", np.array([-2], "f4"), np.array([2], "f4")))
CHOICE = EnvironmentSpec(LINE, DiscreteSpace(3))

S, A, R, DISCOUNT, S2 = [1.0, 2.0], [0.5, -0.5], [1.0, 2.0], [0.9, 0.0], [2.0, 3.0]


def column(values):
    return ops.convert_to_tensor(np.asarray(values, "float32")[:, None])


def vector(values):
    return ops.convert_to_tensor(np.asarray(values, "float32"))


BATCH = Batch(
    {
        "observation": column(S),
        "action": column(A),
        "reward": vector(R),
        "discount": vector(DISCOUNT),
        "next_observation": column(S2),
    }
)
CHOICES = BATCH.replace(action=ops.convert_to_tensor(np.array([1, 2], "int32")))


def linear(outputs):
    return lambda env: keras.Model(env.state, Dense(outputs, use_bias=False)(env.state))


def critic(env):
    return keras.Model(
        [env.state, env.action], Dense(1, use_bias=False)(concatenate([env.state, env.action]))
    )


def networks(agent, spec=BOX, actor_outputs=None, critic_outputs=3, users=None, **weights):
    """Make the agent's linear networks; each weight is a kernel, or a list of kernels, one for each member.

    The weight of a learned scalar is its value. ``users`` are makers of further networks.
    """
    users = {"actor": linear(actor_outputs or spec.action_space.dim), "value": linear(1), **(users or {})}
    users["critic"] = critic if spec is BOX else linear(critic_outputs)
    build = NetworkBuilder(spec, user_networks=users)
    made = agent.networks(build)
    made |= {name: keras.models.clone_model(made[name[7:]]) for name in weights if name.startswith("target_")}
    for name, kernels in weights.items():
        if isinstance(made[name], keras.Variable):
            made[name].assign(kernels)
        else:
            made[name].set_weights([np.asarray(kernel, "f4") for kernel in kernels])
    return Networks(made, build.bounded, build.bounds)


KEY = random.key(0, ops.convert_to_tensor(1), 0)
"""Key that `loss_of` gives to each loss."""


def loss_of(agent, nets, trains, batch=BATCH):
    updates = updates_of_kind(agent.updates(), discrete=len(batch.action.shape) == 1)
    (update,) = (update for update in updates if update.name == trains)
    return update.loss(nets, batch, KEY)


# Q(s, a) of two members as kernels over (s, a).
TWIN = {
    "critic": [[[1], [2]], [[2], [1]]],
    "target_critic": [[[0.5], [1]], [[1], [-1]]],
    "actor": [[[0.2]]],
    "target_actor": [[[0.1]]],
}


SINGLE = {name: TWIN[name][:1] for name in TWIN}

# V = 0.3 s = (0.3, 0.6), V' = (0.6, 0.9); the least Q'(s, a) of (1, 0.5) and (0.5, 2.5) is (0.5, 0.5):
# the advantages are (0.2, -0.1).
VALUED = {"critic": TWIN["critic"], "target_critic": TWIN["target_critic"], "value": [[[0.3]]]}

CHOOSING = {"critic": [[[1, -1, 2]]], "target_critic": [[[3, 1, 2]]]}
