# What is answered to a challenge. `find_objects` and `find_keypoints` are the part to make your own.

import shutil
import tempfile
import traceback
import urllib.request
from typing import Any, Iterator

BATCH = 64  # frames that are shown to the model at once, where the challenge does not say
FETCH_SECONDS = 60  # longest silence of the clip's server


def find_objects(model: Any, images: list) -> list[list[SVBox]]:
    """The boxes of each image. Images are BGR arrays of height x width x 3."""
    answers = []
    for detection in model(images, verbose=False):
        rows = [] if detection.boxes is None else detection.boxes.data.tolist()
        answers.append(
            [
                SVBox(x1=int(x1), y1=int(y1), x2=int(x2), y2=int(y2), cls_id=int(cls_id), conf=conf)
                for x1, y1, x2, y2, conf, cls_id in rows
            ]
        )
    return answers


def find_keypoints(model: Any, images: list) -> list[list[tuple[int, int]]]:
    """The keypoints of each image. A detector knows none, so there are none: they score 0, as random ones would."""
    return [[] for _ in images]


def _predict(model: Any | None, data: SVPredictInput, model_name: str) -> SVPredictOutput:
    try:
        if model is None:
            raise RuntimeError("the model is not loaded")
        batch = (data.meta or {}).get("batch_size", BATCH)
        if type(batch) is not int or batch < 1:
            raise ValueError(f"meta.batch_size is {batch!r}, not a whole number from 1")
        with tempfile.NamedTemporaryFile(prefix="clip-", suffix=".mp4") as clip:
            fetch(data.url, clip)
            results = []
            for images in batches(clip.name, batch):
                results += answers_to(model, images, first=len(results))
        if not results:
            raise ValueError(f"the clip at {data.url} has no frame that decodes")
        return SVPredictOutput(success=True, model=model_name, predictions={"frames": results})
    except Exception as error:
        traceback.print_exc()
        return SVPredictOutput(success=False, model=model_name, error=f"{type(error).__name__}: {error}")


def fetch(url: str, file) -> None:
    # Some hosts refuse Python's own name.
    request = urllib.request.Request(url, headers={"User-Agent": "turbo-vision"})
    with urllib.request.urlopen(request, timeout=FETCH_SECONDS) as response:
        shutil.copyfileobj(response, file)
    file.flush()


def batches(path: str, size: int) -> Iterator[list]:
    """The frames of a clip, `size` at a time; the last ones may be fewer."""
    import cv2

    video = cv2.VideoCapture(path)
    try:
        images = []
        while True:
            there_is_one, image = video.read()
            if there_is_one:
                images.append(image)
            if images and (len(images) == size or not there_is_one):
                yield images
                images = []
            if not there_is_one:
                return
    finally:
        video.release()


def answers_to(model: Any, images: list, first: int) -> list[SVFrameResult]:
    """An answer to every image, also to one on which nothing was found."""
    boxes, keypoints = find_objects(model, images), find_keypoints(model, images)
    if not len(boxes) == len(keypoints) == len(images):
        raise ValueError(f"{len(boxes)} lists of boxes and {len(keypoints)} of keypoints for {len(images)} images")
    return [
        SVFrameResult(frame_id=first + number, boxes=boxes[number], keypoints=keypoints[number])
        for number in range(len(images))
    ]
