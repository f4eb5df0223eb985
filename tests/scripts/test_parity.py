"""Updates equal d3rlpy's from the same weights on the same batches, with the same draws."""

import pytest

pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore")]

STEPS = 4
CASES = (
    "bc",
    "ddpg",
    "td3",
    "td3bc",
    "rebrac",
    "iql",
    "sac",
    "sac, 6 critics",
    "cql, soft target",
    "cql, greatest target",
    "cql, learned weight",
    "calql",
    "awac",
    "crr",
    "crr, binary",
    "bcq",
    "plas",
    "bear, warm-up",
    "bc of choices",
    "dqn",
    "nfq",
    "qrdqn",
    "cql of choices",
    "sac of choices",
    "bcq of choices",
)


@pytest.mark.parametrize("name", CASES)
def test_updates_match_d3rlpy(parity, name):
    pair = parity.Pair(parity.CASES[name])
    for step in range(1, STEPS + 1):
        pair.step(step)
    drift = pair.drift()
    for network in pair.case.apart:
        # The reason makes them differ; if they no longer do, it has become false.
        assert drift.pop(network) > 0.01
    # A new target has hardly moved, so that rounding is a greater share of its way.
    for network, apart in drift.items():
        assert apart < (0.005 if network.startswith("target_") else 0.002), drift


def test_every_case_with_d3rlpy_is_tested(parity):
    assert set(CASES) == {name for name, case in parity.CASES.items() if not case.corl}


def test_a_fault_shows(parity):
    pair = parity.Pair(parity.CASES["td3bc"])
    pair.columns["reward"] = 0.9 * pair.columns["reward"]  # d3rlpy's alone: ours are on the device
    pair.step(1)
    assert pair.drift()["critic"] > 0.02
