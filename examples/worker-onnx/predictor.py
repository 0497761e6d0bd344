"""An action spotter as an ONNX file, for the private track's worker: what is read and computed is what Adit's own run
of the model does.

The model is a folder with `model.onnx` and `model.toml`: the one that SPOTTER names (`ADIT_WORKER_ENV=SPOTTER` hands
it to workers), else the one of this file, else `../models/spotter`. Every step is Adit's, in 32-bit floats and in the
same order, so both give the same answers to the last digit, unless `activation` is softmax or sigmoid: numpy's
exponential may differ in the last digit from Rust's, so let the model end in it. Needs numpy, onnxruntime and Python
3.11.

Change what you need: `Spotter.windows` is where another model would be called.
"""

import os
import subprocess
from pathlib import Path

import numpy as np
import onnxruntime

from src.schemas import FramePrediction

try:
    import tomllib
except ImportError:
    raise ImportError("model.toml is read with tomllib, which Python has from 3.11 on") from None
try:
    from src.media import frame_rate
except ImportError:  # a checkout's own module

    def frame_rate():
        return 25.0


HERE = Path(__file__).resolve().parent


def folder():
    if "SPOTTER" in os.environ:
        return Path(os.environ["SPOTTER"])
    places = [HERE, HERE.parent / "models" / "spotter"]
    for place in places:
        if (place / "model.toml").is_file():
            return place
    raise FileNotFoundError("no model.toml in %s: SPOTTER names the model's folder" % " or ".join(map(str, places)))


class Spotter:
    def __init__(self, place):
        spec = tomllib.loads((place / "model.toml").read_text())
        if spec["kind"] != "action-spotting":
            raise ValueError("%s is for %s, and this file spots actions" % (place / "model.toml", spec["kind"]))
        file = place / spec.get("file", "model.onnx")
        self.session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
        self.labels = spec["labels"]
        self.read_input(spec.get("input", {}), self.session.get_inputs()[0])
        self.read_clip(spec.get("clip", {}))
        self.read_spotting(spec["spotting"])

    # --- model.toml -------------------------------------------------------------------------------------------

    def read_input(self, table, port):
        self.layout = table.get("layout", "NCHW")
        self.name, self.bytes = port.name, port.type == "tensor(uint8)"
        self.width = table.get("width") or port.shape[self.layout.index("W")]
        self.height = table.get("height") or port.shape[self.layout.index("H")]
        self.channels = [0, 1, 2] if table.get("colour", "rgb") == "rgb" else [2, 1, 0]
        # What each value of a pixel becomes, by channel of the input.
        values = np.arange(256, dtype=np.float32) / np.float32(table.get("scale", 255.0))
        mean, std = np.float32(table.get("mean", [0.0] * 3)), np.float32(table.get("std", [1.0] * 3))
        self.numbers = (values - mean[:, np.newaxis]) / std[:, np.newaxis]
        # Windows shown at once, and whether there must always be so many.
        self.full = isinstance(port.shape[0], int)
        self.batch = port.shape[0] if self.full else table.get("batch", 1)

    def read_clip(self, table):
        self.rate, self.stride = table.get("rate"), table.get("stride", 1)
        self.length = table.get("length", 1)
        self.step = self.length - table.get("overlap", 0)

    def read_spotting(self, table):
        self.activation = table["activation"]
        outputs = [port.name for port in self.session.get_outputs()]
        self.output = outputs.index(table["output"]) if "output" in table else 0
        self.background = table.get("background")
        self.smoothing = table.get("smoothing", 1)
        thresholds, windows = table.get("thresholds", {}), table.get("windows", {})
        self.thresholds = [np.float32(thresholds.get(label, table.get("threshold", 0.5))) for label in self.labels]
        self.apart = [float(windows.get(label, table.get("window", 1.0))) for label in self.labels]

    # --- from frames to scores --------------------------------------------------------------------------------

    def planes(self, pixels):
        """A frame of height x width x 3, red first, as the model sees it: 3 x height x width."""
        if self.bytes:
            return pixels[:, :, self.channels].transpose(2, 0, 1)
        return np.stack([self.numbers[to][pixels[:, :, channel]] for to, channel in enumerate(self.channels)])

    def actions(self, frames, rate):
        """What happens in a clip of `rate` frames a second: pairs of number and pixels in, predictions out."""
        shown, kept, waiting = [], [], []
        scores = Scores(self)
        for number, pixels in frames:
            if number % self.stride:
                continue
            shown.append(number)
            kept.append(self.planes(pixels))
            if len(kept) == self.length:
                waiting.append(np.stack(kept))
                del kept[: self.step]
            if len(waiting) == self.batch:
                scores.add(self.windows(waiting))
                waiting = []
        if not shown:
            raise ValueError("the clip has no frames to look at")
        # What no window has shown yet goes into a last one, which is filled up with the last frame.
        if len(shown) < self.length or len(kept) > self.length - self.step:
            waiting.append(np.stack(kept + [kept[-1]] * (self.length - len(kept))))
        if waiting:
            scores.add(self.windows(waiting))
        return scores.actions(shown, rate)

    def windows(self, windows):
        """The scores of a few windows, each T x 3 x height x width."""
        tensor = np.zeros((self.batch if self.full else len(windows), *windows[0].shape), windows[0].dtype)
        tensor[: len(windows)] = windows
        if self.layout == "NCTHW":
            tensor = np.ascontiguousarray(tensor.transpose(0, 2, 1, 3, 4))
        elif self.layout == "NCHW":
            tensor = tensor[:, 0]
        scores = self.session.run(None, {self.name: tensor})[self.output][: len(windows)]
        return scores if scores.ndim == 3 else scores[:, np.newaxis]


