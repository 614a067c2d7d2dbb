"""An external engine that breaks its word: bad_audio_server.py PORT HOW

garbage: a page of HTML for every request. hang: no answer ever. die: ends at its first request.
dies-later: passes its test, and ends at the second request. ends: before it listens.
"""

import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer


class Handler(BaseHTTPRequestHandler):
    asked = 0

    def log_message(self, *_):
        pass

    def reply(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.reply(b"{}")

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        Handler.asked += 1
        how = sys.argv[2]
        if how == "hang":
            time.sleep(600)
        if how == "die" or (how == "dies-later" and Handler.asked > 1):
            os._exit(3)
        if how == "garbage":
            return self.reply(b"<html><body>welcome</body></html>")
        self.reply(json.dumps({"text": "", "segments": []}).encode())


if sys.argv[2] == "ends":
    sys.exit("no such weights")
HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
