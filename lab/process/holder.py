"""What holds a device in tests, and tells on whoever holds it at the same time.

    holder.py FOLDER serve PORT     a worker: answers each question after a while, with a new name
    holder.py FOLDER hold SECONDS   a program under a lease

The device is FOLDER/device: a lock that ends with its process, whatever ends that. Who does not get
it writes "overlap" into FOLDER/log; answers and ends are written there as well.
"""

import fcntl
import http.server
import json
import os
import pathlib
import sys
import time

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


class Answer(http.server.BaseHTTPRequestHandler):
    """GET is health; a POST is answered once."""

    count = 0

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        Answer.count += 1
        name = f"{os.getpid()}-{Answer.count}"
        log("asked", name)
        time.sleep(ANSWER_S)
        event = {"choices": [{"delta": {"content": name}}]}
        log("answered", name)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        self.wfile.write(f"data: {json.dumps(event)}\n\ndata: [DONE]\n\n".encode())


hold()
if sys.argv[2] == "serve":
    http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[3])), Answer).serve_forever()
time.sleep(float(sys.argv[3]))
log("end", os.getpid())
