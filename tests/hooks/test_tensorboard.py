import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from tensorboard.backend.event_processing import plugin_event_accumulator
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.hparams import plugin_data_pb2
from tensorboard.util.tensor_util import make_ndarray

from vinci_offline.envs.evaluator import Evaluation
from vinci_offline.hooks.tensorboard import CHARTS, TensorBoard

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c6300010000050001a5f645400000000049454e44ae426082"
)


@pytest.fixture
def read(tmp_path):
    def load():
        return EventAccumulator(str(tmp_path), size_guidance={"images": 0, "scalars": 0}).Reload()

    return load


def scalars(events, tag):
    return {event.step: event.value for event in events.Scalars(tag)}


def plugin_data(events, tag):
    metadata = events.SummaryMetadata(tag)
    assert metadata.plugin_data.plugin_name == "hparams"
    return plugin_data_pb2.HParamsPluginData.FromString(metadata.plugin_data.content)


def test_tensorboard_reads_all_events(tmp_path, make_run, read):
    board = TensorBoard()
    board.start(make_run(tmp_path))
    board.metrics(10, {"loss/critic": 0.5, "q/mean": -2.0})
    board.evaluation(10, Evaluation("Hopper-v5", 2, (1.0, 3.0), (10, 30)))
    board.image(10, "portrait", PNG)
    board.finish(20)
    events = read()
    assert scalars(events, "training_loss/critic") == {10: 0.5}
    assert scalars(events, "training_statistics/q/mean") == {10: -2.0}
    assert scalars(events, "return/mean") == {10: 2.0}
    assert scalars(events, "return/std")[10] == pytest.approx(2**0.5)
    assert scalars(events, "training_statistics/length/mean") == {10: 20.0}
    assert scalars(events, "return/normalized_mean")[10] == pytest.approx(0.684, abs=1e-3)
    (image,) = events.Images("training_statistics/portrait")
    assert (image.step, image.width, image.height, image.encoded_image_string) == (10, 1, 1, PNG)
    (text,) = events.Tensors("dataset")
    table = text.tensor_proto.string_val[0].decode()
    assert table.startswith("| dataset | in memory, my car.h5 |")
    assert "| rows | 1000 |" in table
    assert r"a\|b" in table
    start = plugin_data(events, "_hparams_/session_start_info").session_start_info.hparams
    assert start["agent"].string_value == "td3bc"
    assert start["alpha"].number_value == 2.5
    assert start["hidden"].string_value == "[256, 256]"
    assert start["double"].bool_value is True
    assert start["batch_size"].number_value == 256
    assert plugin_data(events, "_hparams_/session_end_info").session_end_info.status == 1


def test_returns_and_losses_are_the_first_two_groups(tmp_path, make_run, read):
    board = TensorBoard()
    board.start(make_run(tmp_path))
    board.metrics(
        10, dict.fromkeys(["gradient_norm/actor", "loss/actor", "q/mean", "validation/actor", "steps"], 0.5)
    )
    board.evaluation(10, Evaluation("Hopper-v5", 2, (1.0, 3.0), (10, 30)))
    board.image(10, "portrait", PNG)
    tags = read().Tags()
    groups = dict.fromkeys(tag.partition("/")[0] for tag in sorted([*tags["scalars"], *tags["images"]]))
    assert list(groups) == ["return", "training_loss", "training_statistics", "validation"]


def charts(events):
    """Return the titles of the Custom Scalars tab in their order, and the tags of each chart."""
    last = events.Tensors("custom_scalars__config__")[-1].tensor_proto.string_val[0]
    (category,) = layout_pb2.Layout.FromString(last).category
    return {chart.title: [*chart.multiline.tag] for chart in category.chart}


