"""Films of episodes, made by Gymnasium's recorder."""

from __future__ import annotations

import importlib.util
import math
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vinci_offline.errors import UsageError
from vinci_offline.loading import describe

if TYPE_CHECKING:
    import gymnasium

FILMED = 3
"""The number of episodes that are filmed: the first ones."""

FILM_FORMATS = ("mp4", "gif")

_GIF_RATE = 50
"""Viewers play a GIF at 50 frames a second at most."""

FILM_KWARGS = {"render_mode": "rgb_array"}
"""Keyword arguments of `gymnasium.make` for an environment that is filmed."""


def check_video(folder: Path) -> None:
    """Check that films can be written to ``folder``.

    Raises:
        UsageError: moviepy is missing, or the folder is not empty.
    """
    if importlib.util.find_spec("moviepy") is None:
        raise UsageError("recording a video needs moviepy; run: pip install 'vinci-offline[video]'")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} exists: choose another folder for the videos")


def check_renders(env: gymnasium.Env[Any, Any]) -> None:
    """Check that an environment can be drawn.

    Raises:
        UsageError: it cannot be drawn, or a package for drawing is missing.
    """
    import gymnasium

    try:
        env.reset(seed=0)
        frame = env.render()
    except (gymnasium.error.DependencyNotInstalled, ImportError) as error:
        raise UsageError(
            f"the environment cannot be drawn ({error}); run: pip install 'vinci-offline[video]'"
        ) from error
    except Exception as error:
        raise UsageError(f"the environment cannot be filmed: {describe(error)}") from error
    if getattr(frame, "ndim", 0) != 3:
        raise UsageError('the environment cannot be filmed: it does not render as "rgb_array"')


def filmed(
    env: gymnasium.Env[Any, Any], folder: Path, episode: int, film_format: str = "mp4"
) -> gymnasium.Env[Any, Any]:
    """Wrap an environment to film its next episode to a file named ``episode-000-…`` after its number."""
    from gymnasium.wrappers import RecordVideo

    class Gif(RecordVideo):
        """Gymnasium's recorder, with a GIF in place of the film."""

        def stop_recording(self) -> None:
            if self.recorded_frames:
                from moviepy.video.io.ImageSequenceClip import ImageSequenceClip

                every = math.ceil(self.frames_per_sec / _GIF_RATE)
                clip = ImageSequenceClip(self.recorded_frames[::every], fps=self.frames_per_sec / every)
                clip.write_gif(str(folder / f"{self._video_name}.gif"), logger=None)
            self.recorded_frames, self.recording, self._video_name = [], False, None

    with warnings.catch_warnings():
        # Gymnasium warns of a folder with films; ours was empty at the start, so nothing is overwritten.
        warnings.simplefilter("ignore")
        return (Gif if film_format == "gif" else RecordVideo)(
            env,
            str(folder),
            episode_trigger=lambda nth: nth == 0,
            name_prefix=f"episode-{episode:03d}",
            disable_logger=True,
        )
