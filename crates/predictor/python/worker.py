# Serves one predictor file, for the private track: `python3 -c SCRIPT path/to/predictor.py`.

# --- The classes that a predictor imports. They check as the validator's own do. ---


def integer(value):
    try:
        return int(operator.index(value))
    except TypeError:
        number = float(value)
    if not number.is_integer():
        raise ValueError("not a whole number")
    return int(number)


def text(value):
    if not isinstance(value, str):
        raise TypeError("not text")
    return value


def text_or_number(value):
    return value if isinstance(value, str) else float(value)


def grade(value):
    if isinstance(value, bool):
        raise TypeError("not a number")
    return math.floor(float(value))


class Model:
    """Fields checked on construction; unknown ones are ignored, as pydantic does."""

    def field(self, name, value, convert, low=-math.inf, high=math.inf):
        try:
            checked = convert(value)
            if not isinstance(checked, str) and not low <= checked <= high:
                raise ValueError("outside %s..%s" % (low, high))
        except (TypeError, ValueError, OverflowError) as error:
            message = "%s.%s = %r: %s" % (type(self).__name__, name, value, error)
            raise ValueError(message) from None
        setattr(self, name, checked)

    def model_dump(self):
        return dict(vars(self))

    def __repr__(self):
        return "%s(%s)" % (type(self).__name__, ", ".join("%s=%r" % item for item in vars(self).items()))

    def __eq__(self, other):
        return type(self) is type(other) and vars(self) == vars(other)


class FramePrediction(Model):
    def __init__(self, *, frame, action, confidence=1.0, **_unknown):
        self.field("frame", frame, integer, low=0)
        self.field("action", action, text)
        self.field("confidence", confidence, float, 0.0, 1.0)


class CricketDeliveryPrediction(Model):
    FIELDS = dict(
        dict.fromkeys("matchid inningsid overid ball_in_over ballid runs wickets".split(), integer),
        match=text,
        xlsx_overs=text_or_number,
        scorecard_overs=text_or_number,
        **dict.fromkeys(
            "kph release_y release_z bounce_x bounce_y impact_x impact_y impact_z interception_distance "
            "stump_y stump_z swing_angle deviation".split(),
            float,
        ),
    )
    ALIASES = {
        "innings_id": "inningsid",
        "over_id": "overid",
        "ball": "ball_in_over",
        "overs": "scorecard_overs",
        "rel_y": "release_y",
        "rel_z": "release_z",
        "inter_d": "interception_distance",
        "swing_deg": "swing_angle",
        "deviation_deg": "deviation",
        "wkts": "wickets",
    }

    def __init__(self, **given):
        row = {self.ALIASES[name]: value for name, value in given.items() if name in self.ALIASES}
        row.update(given)
        for name, convert in self.FIELDS.items():
            value = row.get(name)
            if value is None:
                setattr(self, name, None)
            else:
                self.field(name, value, convert)


class Grades(Model):
    def __init__(self, names, given):
        given = given if isinstance(given, dict) else given.model_dump()
        for name in names:
            self.field(name, given.get(name), grade, 1, 10)


class TCGGradingPrediction(Model):
    def __init__(self, *, Header, Grading_Features, **_unknown):
        features = ["subgrade_surface", "subgrade_centering", "subgrade_edges", "subgrade_corners"]
        self.Header = Grades(["card_grade"], Header)
        self.Grading_Features = Grades(features, Grading_Features)


class ChallengeRequest(Model):
    def __init__(self, *, challenge_id, video_url=None, image_url=None, frames=None, **_unknown):
        self.challenge_id = challenge_id
        self.video_url = video_url
        self.image_url = image_url
        self.frames = frames


# --- Modules of those classes, for a predictor whose checkout does not have them. ---

NOW = SimpleNamespace(video=None, frame_count=None, frame_rate=None)


def frame_count(video_path):
    """Frames of the current clip, read from its sample table before the predictor was called."""
    if NOW.video is None or Path(video_path) != NOW.video:
        raise ValueError("%s is not the clip of the current challenge" % video_path)
    return NOW.frame_count


def frame_rate():
    """Frames a second of the current clip, from its sample table; None without a clip."""
    return NOW.frame_rate


