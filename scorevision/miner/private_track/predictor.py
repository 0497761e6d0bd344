"""Your model. `sv serve` loads this file once and calls `predict_actions` for each challenge.

What is here now is the sample rule: a pass every 25 frames. Replace it. docs/worker-protocol.md lists what else
this file may define: frames while the clip still arrives, cricket deliveries, card grades.
"""

from pathlib import Path

from src.media import frame_count
from src.schemas import FramePrediction


# Load weights here, at import: it happens once, before the first challenge.


def predict_actions(video_path: Path) -> list[FramePrediction]:
    """Actions in the clip at `video_path`. `frame` is the 0-based index of the frame in the clip.

    The answer must depend on the clip alone: a spot check repeats it elsewhere and compares the scores.
    """
    return [FramePrediction(frame=frame, action="pass") for frame in range(0, frame_count(video_path), 25)]
