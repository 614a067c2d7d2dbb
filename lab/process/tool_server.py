"""What the workers of tests have in common: a quiet server on one port of this machine."""

import http.server


class Answer(http.server.BaseHTTPRequestHandler):
    """GET is health; what a POST does is each worker's own."""

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.answer("application/json", "{}")

    def body(self):
        return self.rfile.read(int(self.headers["Content-Length"]))

    def answer(self, kind, text):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())


def serve(port, handler):
    http.server.ThreadingHTTPServer(("127.0.0.1", int(port)), handler).serve_forever()
