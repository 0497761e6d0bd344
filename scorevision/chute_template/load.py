# Your model: how its files become something that predict.py can ask. Heavy packages are imported where they are used,
# since `chutes build` imports this file on a machine that may not have them.

import os
from pathlib import Path
from typing import Any


def _load_model(repo_name: str, revision: str) -> Any:
    """Called once, at the start. What it raises keeps the chute from starting, with its text in the log."""
    from huggingface_hub import snapshot_download

    # A private repository is read with the chute's secret HF_TOKEN.
    token = os.environ.get("HF_TOKEN") or None
    folder = Path(snapshot_download(repo_name, revision=revision, token=token))
    files = sorted(file for file in folder.iterdir() if file.suffix in (".pt", ".onnx"))
    if len(files) != 1:
        found = ", ".join(file.name for file in files) or "none"
        raise FileNotFoundError(
            f"{repo_name}@{revision}: one .pt or .onnx file is wanted in the folder's root, found {found}"
        )

    from ultralytics import YOLO

    model = YOLO(str(files[0]), task="detect")
    print(f"{files[0].name} is loaded")
    return model


def _health(model: Any | None, repo_name: str) -> dict[str, Any]:
    return {"status": "healthy", "model": repo_name, "model_loaded": model is not None}
