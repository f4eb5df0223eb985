"""Run directories as `compare` reads them, written without training."""

from __future__ import annotations

import json

from data_examples import discrete_spec

ENVIRONMENT = json.loads(discrete_spec().to_json())


def run(
    folder, agent, seed, returns, *, data="abc", files=None, hash_=None, training=None, **hyperparameters
):
    """Write what `compare` reads of a run directory; ``returns`` are those of evaluations every 50 steps."""
    path = folder / f"{agent}-{seed}-{len(list(folder.iterdir()))}"
    path.mkdir()
    config = {
        "format": "vinci-offline-run",
        "version": 1,
        "agent": agent,
        "hyperparameters": hyperparameters,
        "environment": ENVIRONMENT,
        "steps": 100,
        "training": {"seed": seed, "batch_size": 256, "eval_every": 50, **(training or {})},
    }
    (path / "config.json").write_text(json.dumps(config))
    content = {"files": files or [f"/data/{data}.h5"], "hash": hash_ or f"{data}123456789"}
    (path / "dataset.json").write_text(json.dumps(content))
    rows = [f"{50 * (place + 1)},{value},10" for place, value in enumerate(returns)]
    (path / "evaluations.csv").write_text("\n".join(["step,return_mean,episodes", *rows, ""]))
    return path
