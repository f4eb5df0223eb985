"""Normalized scores: returns on D4RL's scale from a random to an expert policy."""

from __future__ import annotations

REFERENCE_RETURNS = {
    "halfcheetah": (-280.178953, 12135.0),
    "hopper": (-20.272305, 3234.3),
    "walker2d": (1.629008, 4592.3),
}
"""Returns of a random and of an expert policy by environment: scores 0 and 100.

Fu et al. (2020), https://arxiv.org/abs/2004.07219. Measured on Gym's v2 environments; approximate for later ones.
"""


def normalized_score(env: str | None, mean_return: float) -> float | None:
    """Return 100 (R - random) / (expert - random); None for environments without `REFERENCE_RETURNS`.

    The map is affine: apply it to returns and their means, never to a standard deviation.
    """
    name = (env or "").rpartition(":")[2].partition("-")[0].lower()
    if name not in REFERENCE_RETURNS:
        return None
    low, high = REFERENCE_RETURNS[name]
    return 100 * (mean_return - low) / (high - low)
