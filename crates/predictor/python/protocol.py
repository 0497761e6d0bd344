"""What every Python worker begins with: JSON lines on stdin and stdout, as docs/worker-protocol.md says.

Run as `python3 -c SCRIPT …`, where SCRIPT is this text and that of one worker. Python 3.9 or newer, standard library
only.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import json
import math
import operator
import os
import sys
import threading
import time
import traceback
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


class Frames:
    """What follows a request: pairs of the line that announces a frame and its RGB24 bytes, as they arrive."""

    ended = False

    def __iter__(self):
        return self

    def __next__(self):
        if self.ended:
            raise StopIteration
        head = json.loads(REQUESTS.readline())
        if "frame" in head:
            return head, REQUESTS.read(head["bytes"])
        self.ended = True
        if "abort" in head:
            raise Aborted("the clip could not be decoded")
        raise StopIteration


def reply(request, frames, answer):
    """The line that answers a request. `frames`, if any, are read to their end whatever becomes of it."""
    try:
        fields = answer()
        for _ in frames or ():  # a model may stop early; the request ends with its last frame
            pass
        return encode(dict(fields, id=request["id"]))
    except BaseException as error:
        if not isinstance(error, Aborted):
            traceback.print_exc()
        try:
            for _ in frames or ():
                pass
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
        about = {} if server.about is None else {"about": server.about}
        say(encode(dict(about, ready=True, needs=server.needs)))
    except BaseException as error:
        traceback.print_exc()
        say(encode({"error": describe(error)}))
        sys.exit(1)
    for line in REQUESTS:
        say(server.reply(json.loads(line)))
