"""Imports of other tools' packages, for tests with the marker ``peers``."""

import importlib

import pytest


def with_torchvision():
    """Import torchvision, which LeRobot and robomimic import; skip the tests if it is missing.

    A torchvision wheel fits one build of PyTorch. With another build its compiled operators do not load, and the
    import fails at the first of them. Reading data does not call them, so this declares them without code.
    """
    torch = pytest.importorskip("torch")
    try:
        importlib.import_module("torchvision")
    except RuntimeError:
        for operator in ("nms", "qnms"):
            torch.library.define(
                f"torchvision::{operator}", "(Tensor dets, Tensor scores, float iou) -> Tensor"
            )
        importlib.import_module("torchvision")
    except ImportError:
        pytest.skip("could not import 'torchvision'", allow_module_level=True)
