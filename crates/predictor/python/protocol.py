"""What every Python worker begins with: JSON lines on stdin and stdout, as docs/worker-protocol.md says.

Run as `python3 -c SCRIPT …`, where SCRIPT is this text and that of one worker. Python 3.9 or newer, standard library
only.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import json
import math
import mmap
import operator
import os
import sys
import threading
import time
import traceback
import weakref
from pathlib import Path
from types import ModuleType, SimpleNamespace

# The protocol keeps both pipes to itself: whatever the model prints goes to the log, and input() finds nothing.
REQUESTS = os.fdopen(os.dup(0), "rb")
ANSWERS = os.fdopen(os.dup(1), "wb")
os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
os.dup2(2, 1)


class LastResort(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Asked after every other finder, so a module that exists on disk is always the one that is imported."""

    def __init__(self, packages, modules):
        self.packages, self.modules = packages, modules

    def find_spec(self, name, path=None, target=None):
        if name in self.packages or name in self.modules:
            return importlib.machinery.ModuleSpec(name, self, is_package=name in self.packages)
        return None

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        vars(module).update(self.modules.get(module.__name__, {}))


class Aborted(BaseException):
    """The clip could not be decoded to its end. Not an Exception, so that a model lets it through."""


class Memory:
    """Where the miner writes frames, for a model that asked for that: mapped once, read where they lie."""

    path, mapped = None, b""

    def part(self, path, offset, size):
        if path != self.path or offset + size > len(self.mapped):  # it grows where it has to
            with open(path, "rb") as file:
                self.mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            self.path = path
        return memoryview(self.mapped)[offset : offset + size]


MEMORY = Memory()


def numpy_if_there():
    try:
        import numpy
    except ImportError:
        return None
    return numpy


class Frames:
    """What follows a request, as it arrives: pairs of the line that announces frames and their RGB24 bytes.

    The bytes are those of the pipe, or lie in the miner's memory. Of that, a slot is given back when the next one is asked
    for, and with numpy only once no array refers to it any more.
    """

    ended = False

    def __init__(self, request, numpy=None):
        self.path, self.numpy, self.held = request.get("memory"), numpy, {}

    def __iter__(self):
        return self

    def __next__(self):
        self.give_back()
        head = self.head()
        if "slot" not in head:
            return head, REQUESTS.read(head["bytes"])
        pixels = MEMORY.part(self.path, head["offset"], head["bytes"])
        if self.numpy is None:
            self.held[head["slot"]] = pixels
        else:
            pixels = self.numpy.frombuffer(pixels, self.numpy.uint8)
            self.held[head["slot"]] = weakref.ref(pixels)  # numpy lets every view of it refer to this array
        return head, pixels

    def head(self):
        """The next line; the last one ends the iteration."""
        if self.ended:
            raise StopIteration
        head = json.loads(REQUESTS.readline())
        if "bytes" in head:
            return head
        self.ended = True
        if "abort" in head:
            raise Aborted("the frames did not all come")
        raise StopIteration

    def give_back(self):
        for slot, user in list(self.held.items()):
            if self.numpy is None:
                try:
                    user.release()
                except BufferError:  # something that the model made of it is still there
                    continue
            elif user() is not None:
                continue
            self.free(slot)

    def free(self, slot):
        self.held.pop(slot, None)
        say(encode({"free": slot}))

    def skip(self):
        """Passes over what the model did not look at. It is done, so whatever it kept is given back too."""
        for slot in list(self.held):
            self.free(slot)
        while not self.ended:
            try:
                head = self.head()
            except StopIteration:
                return
            if "slot" in head:
                self.free(head["slot"])
            else:
                REQUESTS.read(head["bytes"])


def reply(request, frames, answer):
    """The line that answers a request. `frames`, if any, are read to their end whatever becomes of it."""
    try:
        fields = answer()
        if frames is not None:  # a model may stop early; the request ends with its last frame
            frames.skip()
        return encode(dict(fields, id=request["id"]))
    except BaseException as error:
        if not isinstance(error, Aborted):
            traceback.print_exc()
        try:
            if frames is not None:
                frames.skip()
        except Aborted:
            pass
        return encode({"id": request["id"], "error": describe(error)})


def describe(error):
    return "%s: %s" % (type(error).__name__, error)


def encode(message):
    return json.dumps(message, allow_nan=False, ensure_ascii=False).encode("utf-8", "replace") + b"\n"


def say(line):
    ANSWERS.write(line)
    ANSWERS.flush()


def leave_with(parent):
    """A miner that was killed outright must not leave a model behind that keeps the GPU."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def main(load_server):
    threading.Thread(target=leave_with, args=(os.getppid(),), daemon=True).start()
    try:
        server = load_server()
        ready = {"ready": True, "needs": server.needs, "ping": True}
        if server.about is not None:
            ready["about"] = server.about
        if getattr(server, "warm_up", False):
            ready["warm_up"] = True
        say(encode(ready))
    except BaseException as error:
        traceback.print_exc()
        say(encode({"error": describe(error)}))
        sys.exit(1)
    for line in REQUESTS:
        request = json.loads(line)
        say(encode({"pong": request["ping"]}) if "ping" in request else server.reply(request))
