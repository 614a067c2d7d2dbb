"""What holds a device in tests, and tells on whoever holds it at the same time.

    holder.py FOLDER serve PORT     a worker: answers each question after a while, with a new name
    holder.py FOLDER hold SECONDS   a program under a lease

The device is FOLDER/device: a lock that ends with its process, whatever ends that. Who does not get
it writes "overlap" into FOLDER/log; answers and ends are written there as well.
"""

import fcntl
import json
import os
import pathlib
import sys
import time

import tool_server

FOLDER = pathlib.Path(sys.argv[1])
ANSWER_S = 0.4


def log(*words):
    with open(FOLDER / "log", "a", encoding="utf-8") as out:
        fcntl.flock(out, fcntl.LOCK_EX)
        print(*words, file=out, flush=True)


def hold():
    """The device's lock, which lives as long as this process."""
    lock = os.open(FOLDER / "device", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        log("overlap", *sys.argv[2:], os.getpid())
    log("begin", os.getpid())


class Answer(tool_server.Answer):
    """A POST is answered once."""

    count = 0

    def do_POST(self):
        self.body()
        Answer.count += 1
        name = f"{os.getpid()}-{Answer.count}"
        log("asked", name)
        time.sleep(ANSWER_S)
        event = {"choices": [{"delta": {"content": name}}]}
        log("answered", name)
        self.answer("text/event-stream", f"data: {json.dumps(event)}\n\ndata: [DONE]\n\n")


hold()
if sys.argv[2] == "serve":
    tool_server.serve(sys.argv[3], Answer)
time.sleep(float(sys.argv[3]))
log("end", os.getpid())
