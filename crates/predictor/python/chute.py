# Serves the guide's template files as the chute made of them does, in one module:
# `python3 -c SCRIPT repository revision chute-name model-folder file…`. An empty folder stands for none.


class NotInstalled:
    """For files that name classes of a package that a model is loaded and asked without."""

    def __init__(self, *_, **__):
        raise RuntimeError("the chutes SDK is not installed for %s" % sys.executable)


PACKAGES = {"chutes"}
MODULES = {
    "chutes.chute": {"Chute": NotInstalled, "NodeSelector": NotInstalled},
    "chutes.image": {"Image": NotInstalled},
}


def use_folder(folder):
    """Lets the hub's client answer with a folder of this machine, whatever it is asked for."""
    sys.meta_path.append(LastResort(set(), {"huggingface_hub": {}}))
    hub = importlib.import_module("huggingface_hub")
    hub.snapshot_download = lambda *_, **__: folder


class Server:
    needs = "link"

    def __init__(self, repository, revision, name, folder, *files):
        sys.path[:] = [entry for entry in sys.path if entry]
        sys.meta_path.append(LastResort(PACKAGES, MODULES))
        if folder:
            use_folder(folder)
        # pydantic looks for the module of a class.
        self.name, self.module = name, ModuleType("my_chute")
        sys.modules["my_chute"] = self.module
        for file in files:
            exec(compile(Path(file).read_text("utf-8"), file, "exec"), vars(self.module))
        for function in ("_predict", "SVPredictInput"):
            self.called(function)
        self.model = self.called("_load_model")(repo_name=repository, revision=revision)
        about = self.called("_health")(model=self.model, repo_name=name)
        self.about = plain(about, "_health()")
        if not isinstance(self.about, dict):
            raise TypeError("_health gave a %s, not a dict" % type(about).__name__)

    def called(self, name):
        if not hasattr(self.module, name):
            raise LookupError("none of the template's files defines %s" % name)
        return getattr(self.module, name)

    def reply(self, request):
        return reply(request, None, lambda: self.answer(request))

    def answer(self, request):
        data = self.called("SVPredictInput")(url=request["url"], meta=request["meta"])
        answer = self.called("_predict")(model=self.model, data=data, model_name=self.name)
        if not hasattr(answer, "model_dump"):
            raise TypeError("_predict gave a %s, not an SVPredictOutput" % type(answer).__name__)
        answer = answer.model_dump(mode="json")
        if answer.get("success") is not True:
            return {"error": str(answer.get("error") or "_predict says success=False and no error")}
        frames = (answer.get("predictions") or {}).get("frames")
        if not isinstance(frames, list):
            raise ValueError("_predict says success=True and gives no predictions[\"frames\"]")
        return {"objects": [plain(frame, "result %d" % at) for at, frame in enumerate(frames)]}


main(lambda: Server(*sys.argv[1:]))
