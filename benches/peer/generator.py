"""The peer of the generative miner in `make bench`: FastAPI, with the same checks before a task as
`gascli generator serve`, and tasks kept as upstream keeps them: in memory until they are a day old, with a file for
each that has not come to its end, which is renamed into place and not synced.

Written as one would write such a service for production, with what makes FastAPI fast: uvloop, httptools, one
kept-alive HTTP client, signatures checked in native code, no access log. It has less to do than ours: no uuid is
remembered, and what was made is neither checked nor delivered.

Settings come from the environment, under the names that `gascli` uses: BT_AXON_PORT, STAKE_TABLE_FILE,
MINER_STATE_DIR, ADIT_STABILITY_BASE_URL; and ADIT_HOTKEY.
"""

import asyncio
import hashlib
import json
import os
import time
import uuid
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import base58
import httpx
import sr25519
import uvicorn
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse

HOTKEY = os.environ["ADIT_HOTKEY"]
STAKES: dict[str, float] = json.loads(Path(os.environ["STAKE_TABLE_FILE"]).read_text())
SERVICE = os.environ["ADIT_STABILITY_BASE_URL"]
STATE = Path(os.environ["MINER_STATE_DIR"])

MIN_STAKE = 20_000
WINDOW_MS = 15_000
ECHOED = 100


@dataclass(slots=True)
class Task:
    task_id: str
    modality: str
    prompt: str
    parameters: dict[str, Any]
    webhook_url: str
    signed_by: str
    created_at: float
    status: str = "pending"
    result: bytes | None = None
    completed_at: float | None = None


tasks: dict[str, Task] = {}
waiting: asyncio.Queue[Task] = asyncio.Queue()


def write_down(task: Task) -> None:
    """So that a restart finds it. Without the result, which stays in memory."""
    file = STATE / f"{task.task_id}.json"
    part = file.with_suffix(".tmp")
    part.write_text(json.dumps({"version": 1, "task": asdict(task) | {"result": None}}, indent=2))
    os.replace(part, file)


@lru_cache(maxsize=1024)
def public_key(ss58: str) -> bytes:
    """The 32 bytes behind an address of format 42."""
    raw = base58.b58decode(ss58)
    checksum = hashlib.blake2b(b"SS58PRE" + raw[:-2]).digest()[:2]
    if len(raw) != 35 or raw[0] != 42 or checksum != raw[-2:]:
        raise ValueError("not an ss58 address")
    return raw[1:33]


def signature_fits(signer: str, message: bytes, signature: str) -> bool:
    try:
        key = public_key(signer)
        raw = bytes.fromhex(signature.removeprefix("0x"))
    except ValueError:
        return False
    if len(raw) != 64:
        return False
    return any(sr25519.verify(raw, form, key) for form in (message, b"<Bytes>" + message + b"</Bytes>"))


async def verified(request: Request) -> str:
    """Lets a request pass that a registered validator with enough stake signed for us just now; who it was."""
    header = request.headers.get
    now = time.time_ns() // 1_000_000
    if header("epistula-version") != "2":
        raise HTTPException(400, "Unknown Epistula version")
    if header("epistula-signed-for") != HOTKEY:
        raise HTTPException(400, "Bad Request, message is not intended for self")
    signer = header("epistula-signed-by")
    stake = STAKES.get(signer)
    if stake is None:
        raise HTTPException(401, "Signer not in metagraph")
    if stake < MIN_STAKE:
        raise HTTPException(401, f"Stake below minimum: {stake}")
    signature = header("epistula-request-signature")
    if not signature:
        raise HTTPException(400, "Invalid Signature")
    try:
        timestamp = int(header("epistula-timestamp"))
    except (TypeError, ValueError):
        raise HTTPException(400, "Invalid Timestamp") from None
    nonce = header("epistula-uuid")
    if nonce is None:
        raise HTTPException(400, "Invalid uuid")
    if timestamp + WINDOW_MS < now:
        raise HTTPException(400, f"Request is too stale: {(now - timestamp) / 1000:.1f}s old (limit: 15.0s)")
    if timestamp - WINDOW_MS > now:
        ahead = (timestamp - now) / 1000
        raise HTTPException(400, f"Request timestamp is in the future: {ahead:.1f}s ahead (limit: 15.0s)")
    digest = hashlib.sha256(await request.body()).hexdigest()
    if not signature_fits(signer, f"{digest}.{nonce}.{timestamp}.{HOTKEY}".encode(), signature):
        raise HTTPException(400, "Signature Mismatch")
    return signer


def refused(status: int, text: str) -> JSONResponse:
    return JSONResponse({"error": text, "timestamp": time.time()}, status_code=status)


async def work(client: httpx.AsyncClient) -> None:
    """One task after the other, as upstream does; results stay in memory."""
    while True:
        task = await waiting.get()
        task.status = "processing"
        write_down(task)
        try:
            answer = await client.post(
                f"{SERVICE}/v2beta/stable-image/generate/sd3",
                headers={"Authorization": "Bearer bench", "Accept": "image/*"},
                files={"prompt": (None, task.prompt), "output_format": (None, "png")},
            )
            answer.raise_for_status()
        except httpx.HTTPError:
            task.status = "failed"
        else:
            task.status, task.result = "completed", answer.content
        task.completed_at = time.time()
        (STATE / f"{task.task_id}.json").unlink()


@asynccontextmanager
async def lifespan(_: FastAPI):
    STATE.mkdir(parents=True, exist_ok=True)
    async with httpx.AsyncClient(timeout=7200) as client:
        worker = asyncio.create_task(work(client))
        yield
        worker.cancel()


app = FastAPI(title="BitMind Generative Miner", lifespan=lifespan)


@app.post("/gen_image")
async def gen_image(request: Request, signed_by: str = Depends(verified)) -> JSONResponse:
    try:
        body = json.loads(await request.body())
    except ValueError as error:
        return refused(400, f"Invalid JSON body: {error}")
    if not isinstance(body, dict):
        return refused(400, "Invalid JSON body: not an object")
    prompt = body.get("prompt")
    if not prompt:
        return refused(400, "Missing required field: prompt")
    if not isinstance(prompt, str):
        return refused(400, "Invalid field: prompt")
    webhook_url = request.headers.get("x-webhook-url")
    if not webhook_url:
        return refused(400, "Missing required header: X-Webhook-URL")
    task = Task(
        task_id=str(uuid.uuid4()),
        modality="image",
        prompt=prompt,
        parameters=body.get("parameters") or {},
        webhook_url=webhook_url,
        signed_by=signed_by,
        created_at=time.time(),
    )
    tasks[task.task_id] = task
    write_down(task)
    waiting.put_nowait(task)
    answer = {
        "task_id": task.task_id,
        "status": "submitted",
        "modality": task.modality,
        "prompt": prompt if len(prompt) <= ECHOED else prompt[:ECHOED] + "...",
        "webhook_url": webhook_url,
        "created_at": task.created_at,
    }
    return JSONResponse(answer, status_code=201)


if __name__ == "__main__":
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(os.environ["BT_AXON_PORT"]),
        loop="uvloop",
        http="httptools",
        log_level="warning",
        access_log=False,
    )
