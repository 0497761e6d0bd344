"""Runs a program on a terminal of its own: on_a_terminal.py QUESTION ANSWER PROGRAM [ARGUMENT]...

Types ANSWER the moment that QUESTION is seen, and prints all that the terminal showed. Ends with the program's
exit code, or 124 where it says nothing for a minute.
"""

import os
import pty
import select
import sys

question, answer, *command = sys.argv[1:]
child, terminal = pty.fork()
if child == 0:
    os.execvp(command[0], command)
shown = b""
while True:
    if not select.select([terminal], [], [], 60)[0]:
        sys.stdout.buffer.write(shown)
        sys.exit(124)
    try:
        piece = os.read(terminal, 4096)
    except OSError:  # the program has closed its side
        piece = b""
    if not piece:
        break
    shown += piece
    if answer and question.encode() in shown:
        os.write(terminal, answer.encode() + b"\n")
        answer = ""
sys.stdout.buffer.write(shown)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
