"""The peer of `make bench`: a private-track miner in FastAPI, with the same duties as `sv serve`.

It checks stake, nonce window, both signed message forms and replay, fetches the clip, asks OpenCV for its frame
count as the validators' own software does, and answers `pass` at each 25th frame. It is written as one would
write such a service for production, with what makes FastAPI fast: uvloop, httptools, one kept-alive HTTP client,
signatures checked in native code, no access log.

Settings come from the environment, under the names that `sv serve` uses: MINER_PORT, ADIT_HOTKEY,
STAKE_TABLE_FILE, MIN_STAKE_THRESHOLD.
"""

import hashlib
import json
import os
import re
import tempfile
import time
from collections import OrderedDict
from contextlib import asynccontextmanager
from functools import lru_cache
from pathlib import Path
from typing import Literal

import base58
import cv2
import httpx
import sr25519
import uvicorn
from fastapi import Depends, FastAPI, HTTPException, Request
from pydantic import BaseModel, Field

HOTKEY = os.environ["ADIT_HOTKEY"]
STAKES: dict[str, float] = json.loads(Path(os.environ["STAKE_TABLE_FILE"]).read_text())
MIN_STAKE = float(os.environ.get("MIN_STAKE_THRESHOLD", "1000"))

WINDOW_NS = 120 * 10**9
"""How far a nonce may be from the clock, either way."""

MAX_NONCES = 4_000_000
MAX_CLIP_BYTES = 512 * 1024 * 1024

NONCE = re.compile(r"([0-9]{1,20})(?:_.*)?")
SIGNATURE = re.compile(r"0x[0-9a-fA-F]{128}")


class Challenge(BaseModel):
    challenge_id: str
    video_url: str


class FramePrediction(BaseModel):
    frame: int = Field(ge=0)
    action: str
    confidence: float = Field(default=1.0, ge=0.0, le=1.0)


class SoccerPrediction(BaseModel):
    type: Literal["soccer_action"] = "soccer_action"
    items: list[FramePrediction]
    item: None = None


class ChallengeResponse(BaseModel):
    challenge_id: str
    predictions: list[FramePrediction]
    prediction: SoccerPrediction
    processing_time: float


class NonceStore:
    """Nonces that were used, each kept for two windows; bounded, and nothing young is thrown out."""

    def __init__(self) -> None:
        self._used: OrderedDict[tuple[str, str], int] = OrderedDict()

    def __contains__(self, key: tuple[str, str]) -> bool:
        return key in self._used

    def remember(self, key: tuple[str, str], now: int) -> None:
        while self._used and next(iter(self._used.values())) < now - 2 * WINDOW_NS:
            self._used.popitem(last=False)
        if key in self._used:
            raise HTTPException(401, "Invalid nonce")
        if len(self._used) >= MAX_NONCES:
            raise HTTPException(503, "Too many requests")
        self._used[key] = now


nonces = NonceStore()


@lru_cache(maxsize=1024)
def public_key(ss58: str) -> bytes:
    """The 32 bytes behind an address of format 42."""
    raw = base58.b58decode(ss58)
    checksum = hashlib.blake2b(b"SS58PRE" + raw[:-2]).digest()[:2]
    if len(raw) != 35 or raw[0] != 42 or checksum != raw[-2:]:
        raise ValueError("not an ss58 address")
    return raw[1:33]


def signature_fits(hotkey: str, nonce: str, body: bytes, signature: bytes) -> bool:
    """Whether one of the two message forms was signed; the form that the nonce's shape suggests goes first."""
    key = public_key(hotkey)

    def fiber() -> bytes:
        return f"{nonce}:{HOTKEY}:{hashlib.sha256(body).hexdigest()}".encode()

    def turbovision() -> bytes:
        return f"{nonce}{hashlib.blake2b(body, digest_size=32).hexdigest()}".encode()

    for form in (fiber, turbovision) if "_" in nonce else (turbovision, fiber):
        message = form()
        for candidate in (message, b"<Bytes>" + message + b"</Bytes>"):
            if sr25519.verify(signature, candidate, key):
                return True
    return False


async def verified(request: Request) -> None:
    """Lets a request pass that a validator with enough stake signed for us, now and for the first time."""

    def header(name: str) -> str:
        value = request.headers.get(name) or request.headers.get(f"x-{name}")
        if not value:
            raise HTTPException(422, f"header {name} is missing")
        return value

    hotkey = header("validator-hotkey")
    miner = header("miner-hotkey")
    nonce = header("nonce")
    signature = header("signature")

    stake = STAKES.get(hotkey)
    if stake is None:
        raise HTTPException(403, "Hotkey not found in metagraph")
    if stake < MIN_STAKE:
        raise HTTPException(403, f"Insufficient stake of {stake} ")

    now = time.time_ns()
    shape = NONCE.fullmatch(nonce)
    if not shape or abs(now - int(shape[1])) > WINDOW_NS or (hotkey, nonce) in nonces:
        raise HTTPException(401, "Invalid nonce")
    if miner != HOTKEY:
        raise HTTPException(401, "Invalid miner hotkey")

    body = await request.body()
    try:
        fits = SIGNATURE.fullmatch(signature) and signature_fits(hotkey, nonce, body, bytes.fromhex(signature[2:]))
    except ValueError:
        fits = False
    if not fits:
        raise HTTPException(401, "Invalid signature")
    nonces.remember((hotkey, nonce), now)


@asynccontextmanager
async def lifespan(app: FastAPI):
    async with httpx.AsyncClient(timeout=60, follow_redirects=True) as client:
        app.state.client = client
        yield


app = FastAPI(title="Private Track Turbovision Miner", lifespan=lifespan)


async def frame_count(client: httpx.AsyncClient, url: str) -> int:
    """Fetches a clip into a temporary file, which is removed at the end, and asks OpenCV."""
    with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
        async with client.stream("GET", url) as response:
            response.raise_for_status()
            size = 0
            async for chunk in response.aiter_bytes():
                size += len(chunk)
                if size > MAX_CLIP_BYTES:
                    raise HTTPException(500, "the clip is too large")
                file.write(chunk)
        file.flush()
        clip = cv2.VideoCapture(file.name)
        try:
            if not clip.isOpened():
                raise HTTPException(500, "the clip cannot be opened")
            return int(clip.get(cv2.CAP_PROP_FRAME_COUNT))
        finally:
            clip.release()


@app.post("/challenge", dependencies=[Depends(verified)])
async def challenge(request: Challenge) -> ChallengeResponse:
    start = time.perf_counter()
    count = await frame_count(app.state.client, request.video_url)
    predictions = [FramePrediction(frame=frame, action="pass") for frame in range(0, count, 25)]
    return ChallengeResponse(
        challenge_id=request.challenge_id,
        predictions=predictions,
        prediction=SoccerPrediction(items=predictions),
        processing_time=time.perf_counter() - start,
    )


if __name__ == "__main__":
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(os.environ.get("MINER_PORT", "8000")),
        loop="uvloop",
        http="httptools",
        log_level="warning",
        access_log=False,
    )
