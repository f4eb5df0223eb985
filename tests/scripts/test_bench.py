"""The benchmark counts operations correctly and reports missing peers."""

import keras
import numpy as np
import pytest


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="the graph that is counted is TensorFlow's"
)
@pytest.mark.parametrize("agent", ["bc", "td3bc"])
def test_flop_of_a_step_by_hand(bench, agent):
    from contenders.task import ACTIONS, OBSERVATIONS, Task
    from contenders.work import step_flop

    width, batch = 8, 4

    def products(inputs, outputs, *, trained=True, to_inputs=False):
        """Return multiply-adds a row: forward, backward through layers, and weights if ``trained``."""
        first, rest = inputs * width, width * width + width * outputs
        return first + rest + rest + to_inputs * first + trained * (first + rest)

    forward = {
        "actor": OBSERVATIONS * width + width * width + width * ACTIONS,
        "critic": (OBSERVATIONS + ACTIONS) * width + width * width + width,
    }
    cost = products(OBSERVATIONS, ACTIONS)
    if agent == "td3bc":
        critics = forward["actor"] + 2 * forward["critic"] + 2 * products(OBSERVATIONS + ACTIONS, 1)
        through = products(OBSERVATIONS + ACTIONS, 1, trained=False, to_inputs=True)
        cost = critics + (cost + through) / 2
    assert step_flop(Task(agent, rows=batch, batch_size=batch, width=width)) == 2 * batch * cost


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="the graph that is counted is TensorFlow's"
)
def test_flop_of_a_step_on_choices_by_hand(bench):
    from contenders.task import CHOICES, OBSERVATIONS, Task
    from contenders.work import step_flop

    width, batch = 8, 4
    first, rest = OBSERVATIONS * width, width * width + width * CHOICES
    # The online and the target network on the next state forward; the online one on the state forward, to the inputs
    # of its last two layers, and to its weights.
    cost = 2 * (first + rest) + (first + rest) + rest + (first + rest)
    assert step_flop(Task("dqn", rows=batch, batch_size=batch, width=width)) == 2 * batch * cost


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="the graph that is counted is TensorFlow's"
)
def test_flop_of_a_step_of_many_critics_by_hand(bench):
    from contenders.task import ACTIONS, OBSERVATIONS, Task
    from contenders.work import step_flop

    from vinci_offline.agents.registry import agent_class

    width, batch, critics = 8, 4, agent_class("sacn")().critics
    rest = width * width + width
    first, actor_first = (OBSERVATIONS + ACTIONS) * width, OBSERVATIONS * width
    actor_rest = width * width + width * 2 * ACTIONS
    # Forward, to the inputs of all layers but the first, and to the weights.
    trained_critics, trained_actor = 2 * first + 3 * rest, 2 * actor_first + 3 * actor_rest
    # The actor acts in its own loss, in the targets, and in the loss of the temperature.
    acting = 2 * (actor_first + actor_rest)
    of_critics = (
        (first + rest) + trained_critics + (2 * first + 2 * rest)
    )  # targets, own loss, the actor's loss
    cost = acting + trained_actor + critics * of_critics
    assert step_flop(Task("sacn", rows=batch, batch_size=batch, width=width)) == 2 * batch * cost


def test_sweep_adds_up_learners_that_run_at_the_same_time(bench):
    from types import SimpleNamespace

    from contenders.race import PRODUCT_FLOP
    from contenders.task import Task
    from sweep import Team, section

    def team(label, rates, learners=1):
        return Team(label, [SimpleNamespace(run=lambda _, rate=rate: (rate, 0)) for rate in rates], learners)

    teams = [team("one", [100.0]), team("two", [60.0, 70.0]), team("many", [5.0], learners=16)]
    product = team("product", [200.0])
    for each in (*teams, product):
        each.run(1.0)
    assert [each.rates for each in teams] == [[100.0], [130.0], [80.0]]
    text = section(Task("td3bc"), PRODUCT_FLOP / 10, teams, product)
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if "|" in line]
    assert rows[3] == ["two", "130", "130 to 130", "1.30", "0.07"]  # 130 / 10 of 200 products
    assert "over one with all: 1.30 (goal: at least 1.25)" in text


