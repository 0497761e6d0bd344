"""Writes the two example models: `python build.py [FOLDER]`, by default beside this file. Needs nothing but Python 3.9.

Neither was trained. Their weights follow from how the match of `crates/synthetic` is drawn: which colours it has,
how large a disc is and how far the ball goes from one frame to the next. The same script writes the same bytes
anywhere.
"""

import struct
import sys
from pathlib import Path

# --- How a match is drawn -----------------------------------------------------------------------------------------

# Metres: the pitch, the grass around it, a disc (players and ball alike).
LENGTH, WIDTH, MARGIN, RADIUS = 105.0, 68.0, 4.0, 1.5

# A picture of 16:9 is as high as the pitch with its grass, and wider.
METRES_HIGH = WIDTH + 2 * MARGIN

# --- ONNX files ---------------------------------------------------------------------------------------------------

FLOAT, INT64 = 1, 7


def varint(value):
    value &= (1 << 64) - 1  # negative numbers are written as 64-bit ones
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def number(field, value):
    return varint(field << 3) + varint(value)


def part(field, value):
    """A text or a message within a message."""
    value = value.encode() if isinstance(value, str) else value
    return varint(field << 3 | 2) + varint(len(value)) + value


def attribute(name, value):
    """An integer or a list of them: what the operators here have."""
    if isinstance(value, int):
        return part(1, name) + number(3, value) + number(20, 2)
    return part(1, name) + b"".join(number(8, one) for one in value) + number(20, 7)


def tensor(name, kind, shape, values):
    raw = struct.pack("<%d%s" % (len(values), "f" if kind == FLOAT else "q"), *values)
    return b"".join(number(1, size) for size in shape) + number(2, kind) + part(8, name) + part(9, raw)


def port(name, shape):
    """An input or output of floats; a size may be a name where any will do."""
    sizes = (part(1, part(2, size) if isinstance(size, str) else number(1, size)) for size in shape)
    return part(1, name) + part(2, part(1, number(1, FLOAT) + part(2, b"".join(sizes))))


class Graph:
    """Nodes and constants in the order in which they are asked for. What stands for a value is its name."""

    def __init__(self):
        self.nodes, self.constants = [], []

    def floats(self, shape, values):
        return self.constant(FLOAT, shape, values)

    def integers(self, *values):
        return self.constant(INT64, [len(values)], values)

    def constant(self, kind, shape, values):
        name = "c%d" % len(self.constants)
        self.constants.append(tensor(name, kind, shape, values))
        return name

    def node(self, operator, *inputs, outputs=1, name=None, **attributes):
        names = [name or "%s%d_%d" % (operator.lower(), len(self.nodes), at) for at in range(outputs)]
        node = b"".join(part(1, one) for one in inputs) + b"".join(part(2, one) for one in names) + part(4, operator)
        self.nodes.append(node + b"".join(part(5, attribute(*one)) for one in sorted(attributes.items())))
        return names[0] if outputs == 1 else names

    def ramp(self, value, low, high):
        """0 up to `low`, 1 from `high` on, straight in between."""
        by, less = self.floats([], [1 / (high - low)]), self.floats([], [low / (high - low)])
        value = self.node("Sub", self.node("Mul", value, by), less)
        return self.node("Clip", value, self.floats([], [0.0]), self.floats([], [1.0]))

    def model(self, title, inputs, outputs):
        graph = b"".join(part(1, one) for one in self.nodes) + part(2, title)
        graph += b"".join(part(5, one) for one in self.constants)
        graph += b"".join(part(11, port(*one)) for one in inputs) + b"".join(part(12, port(*one)) for one in outputs)
        # IR version 8 and operator set 17: ONNX Runtime 1.12 and all newer ones read them.
        return number(1, 8) + part(2, "adit") + part(7, graph) + part(8, part(1, "") + number(2, 17))


# --- The spotter --------------------------------------------------------------------------------------------------

