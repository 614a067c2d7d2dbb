"""A worker for tests that dies of the first question it is asked.

    bomb.py PORT
"""

import http.server
import os
import signal
import sys


class Answer(http.server.BaseHTTPRequestHandler):
    """GET is health; a POST is the end."""

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def do_POST(self):
        print("my last words", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGSEGV)


http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Answer).serve_forever()
