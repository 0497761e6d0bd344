# The image of the chute and the machine that it runs on. `chutes build` and `chutes deploy` run this file on your own
# machine, so it imports nothing but the chutes SDK.

from chutes.chute import Chute, NodeSelector
from chutes.image import Image as ChutesImage


def init_chute(username: str, name: str) -> Chute:
    image = (
        ChutesImage(username=username, name=name, tag="latest")
        .from_base("parachutes/python:3.12")
        .run_command("pip install --no-cache-dir --upgrade pip setuptools wheel")
        # ultralytics brings the OpenCV that wants a display's libraries; the headless one takes its place.
        .run_command(
            "pip install --no-cache-dir 'ultralytics>=8.3,<8.5' 'torch>=2.6,<3' 'huggingface_hub>=0.34,<2'"
            " && pip uninstall -y opencv-python opencv-python-headless"
            " && pip install --no-cache-dir opencv-python-headless"
        )
        .set_workdir("/app")
    )
    machine = NodeSelector(
        gpu_count=1,
        min_vram_gb_per_gpu=16,
        include=["a100", "a100_40gb", "3090", "a40", "a6000"],
        exclude=["5090", "b200", "h200", "h20", "mi300x"],
    )
    return Chute(
        username=username,
        name=name,
        image=image,
        node_selector=machine,
        # The model answers one batch at a time; more requests at once only wait for one another.
        concurrency=4,
        max_instances=5,
        scaling_threshold=0.5,
        # The clip of a challenge is downloaded by predict.py.
        allow_external_egress=True,
    )