# Frames in a window, and their size. A ball of 2.8 pixels is enough to see where it is to a tenth of one.
SPAN, WIDE, HIGH = 64, 128, 72

# At 25 frames a second: in one frame a ball at a foot moves with its player, at most 0.15 m, which after H.264 looks
# like up to 0.4 m; one that flies moves 2 to 5 m; a kick-off after a goal puts it 40 m and more elsewhere.
AT_FOOT, FLYING, FASTEST, CUT = 0.45, 0.85, 10.0, 11.0

# A flight takes at most 15 frames. Where it leads after those, from the middle of the pitch along: a shot goes 54 m or
# more, into the goal, a pass (which may be over sooner) at most 37 m.
FLIGHT, PASSED, SHOT = 15, 42.0, 48.0

# Where the ball is when a flight has ended, from the middle along: 54 m in the goal, at most 31 m at a foot.
ON_THE_PITCH, IN_GOAL = 40.0, 48.0


def spotter():
    """Frames `[N, 64, 3, 72, 128]` of RGB from 0 to 1; probabilities of the labels a frame, `[N, 64, 4]`."""
    g = Graph()
    frames = g.node("Reshape", "frames", g.integers(-1, 3, HIGH, WIDE))

    # Where the ball and, on the whole, the blue team are: the mean place of their colour. Nothing but the ball has more
    # red than green, nothing but the blue team much more blue than red.
    colours = g.floats([2, 3, 1, 1], [1.0, -1.0, 0.0, -1.0, 0.0, 1.0])
    colours = g.node("Relu", g.node("Conv", frames, colours, g.floats([2], [-0.15, -0.3])))
    columns = g.node("ReduceSum", colours, g.integers(2), keepdims=0)
    rows = g.node("ReduceSum", colours, g.integers(3), keepdims=0)
    amount = g.node("ReduceSum", columns, g.integers(2))
    # A frame without any is no division by zero, and its ball is in the middle of the pitch.
    amount = g.node("Add", amount, g.floats([], [1e-3]))
    pixels = HIGH / METRES_HIGH
    metres = lambda count: [(at + 0.5 - count / 2) / pixels for at in range(count)]
    along = g.node("MatMul", columns, g.floats([WIDE, 1], metres(WIDE)))
    across = g.node("MatMul", rows, g.floats([HIGH, 1], metres(HIGH)))
    places = g.node("Concat", g.node("Div", along, amount), g.node("Div", across, amount), axis=1)
    places = g.node("Reshape", places, g.integers(-1, SPAN, 4))
    # [N, 4, 64]: ball and blue team along, then across, in metres from the middle of the pitch.
    places = g.node("Transpose", places, perm=[0, 2, 1])

    # How far they go from each frame to the next; behind the last frame nothing is known, which counts as 0.
    steps = g.node("Conv", places, g.floats([4, 1, 2], [-1.0, 1.0] * 4), group=4)
    squares = g.node("Mul", steps, steps)
    both_ways = g.floats([2, 4, 1], [1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0])
    steps = g.node("Sqrt", g.node("Conv", squares, both_ways))
    steps = g.node("Pad", steps, g.integers(0, 0, 0, 0, 0, 1))
    ball, team = g.node("Split", steps, g.integers(1, 1), outputs=2, axis=1)
    flies = g.node("Sub", g.ramp(ball, AT_FOOT, FLYING), g.ramp(ball, FASTEST, CUT))
    # Players never rest. Where the picture does, the clip has ended, and its last frame is shown again and again.
    goes_on = g.ramp(team, 1e-4, 1e-3)

    # Whether the flight that begins in a frame leads beyond the goal line, judged by four frames of it; and whether the
    # ball is there now.
    x = g.node("Slice", places, g.integers(0), g.integers(1), g.integers(1))
    leads_to = g.floats([1, 1, 5], [1 - FLIGHT / 4, 0.0, 0.0, 0.0, FLIGHT / 4])
    leads_to = g.node("Pad", g.node("Conv", x, leads_to), g.integers(0, 0, 0, 0, 0, 4))
    shot = g.ramp(g.node("Abs", leads_to), PASSED, SHOT)
    in_goal = g.ramp(g.node("Abs", x), ON_THE_PITCH, IN_GOAL)

    # An action is when all it takes is there: each condition is 0 or 1 and counts 8, and the bias lies in the middle
    # between all of them and all but one. A condition is read one frame before (the step into this frame), now (the
    # step out of it) or three frames later. Outside the window all are 0: nothing is said about its first frame and
    # its last ones, which the windows around it see.
    before, now, later = 0, 1, 4
    FLIES, GOES_ON, SHOT_, GOAL = range(4)
    begins = [(FLIES, before, -1), (GOES_ON, before, 1), (FLIES, now, 1), (FLIES, later, 1)]
    ends = [(FLIES, before, 1), (FLIES, now, -1), (GOES_ON, now, 1)]
    actions = [
        begins + [(SHOT_, now, -1)],  # pass
        ends + [(GOAL, now, -1)],  # pass_received
        begins + [(SHOT_, now, 1)],  # shot
        ends + [(GOAL, now, 1)],  # goal
    ]
    weights, biases = [], []
    for terms in actions:
        row = [0.0] * (4 * 5)
        for condition, when, sign in terms:
            row[condition * 5 + when] = 8.0 * sign
        weights += row
        biases.append(4.0 - 8.0 * sum(sign > 0 for _, _, sign in terms))
    conditions = g.node("Concat", flies, goes_on, shot, in_goal, axis=1)
    scores = g.node("Conv", conditions, g.floats([4, 4, 5], weights), g.floats([4], biases), pads=[1, 3])
    g.node("Transpose", g.node("Sigmoid", scores), name="actions", perm=[0, 2, 1])
    return g.model("spotter", [("frames", ["N", SPAN, 3, HIGH, WIDE])], [("actions", ["N", SPAN, 4])])