def test_brief_line_has_ratio_of_each_round(bench):
    from contenders.race import PRODUCT_FLOP, Result
    from contenders.task import Task
    from training import brief

    results = {
        "tensorflow": Result((100.0, 120.0, 90.0), 0),
        "d3rlpy": Result((50.0, 40.0, 30.0), 0),
        "product-tensorflow": Result((1.0, 1.0, 1.0), 0),
    }
    line = brief(Task("cql"), PRODUCT_FLOP / 200, results)
    assert line == ("cql", "0.011", "100", "0.50", "40", "3.0", "2.0 to 3.0")
    results["corl"] = results.pop("d3rlpy")
    assert brief(Task("cql"), PRODUCT_FLOP / 200, results) == line


def test_keep_replaces_the_table_in_its_page(bench, tmp_path):
    from tables import keep, table

    page = tmp_path / "page.md"
    page.write_text("# Title\n\n<!-- one -->\nold\n<!-- /one -->\n\nafter\n")
    text = table(("", "rate"), [("loop", "12")])
    keep(page, "one", text)
    keep(page, "two", "new\\1")
    shown = "|      | rate |\n| ---- | ---- |\n| loop | 12   |"
    assert page.read_text() == (
        f"# Title\n\n<!-- one -->\n\n{shown}\n\n<!-- /one -->\n\nafter\n\n<!-- two -->\n\nnew\\1\n\n<!-- /two -->\n"
    )


def test_missing_peer_is_skipped_with_message(bench):
    from contenders.race import race
    from contenders.task import Task

    said = []
    assert race(["pytorch"], Task("no such agent", rows=8), rounds=1, seconds=0.1, say=said.append) == {}
    assert len(said) == 1
    assert said[0].startswith("PyTorch loop, eager is left out: ")


def test_ratios_are_medians_of_rounds(bench):
    from contenders.race import Result

    assert Result((10.0, 40.0, 90.0), 0).over(Result((10.0, 20.0, 30.0), 0)) == 2.0


@pytest.mark.peers
def test_pytorch_loop_losses_equal_ours(bench):
    torch = pytest.importorskip("torch", reason="PyTorch is no dependency")
    from contenders.ours import box
    from contenders.pytorch_loop import TD3BC, Batch
    from contenders.task import ACTIONS, GAMMA, OBSERVATIONS

    from vinci_offline import EnvironmentSpec, Transitions
    from vinci_offline.agents.registry import agent_class
    from vinci_offline.functional import random
    from vinci_offline.networks.builder import NetworkBuilder
    from vinci_offline.training.learner import Learner

    agent = agent_class("td3bc").from_settings({"hidden": (8, 8), "policy_noise": 0.0})
    spec = EnvironmentSpec(box(OBSERVATIONS, np.inf), box(ACTIONS, 1))
    nets = Learner(agent, NetworkBuilder(spec), seed=0).nets
    peer = TD3BC(8, noise=0.0)
    for prefix, network, module in (
        ("actor", nets.actor, peer.actor),
        ("critic_0", nets.critic, peer.critic_1),
        ("critic_1", nets.critic, peer.critic_2),
    ):
        for name, layer in zip(("dense_1", "dense_2", "output"), module.net[::2], strict=True):
            weights = layer.weight.detach().numpy().T, layer.bias.detach().numpy()
            network.get_layer(f"{prefix}_{name}").set_weights(weights)
    nets.target_actor.set_weights(nets.actor.get_weights())
    nets.target_critic.set_weights(nets.critic.get_weights())
    generator = np.random.default_rng(0)
    observation, following = generator.normal(size=(2, 16, OBSERVATIONS)).astype(np.float32)
    action = generator.uniform(-1, 1, (16, ACTIONS)).astype(np.float32)
    reward = generator.normal(size=16).astype(np.float32)
    terminal = (generator.random(16) < 0.3).astype(np.float32)
    ours = Transitions(
        *map(
            keras.ops.convert_to_tensor,
            (observation, action, reward, (GAMMA * (1 - terminal)).astype(np.float32), following),
        )
    )
    theirs = Batch(*map(torch.as_tensor, (observation, action, reward, following, terminal)))
    key = random.key(0, keras.ops.convert_to_tensor(1), 0)
    for name in ("critic_loss", "actor_loss"):
        loss, _ = getattr(agent, name)(nets, ours, key)
        assert float(loss) == pytest.approx(getattr(peer, name)(theirs).item(), rel=1e-5)
