"""An external engine that is slow by design: slow_audio_server.py PORT FACTOR

Hears the word "slowly" in every piece of sound, FACTOR seconds for each second of it.
"""

import io
import json
import sys
import time
import wave
from http.server import BaseHTTPRequestHandler, HTTPServer


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def reply(self, page):
        body = json.dumps(page).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.reply({})

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with wave.open(io.BytesIO(body[body.index(b"RIFF"):])) as sound:
            seconds = sound.getnframes() / sound.getframerate()
        time.sleep(seconds * float(sys.argv[2]))
        self.reply({"text": "slowly",
                    "segments": [{"start": 0, "end": seconds, "text": "slowly"}]})


HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