# --- The detector -------------------------------------------------------------------------------------------------

# What it sees an image in, and how many pixels a metre and the radius of a disc are there, where the image is of 16:9.
ACROSS, DOWN = 640, 360
SCALE = DOWN / METRES_HIGH
DISC = RADIUS * SCALE

# Discs are looked for at every second pixel each way. The template reaches a little beyond a disc.
STEP, REACH = 2, 8
PLACES_ACROSS, PLACES_DOWN = ACROSS // STEP, DOWN // STEP

# Discs of one colour are never closer than this, in places each way.
APART = 4

# Most of one colour: a team has six.
MOST = 8

# What part of a disc is seen: nothing from the first on, all of it from the second on.
SEEN_AT_ALL, SEEN_WELL = 0.52, 0.72

# How far along from the middle of the pitch players go, and where keepers begin.
PLAYERS, KEEPERS = 36.0, 40.0


def detector():
    """Images `[N, 3, 360, 640]` of RGB from 0 to 1; `[N, 7, 24]`: centre, size, and the scores of ball, keeper, player.

    24 is 8 of each colour, most of them with scores of 0.
    """
    g = Graph()
    # How red, white and blue each pixel is, 0 to 1. White is more than the lines are.
    colours = g.floats([3, 3, 1, 1], [2.0, -2.0, 0.0, 4.6, 9.0, 1.8, -2.5, 0.0, 2.5])
    colours = g.node("Conv", "images", colours, g.floats([3], [-0.1, -13.15, -0.38]))
    colours = g.node("Clip", colours, g.floats([], [0.0]), g.floats([], [1.0]))
    # The ball is drawn over all, the white team over the blue one. So where it is red there may be a player behind, and
    # where it is white a blue one: that counts half.
    behind = g.floats([3, 3, 1, 1], [1.0, 0.0, 0.0, 0.5, 1.0, 0.0, 0.5, 0.5, 1.0])
    evidence = g.node("Conv", colours, behind)

    # The mean of it over a disc around each place.
    disc = template()
    seen = g.node("Conv", evidence, g.floats([3, 1, 17, 17], disc * 3), group=3, pads=[REACH] * 4, strides=[STEP] * 2)
    best = g.node("MaxPool", seen, kernel_shape=[2 * APART + 1] * 2, pads=[APART] * 4)
    peak = g.node("Cast", g.node("Equal", seen, best), to=FLOAT)
    scores = g.node("Mul", g.ramp(seen, SEEN_AT_ALL, SEEN_WELL), peak)

    # Between the places: a disc that is moved loses 2 / (pi * radius) of its area a pixel, on either side of its own
    # place alike, so the difference of the two neighbours says where it is.
    slope = 2 * STEP / (3.141592653589793 * DISC)
    difference = [-STEP / (2 * slope), 0.0, STEP / (2 * slope)]
    shift_x = g.node("Conv", seen, g.floats([3, 1, 1, 3], difference * 3), group=3, pads=[0, 1, 0, 1])
    shift_y = g.node("Conv", seen, g.floats([3, 1, 3, 1], difference * 3), group=3, pads=[1, 0, 1, 0])

    # The best of each colour.
    flat = g.integers(0, 3, PLACES_ACROSS * PLACES_DOWN)
    score, at = g.node("TopK", g.node("Reshape", scores, flat), g.integers(MOST), outputs=2, axis=2)

    def place(shift, line):
        shift = g.node("GatherElements", g.node("Reshape", shift, flat), at, axis=2)
        shift = g.node("Clip", shift, g.floats([], [-float(STEP)]), g.floats([], [float(STEP)]))
        middle = g.node("Mul", g.node("Cast", line, to=FLOAT), g.floats([], [float(STEP)]))
        return g.node("Add", g.node("Add", middle, g.floats([], [0.5])), shift)

    x = place(shift_x, g.node("Mod", at, g.integers(PLACES_ACROSS)))
    y = place(shift_y, g.node("Div", at, g.integers(PLACES_ACROSS)))
    size = g.node("Add", g.node("Mul", score, g.floats([], [0.0])), g.floats([], [2 * DISC]))

    # What is red is the ball; others are keepers or not by where they are.
    from_middle = g.node("Abs", g.node("Sub", x, g.floats([], [ACROSS / 2])))
    keeper = g.ramp(from_middle, PLAYERS * SCALE, KEEPERS * SCALE)
    ball = g.node("Mul", score, g.floats([1, 3, 1], [1.0, 0.0, 0.0]))
    someone = g.node("Mul", score, g.floats([1, 3, 1], [0.0, 1.0, 1.0]))
    keepers = g.node("Mul", someone, keeper)
    rows = [x, y, size, size, ball, keepers, g.node("Sub", someone, keepers)]
    rows = [g.node("Reshape", row, g.integers(0, 1, 3 * MOST)) for row in rows]
    g.node("Concat", *rows, name="boxes", axis=1)
    return g.model("detector", [("images", ["N", 3, DOWN, ACROSS])], [("boxes", ["N", 7, 3 * MOST])])


def template():
    """What part of each pixel around its middle a disc covers, as parts of its whole area."""
    fine = 8  # points a pixel, each way
    ticks = [(at + 0.5) / fine - REACH - 0.5 for at in range(fine * (2 * REACH + 1))]
    covered = [0] * (2 * REACH + 1) ** 2
    for row, y in enumerate(ticks):
        for column, x in enumerate(ticks):
            if x * x + y * y <= DISC * DISC:
                covered[row // fine * (2 * REACH + 1) + column // fine] += 1
    return [part / sum(covered) for part in covered]


def main():
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    for name, model in (("spotter", spotter()), ("detector", detector())):
        (folder / name).mkdir(exist_ok=True)
        (folder / name / "model.onnx").write_bytes(model)


if __name__ == "__main__":
    main()