SCHEMAS = {
    model.__name__: model
    for model in (FramePrediction, CricketDeliveryPrediction, TCGGradingPrediction, ChallengeRequest)
}
PACKAGES = {"src", "scorevision", "scorevision.utils", "scorevision.miner", "scorevision.miner.private_track"}
MODULES = {
    "src.schemas": SCHEMAS,
    "src.media": {"frame_count": frame_count, "frame_rate": frame_rate},
    "scorevision.utils.schemas": SCHEMAS,
    "scorevision.miner.private_track.video": {"get_frame_count": frame_count},
}


def load(path):
    """Imports the predictor, with the root of its checkout (or else its folder) first on the import path."""
    place = ("scorevision", "miner", "private_track", "predictor.py")
    in_checkout = path.parts[-4:] == place
    sys.path[:] = [str(path.parents[3] if in_checkout else path.parent)] + [p for p in sys.path if p]
    sys.meta_path.append(LastResort(PACKAGES, MODULES))
    name = "scorevision.miner.private_track.predictor" if in_checkout else "predictor"
    spec = importlib.util.spec_from_file_location(name, str(path))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


# --- The protocol. ---


def as_dict(prediction):
    """A prediction, be it of our class, of pydantic's or a plain dict."""
    return prediction if isinstance(prediction, dict) else prediction.model_dump()


class Server:
    about = numpy = None

    def __init__(self, path):
        self.name = path.name
        self.module = load(path)
        self.frames_wanted = getattr(self.module, "FRAMES", None)
        if self.frames_wanted is None:
            self.needs = getattr(self.module, "NEEDS", "file")
            self.function("predict_actions", "video_path")
        else:
            self.needs = {"frames": self.frames_wanted}
            self.warm_up = bool(getattr(self.module, "WARM_UP", False))
            self.batches = self.frames_wanted.get("batch") is not None
            self.views = self.batches or bool(self.frames_wanted.get("shared"))
            self.numpy = numpy_if_there() if self.views else None
            self.function("predict_frames", "frames")

    def function(self, name, argument):
        function = getattr(self.module, name, None)
        if function is None:
            raise LookupError("%s has no function %s(%s)" % (self.name, name, argument))
        return function

    def answer(self, request, frames):
        pictures = [(picture["frame_id"], Path(picture["path"])) for picture in request["pictures"]]
        if request["want"] == "tcg_grading":
            grades = self.function("predict_tcg_grading", "image_path")(pictures[0][1])
            grades = TCGGradingPrediction(**as_dict(grades))
            features = as_dict(grades.Grading_Features)
            answer = {name.replace("subgrade_", ""): value for name, value in features.items()}
            return {"grades": dict(answer, card_grade=grades.Header.card_grade)}
        if request["want"] == "cricket_delivery":
            challenge = ChallengeRequest(
                challenge_id=request["challenge_id"], video_url=request["video"], frames=frames
            )
            delivery = self.function("predict_cricket_delivery", "request")(challenge)
            return {"delivery": CricketDeliveryPrediction(**as_dict(delivery)).model_dump()}
        if pictures:
            actions = self.function("predict_pictures", "pictures")(pictures)
        elif frames is not None:
            actions = self.function("predict_frames", "frames")(frames)
        else:
            actions = self.function("predict_actions", "video_path")(NOW.video)
        return {"predictions": [FramePrediction(**as_dict(action)).model_dump() for action in actions]}

    def shown(self, arrived):
        """A pair of frame number and pixels, or of the numbers of a batch and its pixels."""
        head, pixels = arrived
        numbers = head["frames" if self.batches else "frame"]
        if not self.views:
            return numbers, pixels
        if self.numpy is None:
            return numbers, memoryview(pixels) if isinstance(pixels, bytes) else pixels
        shape = [len(numbers)] if self.batches else []
        shape += [self.frames_wanted["height"], self.frames_wanted["width"], 3]
        if isinstance(pixels, bytes):
            pixels = self.numpy.frombuffer(pixels, self.numpy.uint8)
        return numbers, pixels.reshape(shape)

    def reply(self, request):
        NOW.video = Path(request["video"] or "not-downloaded.mp4")
        NOW.frame_count, NOW.frame_rate = request["frame_count"], request["frame_rate"]
        with_frames = self.frames_wanted is not None and not request["pictures"]
        arriving = Frames(request, self.numpy) if with_frames else None
        frames = map(self.shown, arriving) if with_frames else None
        return reply(request, arriving, lambda: self.answer(request, frames))


main(lambda: Server(Path(sys.argv[1]).absolute()))
