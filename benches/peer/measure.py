"""Runs a program and prints its wall time and processor time in seconds, its peak resident memory in KiB, and its exit status.

    python -I -S measure.py OUTPUT-FILE PROGRAM [ARGUMENT ...]

The peak is the kernel's own (`ru_maxrss` of wait4), so nothing between two looks is missed. It counts the process
from its fork, so it is never less than what this small interpreter takes, about 5 MiB. Time and peak are those of its own
children too; the peak is that of the largest of them all.
"""

import json
import os
import signal
import sys
import time

PATIENCE = 120
"""Seconds after which the program is ended; it inherits the alarm."""

output, *program = sys.argv[1:]
start = time.monotonic()
child = os.fork()
if child == 0:
    signal.alarm(PATIENCE)
    os.dup2(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 1)
    os.execv(program[0], program)
_, status, usage = os.wait4(child, 0)
seconds = time.monotonic() - start
processor = usage.ru_utime + usage.ru_stime
figures = {"seconds": seconds, "processor": processor, "peak_kib": usage.ru_maxrss}
print(json.dumps(figures | {"exit": os.waitstatus_to_exitcode(status)}))
