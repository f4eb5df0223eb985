"""Stand-in for the workers of a sweep: every cell is finished at once, with a return that a function gives."""

import json
from pathlib import Path
from types import SimpleNamespace

from data_examples import discrete_spec

from vinci_offline import Dataset
from vinci_offline.sweeps import sweep as sweeping


class FakePool:
    """Workers that train nothing.

    Args:
        monkeypatch: the fixture.
        score: function from a cell to its last mean return; None fails it.

    Attributes:
        trained: the names of all cells that were given.
        left: how many are trained before the sweep is interrupted.
        reverse: take the last cell first.
    """

    def __init__(self, monkeypatch, score):
        self.trained, self.left, self.reverse = [], 1000, False
        self._score = score

        def pool(queue, order, workers, listener):
            return SimpleNamespace(run=lambda: self._run(queue, Path(order.folder), listener))

        monkeypatch.setattr(sweeping, "Pool", pool)

    def _run(self, queue, folder, listener):
        cells = list(iter(queue.take, None))
        for cell in reversed(cells) if self.reverse else cells:
            if not self.left:
                raise KeyboardInterrupt
            self.left -= 1
            self.trained.append(cell.name)
            score = self._score(cell)
            if score is None:
                listener.failed(cell, "it diverged")
            else:
                write_run(folder / cell.name, cell, score)
                listener.finished(
                    cell, {**RESULT, "planned": cell.steps, "final_metrics": {"return/mean": score}}
                )


RESULT = {"planned": 10, "steps": 10, "steps_per_second": 5.0, "compile_seconds": 1.0}


def write_run(path, cell, score):
    """Write what a finished cell leaves, as far as `compare` reads it."""
    path.mkdir(parents=True, exist_ok=True)
    config = {
        "agent": cell.agent,
        "hyperparameters": dict(cell.settings),
        "environment": json.loads(discrete_spec().to_json()),
        "steps": cell.steps,
        "training": {"seed": cell.seed},
    }
    dataset = {"files": [cell.dataset], "hash": Dataset.open(cell.dataset).hash}
    (path / "dataset.json").write_text(json.dumps(dataset))
    (path / "config.json").write_text(json.dumps(config))
    (path / "evaluations.csv").write_text(f"step,return_mean,episodes\n{cell.steps},{score},5\n")
