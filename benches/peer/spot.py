"""The peer of the bench `pipeline`: a spotter with OpenCV and ONNX Runtime, as one would write it in Python.

    python spot.py FOLDER CLIP

FOLDER holds `model.toml` and the model. Prints a JSON line: the actions, how many seconds they took from opening the clip,
imports and the loaded model not counted, and how many inputs the model was run on.

Frames that are not sampled are only grabbed, not retrieved; the others are resized by OpenCV into one array of bytes, which
becomes numbers a batch at a time; ONNX Runtime has its default threads.
"""

import json
import sys
import time
import tomllib
from pathlib import Path

import cv2
import numpy as np
import onnxruntime

folder, clip = Path(sys.argv[1]), sys.argv[2]
spec = tomllib.loads((folder / "model.toml").read_text())
inputs, windows, spotting = spec["input"], spec.get("clip", {}), spec.get("spotting", {})
WIDTH, HEIGHT, LAYOUT = inputs["width"], inputs["height"], inputs.get("layout", "NTCHW")
SCALE = np.float32(inputs.get("scale", 255.0))
MEAN = np.array(inputs.get("mean", [0, 0, 0]), np.float32)
STD = np.array(inputs.get("std", [1, 1, 1]), np.float32)
BATCH = inputs.get("batch", 1)
LENGTH, OVERLAP = windows["length"], windows.get("overlap", 0)
STEP = LENGTH - OVERLAP
LABELS = spec["labels"]


def wanted(index, rate):
    """Whether a frame is sampled: every so many, or the one nearest to a tick."""
    if "stride" in windows:
        return index % windows["stride"] == 0
    if "rate" not in windows or windows["rate"] >= rate:
        return True
    tick = round(index * windows["rate"] / rate)
    return round(tick * rate / windows["rate"]) == index


def sampled(capture, rate):
    """The sampled frames in the model's size and colour order, and their indices."""
    frames, indices, index = [], [], 0
    while capture.grab():
        if wanted(index, rate):
            _, image = capture.retrieve()
            frame = cv2.resize(image, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
            if inputs.get("colour", "rgb") == "rgb":
                frame = cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
            frames.append(frame)
            indices.append(index)
        index += 1
    return np.stack(frames), np.array(indices)


def numbers(frames):
    """Windows of bytes `[N, T, H, W, 3]` as the model's input."""
    values = frames.astype(np.float32)
    values /= SCALE
    if MEAN.any():
        values -= MEAN
    if (STD != 1).any():
        values /= STD
    order = (0, 1, 4, 2, 3) if LAYOUT == "NTCHW" else (0, 4, 1, 2, 3)
    return np.ascontiguousarray(values.transpose(order))


def activated(scores):
    kind = spotting.get("activation", "softmax")
    if kind == "sigmoid":
        return 1 / (1 + np.exp(-scores))
    if kind == "softmax":
        powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
        return powers / powers.sum(axis=-1, keepdims=True)
    return scores


def scored(session, frames):
    """The mean of what all windows say of each frame, and how many windows there are."""
    count = 1 + max(0, -(-(len(frames) - LENGTH) // STEP))
    last = (count - 1) * STEP + LENGTH
    padded = np.concatenate([frames, np.repeat(frames[-1:], last - len(frames), axis=0)])
    sums = np.zeros((last, len(LABELS)), np.float32)
    times = np.zeros((last, 1), np.float32)
    name = session.get_inputs()[0].name
    for first in range(0, count, BATCH):
        starts = [window * STEP for window in range(first, min(first + BATCH, count))]
        batch = numbers(np.stack([padded[start : start + LENGTH] for start in starts]))
        for start, scores in zip(starts, activated(session.run(None, {name: batch})[0])):
            sums[start : start + LENGTH] += scores
            times[start : start + LENGTH] += 1
    return (sums / times)[: len(frames)], count


def smoothed(scores):
    width = spotting.get("smoothing", 1)
    if width == 1:
        return scores
    total = np.cumsum(np.concatenate([np.zeros_like(scores[:1]), scores]), axis=0)
    at = np.arange(len(scores))
    low, high = np.maximum(at - width // 2, 0), np.minimum(at + width // 2 + 1, len(scores))
    return (total[high] - total[low]) / (high - low)[:, None]


def actions(scores, indices, rate):
    found = []
    for column, label in enumerate(LABELS):
        if label == spotting.get("background"):
            continue
        values = scores[:, column]
        threshold = spotting.get("thresholds", {}).get(label, spotting.get("threshold", 0.5))
        window = spotting.get("windows", {}).get(label, spotting.get("window", 1.0))
        before, after = np.r_[-np.inf, values[:-1]], np.r_[values[1:], -np.inf]
        peaks = np.flatnonzero((values >= threshold) & (values > before) & (values >= after))
        kept = []
        for peak in peaks[np.argsort(-values[peaks], kind="stable")]:
            if all(abs(int(indices[peak]) - frame) / rate >= window for frame in kept):
                kept.append(int(indices[peak]))
                found.append({"frame": kept[-1], "action": label, "confidence": float(values[peak])})
    return sorted(found, key=lambda action: action["frame"])


session = onnxruntime.InferenceSession(str(folder / spec.get("file", "model.onnx")), providers=["CPUExecutionProvider"])
start = time.perf_counter()
capture = cv2.VideoCapture(clip)
rate = capture.get(cv2.CAP_PROP_FPS) or 25.0
frames, indices = sampled(capture, rate)
scores, count = scored(session, frames)
answer = actions(smoothed(scores), indices, rate)
print(json.dumps({"seconds": time.perf_counter() - start, "inputs": count, "actions": answer}))
