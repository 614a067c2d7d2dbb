"""A worker for tests that speaks as llama-server does and really takes memory:
`grow N` in the prompt makes it hold N MiB more.

    grower.py PORT
"""

import http.server
import json
import re
import sys
import time

held = []


class Answer(http.server.BaseHTTPRequestHandler):
    """GET is health; POST is a chat, streamed or not."""

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        text = json.dumps(body["messages"])
        for size in re.findall(r"grow (\d+)", text):
            held.append(b"\1" * (int(size) << 20))  # written, not only asked for
            time.sleep(1)  # as a model computes on what it has taken
        choices = [{"index": 0, "delta": {"content": "grown"},
                    "message": {"role": "assistant", "content": "grown"}}]
        answer = json.dumps({"choices": choices,
                             "timings": {"predicted_n": 30, "predicted_ms": 1500.0}})
        self.send_response(200)
        kind = "text/event-stream" if body.get("stream") else "application/json"
        self.send_header("Content-Type", kind)
        self.end_headers()
        if body.get("stream"):
            answer = f"data: {answer}\n\ndata: [DONE]\n\n"
        self.wfile.write(answer.encode())


http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Answer).serve_forever()
