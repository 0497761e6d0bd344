"""A model that needs frames: it finds the actions of the drawn match (`adit demo`) from pixels.

The ball is the only thing with more red than green. It rests at a foot or it flies: a flight begins with a
pass and ends with its reception, or begins with a shot and ends in a goal when it ends beyond the goal line.
Standard library only, hence the small frames; they arrive while the clip is still being downloaded.
"""

from src.schemas import FramePrediction

WIDTH, HEIGHT = 128, 72
FRAMES = {"width": WIDTH, "height": HEIGHT}

# In pixels. In three frames a player with the ball moves 0.5, a flying ball 5 and more.
SPAN = 3
FLYING = 2.0
# Farther than any flight goes in one frame: the camera was cut.
CUT = 12.0
# The goal lines; everything beyond them is goal.
LEFT, RIGHT = 14.0, 114.0


def predict_frames(frames):
    indices, places = [], []
    for index, pixels in frames:
        place = ball(pixels)
        if place is not None:
            indices.append(index)
            places.append(place)
    actions = []
    for start, end in flights(places):
        scored = not LEFT < places[end][0] < RIGHT
        names = ("shot", "goal") if scored else ("pass", "pass_received")
        actions += [(indices[start], names[0]), (indices[end], names[1])]
    return [FramePrediction(frame=frame, action=action) for frame, action in actions]


def ball(pixels):
    """The centre of the red in one frame, or None."""
    total = x_sum = y_sum = 0
    for i, (red, green) in enumerate(zip(pixels[0::3], pixels[1::3])):
        if red > green + 20:
            redness = red - green
            total += redness
            x_sum += redness * (i % WIDTH)
            y_sum += redness * (i // WIDTH)
    return (x_sum / total, y_sum / total) if total else None


def flights(places):
    """First and last position in the list of each flight."""

    def moved(a, b):
        return ((places[a][0] - places[b][0]) ** 2 + (places[a][1] - places[b][1]) ** 2) ** 0.5

    start = None
    for now in range(SPAN, len(places)):
        cut = any(moved(k, k - 1) > CUT for k in range(now - SPAN + 1, now + 1))
        flying = moved(now, now - SPAN) > FLYING and not cut
        if flying and start is None:
            start = now - 1
        elif not flying and start is not None:
            end = now - SPAN
            if not cut and end - start >= SPAN:
                yield start, end
            start = None
