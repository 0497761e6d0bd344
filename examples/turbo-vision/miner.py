"""A model to start from: it finds ball, players and pitch of a drawn match (`adit demo`) by their colours.

`sv push` uploads a folder like this one. In the chute everything must be in this file, and it may import only the
standard library and installed packages. There are no weights to load here, so the elements that want an ONNX file
refuse this one.
"""

import numpy as np

# Classes as the football elements number them.
BALL, PLAYER = 0, 2

# The pitch in the units of the keypoints' template, lines included.
LEFT, TOP, RIGHT, BOTTOM = 5, 5, 1045, 675
KEYPOINTS = [
    (5, 5), (5, 140), (5, 250), (5, 430), (5, 540), (5, 675), (55, 250), (55, 430), (110, 340), (165, 140),
    (165, 270), (165, 410), (165, 540), (527, 5), (527, 253), (527, 433), (527, 675), (888, 140), (888, 270),
    (888, 410), (888, 540), (940, 340), (998, 250), (998, 430), (1045, 5), (1045, 140), (1045, 250), (1045, 430),
    (1045, 540), (1045, 675), (435, 340), (615, 340),
]  # fmt: skip


class FrameResult:
    """What the chute asks of a result: `model_dump()` with plain numbers. pydantic's models have it too."""

    def __init__(self, frame_id, boxes, keypoints):
        self.frame_id, self.boxes, self.keypoints = frame_id, boxes, keypoints

    def model_dump(self):
        return {"frame_id": self.frame_id, "boxes": self.boxes, "keypoints": self.keypoints}


class Miner:
    def __init__(self, path_hf_repo):
        # Weights would be loaded here, from files in `path_hf_repo`.
        self.folder = path_hf_repo

    def __repr__(self):
        return "the drawn match, by its colours"

    def predict_batch(self, batch_images, offset, n_keypoints):
        """One result an image: arrays of height x width x 3, blue first."""
        return [self.predict(image, offset + number, n_keypoints) for number, image in enumerate(batch_images)]

    def predict(self, image, frame_id, n_keypoints):
        blue, green, red = (image[:, :, channel].astype(np.int16) for channel in range(3))
        boxes = [
            *found((red > green + 60) & (red > blue + 60), BALL, None),
            *found((blue > green + 40) & (blue > red + 60), PLAYER, "1"),
            # Lines are a little greener than the second team.
            *found(np.minimum(np.minimum(red, green), blue) > 222, PLAYER, "2"),
        ]
        lines = (red > 150) & (blue > 150)
        return FrameResult(frame_id, boxes, keypoints(lines, n_keypoints))


def found(mask, cls_id, team):
    """A box for each group of pixels that is as large as a disc of the drawing."""
    smallest = max(4, (mask.shape[1] // 160) ** 2)
    boxes = []
    for x1, y1, x2, y2, pixels in groups(mask):
        # Leftovers of a line, and a disc that another one covers, are thin.
        if pixels >= smallest and min(x2 - x1, y2 - y1) * 3 >= max(x2 - x1, y2 - y1):
            box = {"x1": x1, "y1": y1, "x2": x2, "y2": y2, "cls_id": cls_id, "conf": 1.0}
            boxes.append(box if team is None else dict(box, team_id=team))
    return boxes


def groups(mask):
    """Left, top, right, bottom (the last two beyond it) and size of each group of touching pixels."""
    edges = np.diff(np.pad(mask.astype(np.int8), ((0, 0), (1, 1))), axis=1)
    rows, starts = np.nonzero(edges == 1)
    ends = np.nonzero(edges == -1)[1]
    runs = list(zip(rows.tolist(), starts.tolist(), ends.tolist()))
    parents = list(range(len(runs)))

    def root(run):
        while parents[run] != run:
            run = parents[run]
        return run

    first = 0  # of the row above, the first run that may touch
    for number, (row, start, end) in enumerate(runs):
        while runs[first][0] < row - 1 or (runs[first][0] == row - 1 and runs[first][2] <= start):
            first += 1
        above = first
        while runs[above][0] == row - 1 and runs[above][1] < end:
            parents[root(above)] = root(number)
            above += 1
    boxes = {}
    for number, (row, start, end) in enumerate(runs):
        x1, y1, x2, y2, pixels = boxes.get(root(number), (start, row, end, row + 1, 0))
        boxes[root(number)] = min(x1, start), y1, max(x2, end), row + 1, pixels + end - start
    return boxes.values()


def keypoints(lines, count):
    """The template's points, between the touchlines and goal lines: all that is seen of them is straight and whole."""
    along = np.nonzero(lines.sum(axis=1) > lines.shape[1] / 2)[0]
    across = np.nonzero(lines.sum(axis=0) > lines.shape[0] / 2)[0]
    points = [(0, 0)] * count  # as not seen
    if len(along) > 1 and len(across) > 1:
        left, right, top, bottom = (int(edge) for edge in (across[0], across[-1], along[0], along[-1]))
        for number, (x, y) in enumerate(KEYPOINTS[:count]):
            points[number] = (
                round(left + (right - left) * (x - LEFT) / (RIGHT - LEFT)),
                round(top + (bottom - top) * (y - TOP) / (BOTTOM - TOP)),
            )
    return points
