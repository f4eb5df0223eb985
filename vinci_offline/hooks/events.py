"""TensorBoard event files, written without TensorFlow.

The records are TensorBoard's own protocol buffers in its own record format. Its ``EventFileWriter`` is not used: it
imports TensorFlow wherever TensorFlow is installed.
"""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vinci_offline.files import disk_errors
from vinci_offline.types import Array

PREFIX = "events.out.tfevents."


@dataclass(frozen=True)
class Chart:
    """A chart of the Custom Scalars tab.

    Attributes:
        title: the line above.
        tags: regular expression of the tags that it shows, each a line.
        margin: in place of it, the tags of a line and of the lower and upper bound of a band around it.
    """

    title: str
    tags: str = ""
    margin: tuple[str, str, str] | None = None

    def shows(self, tag: str) -> bool:
        """Tell whether a tag is on the chart."""
        return tag in self.margin if self.margin else re.match(self.tags, tag) is not None


class EventFile:
    """Event file of one process: scalars, histograms, texts, images, hyperparameters and the layout of charts.

    Each call opens the file, appends to it and closes it. A reader sees every event at once, and a run that is killed
    loses nothing.

    Args:
        directory: where the file is made; it exists.
        first_step: TensorBoard drops the events of earlier files from this step on.
    """

    def __init__(self, directory: Path, first_step: int = 0) -> None:
        # TensorBoard reads a directory's files in the order of names: a resumed run's must be last.
        times = [_timestamp(path) for path in directory.glob(PREFIX + "*")]
        stamp = max([int(time.time()), *(known + 1 for known in times)])
        self._path = directory / f"{PREFIX}{stamp:010d}.{socket.gethostname()}.{os.getpid()}"
        from tensorboard.compat.proto.event_pb2 import SessionLog

        self._append(file_version="brain.Event:2")
        self._append(step=first_step, session_log=SessionLog(status=SessionLog.START))

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Write numbers by tag."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        summary = Summary(value=[Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()])
        self._append(step=step, summary=summary)

    def histogram(self, step: int, tag: str, values: Array) -> None:
        """Write the distribution of finite numbers, in 30 buckets."""
        from tensorboard.plugins.histogram.summary_v2 import histogram_pb

        self._append(step=step, summary=histogram_pb(tag, values))

    def charts(self, step: int, category: str, charts: Iterable[Chart]) -> None:
        """Write the charts of the Custom Scalars tab. The last call counts."""
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.compat.proto.tensor_pb2 import TensorProto
        from tensorboard.compat.proto.types_pb2 import DT_STRING
        from tensorboard.plugins.custom_scalar import layout_pb2, metadata

        content = layout_pb2.Category(title=category, chart=[_chart(chart, layout_pb2) for chart in charts])
        layout = layout_pb2.Layout(category=[content]).SerializeToString()
        value = Summary.Value(
            tag=metadata.CONFIG_SUMMARY_TAG,
            metadata=metadata.create_summary_metadata(),
            tensor=TensorProto(dtype=DT_STRING, string_val=[layout]),
        )
        self._append(step=step, summary=Summary(value=[value]))

    def text(self, tag: str, markdown: str, step: int = 0) -> None:
        """Write a text in Markdown."""
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.compat.proto.tensor_pb2 import TensorProto
        from tensorboard.compat.proto.types_pb2 import DT_STRING
        from tensorboard.plugins.text.metadata import create_summary_metadata

        metadata = create_summary_metadata(display_name=tag, description="")
        tensor = TensorProto(dtype=DT_STRING, string_val=[markdown.encode()])
        self._append(
            step=step, summary=Summary(value=[Summary.Value(tag=tag, metadata=metadata, tensor=tensor)])
        )

    def image(self, step: int, tag: str, png: bytes) -> None:
        """Write a PNG image."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        width, height = (int.from_bytes(png[at : at + 4], "big") for at in (16, 20))  # PNG's IHDR chunk
        picture = Summary.Image(width=width, height=height, colorspace=4, encoded_image_string=png)
        self._append(step=step, summary=Summary(value=[Summary.Value(tag=tag, image=picture)]))

    def hyperparameters(self, values: Mapping[str, bool | float | str], group: str) -> None:
        """Write the run's hyperparameters for the HParams tab; TensorBoard shows runs of one ``group`` as repeats."""
        from tensorboard.plugins.hparams.summary_v2 import hparams_pb

        self._append(step=0, summary=hparams_pb(dict(values), trial_id=group))

    def succeeded(self) -> None:
        """Mark the run as done in the HParams tab."""
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

        end = plugin_data_pb2.SessionEndInfo(status=api_pb2.STATUS_SUCCESS, end_time_secs=time.time())
        content = metadata.create_summary_metadata(plugin_data_pb2.HParamsPluginData(session_end_info=end))
        value = Summary.Value(
            tag=metadata.SESSION_END_INFO_TAG, metadata=content, tensor=metadata.NULL_TENSOR
        )
        self._append(step=0, summary=Summary(value=[value]))

    def _append(self, **fields: Any) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.summary.writer.record_writer import RecordWriter

        with disk_errors(self._path), self._path.open("ab") as file:
            RecordWriter(file).write(Event(wall_time=time.time(), **fields).SerializeToString())


def _chart(chart: Chart, layout: Any) -> Any:
    if chart.margin:
        series = [
            layout.MarginChartContent.Series(value=v, lower=low, upper=up) for v, low, up in [chart.margin]
        ]
        return layout.Chart(title=chart.title, margin=layout.MarginChartContent(series=series))
    return layout.Chart(title=chart.title, multiline=layout.MultilineChartContent(tag=[chart.tags]))


def _timestamp(path: Path) -> int:
    digits = path.name.removeprefix(PREFIX).partition(".")[0]
    return int(digits) if digits.isdecimal() else 0
