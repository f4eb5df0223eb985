"""Other tools' own packages, for the tests that the marker ``peers`` names."""

import importlib

import pytest


def with_torchvision():
    """Import torchvision, where it is there: LeRobot and robomimic do at once, whatever is asked of them.

    Its wheels are built for one kind of PyTorch. Beside another one its compiled operators do not load, and the
    import stops at the first of them that is described; to readers of data it is enough that they are declared.
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