def test_custom_scalars_have_the_charts_of_what_was_written(tmp_path, make_run, read):
    board = TensorBoard()
    board.start(make_run(tmp_path))
    board.metrics(10, {"loss/critic": 0.5, "loss/actor": 1.0, "loss/temperature": 1.0})
    shown = charts(read())
    assert list(shown) == ["Losses of critics and values", "Losses of actors and others"]
    tags = read().Tags()["scalars"]
    (critics,), (others,) = shown.values()
    assert [tag for tag in tags if re.match(critics, tag)] == ["training_loss/critic"]
    assert [tag for tag in tags if re.match(others, tag)] == [
        "training_loss/actor",
        "training_loss/temperature",
    ]
    board.metrics(20, {"q/mean": 1.0, "q/min": 0.0, "q/max": 2.0, "gradient_norm/critic": 1.0})
    board.evaluation(20, Evaluation("Hopper-v5", 2, (1.0, 3.0), (10, 30)))
    board.metrics(30, {"loss/critic": 0.5})
    events = read()
    assert list(charts(events)) == [chart.title for chart in CHARTS[:-1]]
    assert len(events.Tensors("custom_scalars__config__")) == 3
    written = {*events.Tags()["scalars"]}
    assert {tag for chart in CHARTS if chart.margin for tag in chart.margin} <= written
    assert scalars(events, "training_statistics/return/max") == {20: 3.0}


def test_histogram_is_shown_over_training_states(tmp_path, make_run, read):
    board = TensorBoard()
    board.start(make_run(tmp_path))
    board.histogram(10, "value", np.array([0.0, 0.0, 0.5, 3.0]))
    (found,) = read().Tensors("training_states/value")
    buckets = make_ndarray(found.tensor_proto)
    assert buckets.shape == (30, 3)
    assert (buckets[0, 0], buckets[-1, 1]) == (0.0, 3.0)
    assert (buckets[0, 2], buckets[5, 2], buckets[-1, 2], buckets[:, 2].sum()) == (2, 1, 1, 4)
    assert read().SummaryMetadata("training_states/value").plugin_data.plugin_name == "histograms"


def test_hyperparameters_are_what_differs_from_the_defaults(tmp_path, make_run, read):
    board = TensorBoard()
    board.start(replace(make_run(tmp_path), chosen={"alpha": 100.0, "hidden": (8, 8)}))
    told = plugin_data(read(), "_hparams_/session_start_info").session_start_info.hparams
    assert set(told) == {"agent", "dataset", "seed", "alpha", "hidden"}
    assert told["dataset"].string_value == "in memory, my car.h5"
    assert told["seed"].number_value == 7


def test_resume_voids_later_steps_and_keeps_earlier_ones(tmp_path, make_run, read):
    board = TensorBoard()
    board.start(make_run(tmp_path))
    for step in (10, 20, 30):
        board.metrics(step, {"loss/critic": float(step)})
        board.histogram(step, "value", np.array([float(step)]))
    resumed = TensorBoard()
    resumed.start(make_run(tmp_path, start_step=20, steps=40))
    resumed.metrics(30, {"loss/critic": 31.0})
    events = read()
    assert scalars(events, "training_loss/critic") == {10: 10.0, 20: 20.0, 30: 31.0}
    page = plugin_event_accumulator.EventAccumulator(
        str(tmp_path)
    ).Reload()  # the page reads histograms by this one
    assert [event.step for event in page.Tensors("training_states/value")] == [10, 20]
    assert events.Tensors("dataset")


def test_interrupted_run_is_not_marked_as_done(tmp_path, make_run, read):
    board = TensorBoard()
    board.start(make_run(tmp_path, steps=20))
    board.finish(19)
    assert "_hparams_/session_end_info" not in read().summary_metadata


def test_writing_events_does_not_import_tensorflow(tmp_path):
    code = f"""
import sys
from pathlib import Path
from vinci_offline.hooks.events import Chart, EventFile
import vinci_offline.hooks.tensorboard
file = EventFile(Path({str(tmp_path)!r}))
file.scalars(1, {{"a": 1.0}})
file.text("t", "x")
file.histogram(1, "h", [1.0, 2.0])
file.charts(1, "c", [Chart("a", "b"), Chart("a", margin=("a", "b", "c"))])
file.image(1, "i", bytes.fromhex({PNG.hex()!r}))
file.hyperparameters({{"a": 1.0}}, "g")
file.succeeded()
assert "tensorflow" not in sys.modules and "keras" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    assert len(list(tmp_path.iterdir())) == 1
