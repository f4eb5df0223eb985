"""From rows to transitions: n-step sums, discounts, episode ends."""

import numpy as np
import pytest

from vinci_offline.batches.returns import n_step_returns


def summed(rewards, terminals, continues, gamma=0.5, n_step=3):
    return n_step_returns(
        np.array(rewards, np.float32),
        np.array(terminals, bool),
        np.array(continues, bool),
        gamma=gamma,
        n_step=n_step,
    )


def test_one_step_is_the_row_itself():
    reward, discount, last = summed([1, 2, 3], [False, True, False], [True, False, False], n_step=1)
    assert reward.tolist() == [1, 2, 3]
    assert discount.tolist() == [0.5, 0.0, 0.5]  # no bootstrap past a termination
    assert last.tolist() == [0, 1, 2]


def test_n_step_sums_stop_at_a_termination():
    reward, discount, last = summed([1, 2, 4, 8], [False, False, False, True], [True, True, True, False])
    assert reward.tolist() == [1 + 1 + 1, 2 + 2 + 2, 4 + 4, 8]
    assert discount.tolist() == [0.125, 0, 0, 0]
    assert last.tolist() == [2, 3, 3, 3]


def test_a_truncated_episode_bootstraps_from_its_last_observation():
    # Rows 0-1 are cut by a time limit, rows 2-3 are another episode: nothing leaks across.
    reward, discount, last = summed([1, 2, 4, 8], [False] * 4, [True, False, True, False])
    assert reward.tolist() == [1 + 1, 2, 4 + 4, 8]
    assert discount.tolist() == [0.25, 0.5, 0.25, 0.5]
    assert last.tolist() == [1, 1, 3, 3]


def test_matches_a_plain_loop():
    generator = np.random.default_rng(1)
    rows, gamma, n_step = 200, 0.9, 4
    rewards = generator.normal(size=rows).astype(np.float32)
    terminals = generator.random(rows) < 0.05
    continues = ~terminals & (generator.random(rows) > 0.05)
    continues[-1] = False
    reward, discount, last = summed(rewards, terminals, continues, gamma, n_step)
    for row in range(rows):
        total, end, steps = float(rewards[row]), row, 1
        while steps < n_step and continues[end]:
            end += 1
            total += gamma**steps * float(rewards[end])
            steps += 1
        assert reward[row] == pytest.approx(total, abs=1e-5)
        assert discount[row] == pytest.approx(gamma**steps * (not terminals[end]))
        assert last[row] == end
