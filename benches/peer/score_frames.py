"""The peer of the bench `frames`: Turbo Vision's pillars of boxes with NumPy and SciPy.

    python score_frames.py FILE ROUNDS

FILE holds a list of challenges `{"truth": [frame], "miner": [frame]}`, a frame being `{"frame_number", "bboxes"}`.
Prints a JSON line: the pillars of each challenge, and how many seconds the last one took, the least of ROUNDS. What is
measured starts from arrays, not from JSON.
"""

import json
import math
import sys
import time
from collections import Counter, defaultdict

import numpy as np
from scipy.optimize import linear_sum_assignment

HEIGHT, WIDTH = 540, 960
ANCHORS = ((0.0005, 0.30), (0.01, 0.50), (0.05, 0.50), (0.25, 0.70))


class Frame:
    def __init__(self, frame):
        boxes = frame["bboxes"]
        self.number = frame["frame_number"]
        self.boxes = np.array([one["bbox_2d"] for one in boxes], dtype=np.float64).reshape(-1, 4)
        self.labels = np.array([one["label"] for one in boxes], dtype=object)
        self.teams = np.array([one.get("cluster_id") for one in boxes], dtype=object)
        scores = [one.get("score") for one in boxes]
        self.scores = np.array([1.0 if score is None else score for score in scores])

    def only(self, mask):
        frame = object.__new__(Frame)
        frame.number, frame.boxes = self.number, self.boxes[mask]
        frame.labels, frame.teams, frame.scores = self.labels[mask], self.teams[mask], self.scores[mask]
        return frame


def areas(boxes):
    return np.maximum(boxes[:, 2] - boxes[:, 0], 0) * np.maximum(boxes[:, 3] - boxes[:, 1], 0)


def ious(a, b):
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    common = np.maximum(high - low, 0).prod(axis=2)
    union = areas(a)[:, None] + areas(b)[None, :] - common
    return np.where(common > 0, common / np.where(union > 0, union, 1), 0)


def f1(matrix, *thresholds):
    rows, columns = matrix.shape
    if rows == 0 or columns == 0:
        return [float(rows == columns)] * len(thresholds)
    matrix = matrix.astype(np.float32)
    matched = matrix[linear_sum_assignment(-matrix)]
    return [2 * int((matched >= np.float32(t)).sum()) / (rows + columns) for t in thresholds]


def mean(values):
    values = list(values)
    return sum(values) / len(values) if values else 0.0


def team_f1(truth, miner):
    truth, miner = truth.only(truth.labels == "player"), miner.only(miner.labels == "player")
    common = [team for team, _ in Counter(truth.teams.tolist()).most_common(2)]
    first, second = (common + ["other", "other"])[:2]
    matrix = ious(truth.boxes, miner.boxes)

    def score(white, black):
        called = [white if t == "white" else black if t == "black" else "other" for t in miner.teams]
        same = truth.teams[:, None] == np.array(called, dtype=object)[None, :]
        return mean(f1(np.where(same.astype(bool), matrix, 0), 0.3, 0.5))

    return max(score(first, second), score(second, first))


def required_iou(boxes):
    ratio = np.clip(areas(boxes) / (HEIGHT * WIDTH), ANCHORS[0][0], ANCHORS[-1][0])
    return np.interp(np.log10(ratio), [math.log10(at) for at, _ in ANCHORS], [iou for _, iou in ANCHORS])


def found_by_class(truth, miner):
    precisions, hits, wrong, there = [], 0, 0, 0
    names = {name for frames in (truth, miner) for frame in frames for name in frame.labels.tolist()}
    for name in names:
        total, predictions = 0, []
        matrices, needed, taken = [], [], []
        for at, (one, other) in enumerate(zip(truth, miner)):
            real, seen = one.only(one.labels == name), other.only(other.labels == name)
            total += len(real.boxes)
            predictions += [(-score, at, index) for index, score in enumerate(seen.scores.tolist())]
            matrices.append(ious(seen.boxes, real.boxes))
            needed.append(required_iou(real.boxes))
            taken.append(np.zeros(len(real.boxes), dtype=bool))
        predictions.sort(key=lambda one: one[0])
        found = np.zeros(len(predictions), dtype=bool)
        for place, (_, at, index) in enumerate(predictions):
            row = np.where(taken[at], 0, matrices[at][index])
            if row.size:
                best = int(row.argmax())
                if row[best] > 0 and row[best] >= needed[at][best]:
                    taken[at][best] = found[place] = True
        hits, wrong, there = hits + int(found.sum()), wrong + int((~found).sum()), there + total
        if total:
            true = np.cumsum(found)
            precision = np.maximum.accumulate((true / np.arange(1, len(found) + 1))[::-1])[::-1]
            precisions.append(float((np.diff(true / total, prepend=0) * precision).sum()))
    return {
        "map50": mean(precisions),
        "precision": hits / (hits + wrong) if hits + wrong else 0.0,
        "recall": hits / there if there else 0.0,
        "false_positive": max(0.0, 1 - wrong / len(truth) / 10) if truth else 0.0,
    }


def mask(boxes):
    covered = np.zeros((HEIGHT, WIDTH), dtype=bool)
    for x1, y1, x2, y2 in boxes.astype(int):
        covered[y1:y2, x1:x2] = True
    return covered


def smoothness(frames):
    steps, before = [], None
    for boxes in frames:
        covered = mask(boxes)
        if before is not None:
            union = np.count_nonzero(covered | before)
            steps.append(np.count_nonzero(covered & before) / union if union else 1.0)
        before = covered
    if len(steps) < 2:
        return 0.0
    return float(np.mean(steps) / (1 + np.abs(np.diff(steps)).mean()))


def smoothness_per_type(frames):
    kinds = defaultdict(list)
    for frame in sorted(frames, key=lambda frame: frame.number):
        inside = defaultdict(list)
        for index, kind in enumerate(zip(frame.labels.tolist(), frame.teams.tolist())):
            inside[kind].append(index)
        for kind, indices in inside.items():
            kinds[kind].append(frame.boxes[indices])
    return mean(smoothness(boxes) for boxes in kinds.values())


def pillars(truth, miner):
    by_number = {frame.number: frame for frame in miner}
    nothing = Frame({"frame_number": -1, "bboxes": []})
    answers = [by_number.get(frame.number, nothing) for frame in truth]
    pairs = list(zip(truth, answers))
    places = [f1(ious(one.boxes, other.boxes), 0.3, 0.5) for one, other in pairs]
    labels = []
    for one, other in pairs:
        same = (one.labels[:, None] == other.labels[None, :]).astype(bool)
        labels.append(mean(f1(np.where(same, ious(one.boxes, other.boxes), 0), 0.3, 0.5)))
    teams = mean(team_f1(one, other) for one, other in pairs)
    return {
        "iou": mean(map(mean, places)),
        "count": mean(low for low, _ in places),
        "palette": teams,
        "role": (mean(labels) + teams) / 2,
        "smoothness": smoothness_per_type(by_number.values()),
        **found_by_class(truth, answers),
    }


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        challenges = json.load(file)
    challenges = [[list(map(Frame, one[side])) for side in ("truth", "miner")] for one in challenges]
    scores = [pillars(*one) for one in challenges]
    seconds = []
    for _ in range(int(sys.argv[2])):
        start = time.perf_counter()
        pillars(*challenges[-1])
        seconds.append(time.perf_counter() - start)
    print(json.dumps({"scores": scores, "seconds": min(seconds)}))


main()