class Scores:
    """What windows say of frames, summed up in their order."""

    def __init__(self, spotter):
        self.spotter, self.window = spotter, 0
        self.sums, self.counts = {}, {}

    def add(self, windows):
        for rows in windows:
            if not np.isfinite(rows).all():
                raise ValueError("the model's output has a number in it that is not finite")
            frames = self.spotter.length // len(rows)  # that a row stands for; it is said of the middle one
            for number, row in enumerate(activated(rows, self.spotter.activation)):
                at = self.window * self.spotter.step + number * frames + frames // 2
                self.sums[at] = self.sums[at] + row if at in self.sums else row
                self.counts[at] = self.counts.get(at, 0) + 1
            self.window += 1

    def actions(self, shown, rate):
        spotter, last = self.spotter, len(shown) - 1
        spoken = sorted(self.sums)
        # What is said of frames that are not there is left out, unless it is all there is.
        spoken = [at for at in spoken if at <= last] or spoken[:1]
        frames = [shown[min(at, last)] for at in spoken]
        means = smoothed([self.sums[at] / np.float32(self.counts[at]) for at in spoken], spotter.smoothing)
        found = []
        for label, name in enumerate(spotter.labels):
            if name == spotter.background:
                continue
            scores = [row[label] for row in means]
            peaks = [(frames[at], scores[at]) for at in highs(scores, spotter.thresholds[label])]
            for frame, score in highest(peaks, lambda a, b: abs(a - b) / rate < spotter.apart[label]):
                found.append((frame, label, score))
        found.sort(key=lambda one: one[:2])
        return [
            FramePrediction(frame=frame, action=spotter.labels[label], confidence=float(score))
            for frame, label, score in found
        ]


def activated(rows, activation):
    if activation == "sigmoid":
        return np.float32(1) / (np.float32(1) + np.exp(-rows))
    if activation == "softmax":
        powers = np.exp(rows - rows.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)
    return rows


def smoothed(rows, width):
    """Each row's mean over `width` rows around it, fewer at the ends."""
    if width == 1:
        return rows
    means = []
    for at in range(len(rows)):
        around = rows[max(at - width // 2, 0) : at + width // 2 + 1]
        total = np.zeros_like(rows[at])
        for row in around:
            total = total + row
        means.append(total / np.float32(len(around)))
    return means


def highs(scores, threshold):
    """Where a score is at least the threshold, above the one before and no less than the one after."""
    for at, score in enumerate(scores):
        above = at == 0 or scores[at - 1] < score
        if score >= threshold and above and (at + 1 == len(scores) or scores[at + 1] <= score):
            yield at


def highest(peaks, close):
    """The highest first, without those that are close to one already taken; of equals the earlier first."""
    kept = []
    for peak in sorted(peaks, key=lambda one: (-one[1], one[0])):
        if not any(close(other[0], peak[0]) for other in kept):
            kept.append(peak)
    return kept


SPOTTER = Spotter(folder())

# What Adit decodes for this file while the clip still arrives. Frames lie in memory that it shares; `planes` makes of each
# what the model sees, and nothing refers to the frame itself any more.
FRAMES = {"width": SPOTTER.width, "height": SPOTTER.height, "rate": SPOTTER.rate, "shared": True}

# A few grey frames before the first clip: ONNX Runtime's first run is slow.
WARM_UP = True


def predict_frames(frames):
    # A clip that does not say how fast it is is taken to be as fast as validators count.
    return SPOTTER.actions(frames, frame_rate() or 25.0)


# --- For a miner that gives a path and no frames ------------------------------------------------------------------


def predict_actions(video_path):
    """The same from a file, by the `ffmpeg` and `ffprobe` on the path, as Adit calls them."""
    asked = ["-select_streams", "V:0", "-show_entries", "stream=avg_frame_rate", "-of", "csv=p=0"]
    said = subprocess.run(["ffprobe", "-v", "error", *asked, str(video_path)], capture_output=True, check=True)
    over, under = map(int, said.stdout.split()[0].decode().strip(",").split("/"))
    rate = over / under if over and under else 25.0
    pairs = decoded(video_path, over, under)
    return SPOTTER.actions(pairs, rate)


def decoded(video_path, over, under):
    """The sampled frames of a clip of `over / under` frames a second: those nearest to each tick of the rate."""
    filters = ["scale=%d:%d:flags=bicubic+bitexact+accurate_rnd" % (SPOTTER.width, SPOTTER.height)]
    frames, ticks = 1, 1
    if SPOTTER.rate is not None and over * 1000 > under * round(SPOTTER.rate * 1000):
        frames, ticks = over * 1000, under * round(SPOTTER.rate * 1000)
        filters.insert(0, "select='lt(mod((2*n+1)*%d-1,%d),%d)'" % (ticks, 2 * frames, 2 * ticks))
    shape = (SPOTTER.height, SPOTTER.width, 3)
    command = ["ffmpeg", "-nostdin", "-v", "error", "-xerror", "-reinit_filter", "0", "-i", str(video_path)]
    command += ["-map", "0:V:0", "-an", "-sn", "-dn", "-vf", ",".join(filters), "-fps_mode", "passthrough"]
    command += ["-pix_fmt", "rgb24", "-f", "rawvideo", "pipe:1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as decoder:
        size = shape[0] * shape[1] * 3
        number = 0
        while len(pixels := decoder.stdout.read(size)) == size:
            yield (2 * number * frames + ticks) // (2 * ticks), np.frombuffer(pixels, np.uint8).reshape(shape)
            number += 1
    if decoder.returncode != 0:
        raise RuntimeError("ffmpeg could not decode the clip")
