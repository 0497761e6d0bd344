"""A detector as an ONNX file, for the chute: what is read and computed is what Adit's own run of the model does.

Beside this file lie `model.onnx` and `model.toml.txt`, a copy of the `model.toml`: validators allow a repository no
file with its name. `sv push` uploads a folder like that. In this repository it takes the model of
`examples/models/detector`. Every step is Adit's, in 32-bit floats and in the same order, so both give the same
answers to the last digit. Of the heads that Adit knows this file has "yolo" and "final". Needs numpy, onnxruntime and
Python 3.11.
"""

from pathlib import Path

import numpy as np
import onnxruntime

try:
    import tomllib
except ImportError:
    raise ImportError("model.toml is read with tomllib, which Python has from 3.11 on") from None


class FrameResult:
    """What the chute asks of a result: `model_dump()` with plain numbers. pydantic's models have it too."""

    def __init__(self, frame_id, boxes):
        self.frame_id, self.boxes = frame_id, boxes

    def model_dump(self):
        return {"frame_id": self.frame_id, "boxes": self.boxes, "keypoints": []}


class Miner:
    def __init__(self, path_hf_repo):
        description = described(Path(path_hf_repo))
        spec, folder = tomllib.loads(description.read_text()), description.parent
        if spec["kind"] != "objects":
            raise ValueError("%s is for %s, and this file finds objects" % (description, spec["kind"]))
        self.input, self.objects = Input(spec["input"]), Objects(spec.get("objects", {}))
        file = folder / spec.get("file", "model.onnx")
        self.session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
        self.name = self.session.get_inputs()[0].name

    def __repr__(self):
        return "ONNX detector, %dx%d" % (self.input.width, self.input.height)

    def predict_batch(self, batch_images, offset, n_keypoints):
        """One result an image: arrays of height x width x 3, blue first."""
        return [FrameResult(offset + number, self.boxes(image)) for number, image in enumerate(batch_images)]

    def boxes(self, image):
        letterbox = Letterbox(image.shape[1], image.shape[0], self.input.width, self.input.height)
        tensor = self.input.tensor(letterbox, image)
        output = self.session.run(None, {self.name: tensor})[0]
        found = self.objects.found(output)
        return [dict(letterbox.in_image(corners), cls_id=int(cls), conf=float(score)) for corners, cls, score in found]


def described(folder):
    """The description of the model in a folder."""
    places = [folder / "model.toml.txt", folder / "model.toml", folder.parent / "models" / "detector" / "model.toml"]
    for place in places:
        if place.is_file():
            return place
    raise FileNotFoundError("there is no %s: it says what model.onnx takes and gives" % places[0])


class Input:
    """`[input]` of model.toml."""

    def __init__(self, table):
        self.width, self.height = table["width"], table["height"]
        for key, known in (("layout", "NCHW"), ("resize", "letterbox")):
            if table.get(key, known) != known:
                raise ValueError("%s = %r of model.toml is more than this file knows" % (key, table[key]))
        self.red_first = table.get("colour", "rgb") == "rgb"
        self.scale = np.float32(table.get("scale", 255.0))
        self.mean = np.float32(table.get("mean", [0.0] * 3)).reshape(3, 1, 1)
        self.std = np.float32(table.get("std", [1.0] * 3)).reshape(3, 1, 1)
        self.pad = table.get("pad", 114)

    def tensor(self, letterbox, image):
        pixels = np.full((self.height, self.width, 3), self.pad, np.float32)
        letterbox.place(pixels, image)
        planes = (pixels[:, :, ::-1] if self.red_first else pixels).transpose(2, 0, 1)
        return np.ascontiguousarray((planes / self.scale - self.mean) / self.std)[np.newaxis]


class Letterbox:
    """An image, scaled as a whole into the middle of the input."""

    def __init__(self, width, height, input_width, input_height):
        f32 = np.float32
        self.image = (width, height)
        self.scale = min(f32(input_width) / f32(width), f32(input_height) / f32(height))
        side = lambda image, most: min(max(half_up(f32(image) * self.scale), 1), most)
        self.size = (side(width, input_width), side(height, input_height))
        self.at = ((input_width - self.size[0]) // 2, (input_height - self.size[1]) // 2)

    def place(self, pixels, image):
        """Interpolates between the four nearest pixels."""
        left, right, along = between(self.size[0], self.image[0])
        upper, lower, across = between(self.size[1], self.image[1])
        along, across = along[:, np.newaxis], across[:, np.newaxis, np.newaxis]

        def mix(rows):
            low, high = image[rows][:, left].astype(np.float32), image[rows][:, right].astype(np.float32)
            return low + (high - low) * along

        above, below = mix(upper), mix(lower)
        (x, y), (width, height) = self.at, self.size
        pixels[y : y + height, x : x + width] = above + (below - above) * across

    def in_image(self, corners):
        """A box of the input, in whole pixels of the image."""
        box = {}
        for name, corner, at, end in zip(("x1", "y1", "x2", "y2"), corners, self.at * 2, self.image * 2):
            box[name] = min(max(half_up((corner - np.float32(at)) / self.scale), 0), end)
        return box


def half_up(value):
    """The nearest whole number. A half goes up: above 0 that is away from 0, and below it the image has ended."""
    return int(np.floor(np.float64(value) + 0.5))


def between(scaled, original):
    """For each pixel of a scaled line the two of the original that it lies between, and how far on the way."""
    place = (np.arange(scaled, dtype=np.float32) + np.float32(0.5)) * np.float32(original) / np.float32(scaled)
    place = np.clip(place - np.float32(0.5), np.float32(0), np.float32(original - 1))
    low = place.astype(np.int64)
    return low, np.minimum(low + 1, original - 1), place - low.astype(np.float32)


class Objects:
    """`[objects]` of model.toml."""

    def __init__(self, table):
        self.head = table.get("head")  # None: "final" where the last axis has six places
        if self.head not in (None, "yolo", "final") or table.get("activation", "none") != "none":
            raise ValueError("[objects] of model.toml says more than this file knows")
        self.threshold, self.iou = np.float32(table.get("threshold", 0.25)), np.float32(table.get("iou", 0.7))
        self.most = table.get("most", 300)

    def found(self, output):
        """Corners in the input, class and score of each box, the best first."""
        if not np.isfinite(output).all():
            raise ValueError("the model's output has a number in it that is not finite")
        final = self.head == "final" or (self.head is None and output.shape[2] == 6)
        if final:
            corners, scores, classes = output[0, :, :4], output[0, :, 4], output[0, :, 5]
        else:
            x, y, half_width, half_height = output[0, 0], output[0, 1], output[0, 2] / 2, output[0, 3] / 2
            corners = np.stack([x - half_width, y - half_height, x + half_width, y + half_height], axis=1)
            # Of equal scores the last one's class.
            classes = output.shape[1] - 5 - output[0, :3:-1].argmax(axis=0)
            scores = output[0, 4:].max(axis=0)
        order = [at for at in np.argsort(-scores, kind="stable") if scores[at] >= self.threshold]
        kept = []
        for at in order:
            if len(kept) == self.most:
                break
            if final or not any(
                classes[at] == cls and iou(other, corners[at]) > self.iou for other, cls, _ in kept
            ):
                kept.append((corners[at], classes[at], scores[at]))
        return kept


def iou(one, other):
    area = lambda box: max(box[2] - box[0], np.float32(0)) * max(box[3] - box[1], np.float32(0))
    shared = area([*np.maximum(one[:2], other[:2]), *np.minimum(one[2:], other[2:])])
    both = area(one) + area(other) - shared
    return shared / both if both > 0 else np.float32(0)
