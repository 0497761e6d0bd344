# Serves a folder with a miner.py, as the published chute template does: `python3 -c SCRIPT path/to/folder`.

# Most that the chute lets a loaded Miner hold, and how deep it looks.
MOST_MEMORY_GB, DEEPEST = 5.0, 100

PLAIN_DICT = "a result is a plain dict: in the chute it needs a model_dump() method, as pydantic's models have it"


class Server:
    needs = {"images": {"shared": True}}

    def __init__(self, folder):
        file = folder / "miner.py"
        if not file.is_file():
            raise FileNotFoundError("there is no miner.py in %s" % folder)
        try:
            import numpy
        except ImportError as error:
            raise ImportError("images are numpy's arrays; install it for %s: %s" % (sys.executable, error)) from None
        self.numpy, self.warned = numpy, False
        # Nothing is imported from the current folder, which an empty entry stands for.
        sys.path[:] = [entry for entry in sys.path if entry]
        before = set(sys.modules)
        spec = importlib.util.spec_from_file_location("miner", str(file))
        module = importlib.util.module_from_spec(spec)
        sys.modules["miner"] = module
        spec.loader.exec_module(module)
        if not hasattr(module, "Miner"):
            raise LookupError("miner.py has no class Miner")
        self.miner = module.Miner(folder)
        if not callable(getattr(self.miner, "predict_batch", None)):
            raise LookupError("Miner has no method predict_batch(batch_images, offset, n_keypoints)")
        self.check_imports(set(sys.modules) - before, folder, file)
        memory_gb = self.bytes_of(self.miner, set(), DEEPEST) / 1024**3
        if memory_gb > MOST_MEMORY_GB:
            raise ValueError("Miner holds %.2f GB, and the chute allows %.2f GB" % (memory_gb, MOST_MEMORY_GB))
        self.about = {"model_loaded": str(self.miner), "memory_gb": memory_gb}

    def bytes_of(self, value, seen, depth):
        """What the chute counts: arrays, tensors, and what Python says of all that leads to them."""
        if id(value) in seen or depth <= 0:
            return 0
        seen.add(id(value))
        if isinstance(value, self.numpy.ndarray):
            return value.nbytes
        torch = sys.modules.get("torch")
        if torch is not None and isinstance(value, torch.Tensor):
            return value.numel() * value.element_size()
        parts = ()
        if isinstance(value, dict):
            parts = [part for pair in value.items() for part in pair]
        elif isinstance(value, (list, tuple, set)):
            parts = value
        elif hasattr(value, "__dict__"):
            parts = list(vars(value).values())
        return sys.getsizeof(value, 0) + sum(self.bytes_of(part, seen, depth - 1) for part in parts)

    def check_imports(self, names, folder, file):
        """The chute takes modules from installed packages only."""
        for name in sorted(names):
            place = getattr(sys.modules.get(name), "__file__", None)
            if place and folder in Path(place).resolve().parents and Path(place).resolve() != file.resolve():
                text = "the chute refuses modules of the model's folder, here %s: put all code into miner.py"
                raise ImportError(text % name)

    def reply(self, request):
        frames = Frames(request, self.numpy)
        return reply(request, frames, lambda: {"objects": self.answer(request, frames)})

    def answer(self, request, frames):
        of_clip = request["frame_count"] is not None
        results, batch = [], []
        for head, pixels in frames:
            batch.append((head["frame"], self.image(head, pixels)))
            if len(batch) == request["batch_size"]:
                results += self.batch(batch, len(results) if of_clip else None, request["n_keypoints"])
                batch = []
        if batch:
            results += self.batch(batch, len(results) if of_clip else None, request["n_keypoints"])
        return results

    def image(self, head, pixels):
        """An array of height x width x 3, blue first as OpenCV has it."""
        image = self.numpy.frombuffer(pixels, self.numpy.uint8).reshape(head["height"], head["width"], 3)
        return self.numpy.ascontiguousarray(image[:, :, ::-1])

    def batch(self, batch, offset, n_keypoints):
        """Results of a few images. Those of a clip keep the number that the miner gave them."""
        images = [image for _, image in batch]
        results = self.miner.predict_batch(batch_images=images, offset=offset or 0, n_keypoints=n_keypoints)
        if not isinstance(results, (list, tuple)):
            raise TypeError("predict_batch gave a %s, not a list with a result for each image" % type(results).__name__)
        if len(results) != len(batch):
            raise ValueError("predict_batch gave %d results for %d images" % (len(results), len(batch)))
        rows = []
        for (frame, _), result in zip(batch, results):
            row = self.row(result, frame)
            rows.append(row if offset is not None else dict(row, frame_id=frame))
        return rows

    def row(self, result, frame):
        if isinstance(result, dict):
            if not self.warned:
                print(PLAIN_DICT)
                self.warned = True
        elif hasattr(result, "model_dump"):
            result = result.model_dump()
        if not isinstance(result, dict):
            raise TypeError("the result for frame %s is a %s, not a model with boxes" % (frame, type(result).__name__))
        return plain(result, "frame %s" % frame)


main(lambda: Server(Path(sys.argv[1]).resolve()))
