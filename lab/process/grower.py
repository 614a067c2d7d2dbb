"""A worker for tests that speaks as llama-server does and really takes memory:
`grow N` in the prompt makes it hold N MiB more.

    grower.py PORT
"""

import json
import re
import sys
import time

import tool_server

held = []


class Answer(tool_server.Answer):
    """A POST is a chat, streamed or not."""

    def do_POST(self):
        body = json.loads(self.body())
        text = json.dumps(body["messages"])
        for size in re.findall(r"grow (\d+)", text):
            held.append(b"\1" * (int(size) << 20))  # written, not only asked for
            time.sleep(1)  # as a model computes on what it has taken
        choices = [{"index": 0, "delta": {"content": "grown"},
                    "message": {"role": "assistant", "content": "grown"}}]
        answer = json.dumps({"choices": choices,
                             "timings": {"predicted_n": 30, "predicted_ms": 1500.0}})
        if body.get("stream"):
            self.answer("text/event-stream", f"data: {answer}\n\ndata: [DONE]\n\n")
        else:
            self.answer("application/json", answer)


tool_server.serve(sys.argv[1], Answer)
