# What validators send and what they read. Change names here and they read nothing.

from typing import Any

from pydantic import BaseModel


class SVPredictInput(BaseModel):
    url: str  # of the clip
    meta: dict[str, Any] | None = None  # width, height, fps, batch_size, ...


class SVBox(BaseModel):
    # Corners in pixels of the clip.
    x1: int
    y1: int
    x2: int
    y2: int
    # 0 ball, 1 goalkeeper, 2 player, 3 referee, 6 and 7 players of the first and the second team.
    cls_id: int
    conf: float = 1.0


class SVFrameResult(BaseModel):
    frame_id: int  # from 0
    boxes: list[SVBox]
    keypoints: list[tuple[int, int]]  # pixels; which point is which is the element's


class SVPredictOutput(BaseModel):
    success: bool
    model: str
    predictions: dict[str, list[SVFrameResult]] | None = None
    error: str | None = None
