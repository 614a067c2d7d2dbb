"""Models somewhere else: a real llama-server stands for the cloud, and a relay is the worker."""

import http.server
import json
import os
import ssl
import subprocess
import sys
import threading
import unittest
import urllib.error
import urllib.request

from household import BIN, MODELS, Household, free_port, installed, wait_until

sys.dont_write_bytecode = True
ENGINE = installed("LLAMA") / "bin" / "llama-server"
KEY = "sk-only-for-this-test"
COMMANDS = "Minutes of this part:\nturn on the kitchen light\nopen the garage door"
MINUTES = "- kitchen light: on\n- garage door: open\n"


class Cloud(Household):
    def setUp(self):
        super().setUp()
        self.cloud_port = free_port()
        self.cloud = subprocess.Popen(
            [ENGINE, "-m", MODELS / "micro-minutes.gguf", "--port", str(self.cloud_port), "-c",
             "1024", "--alias", "large", "--api-key", KEY],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(self.cloud.wait)
        self.addCleanup(self.cloud.kill)
        wait_until(lambda: self.up(f"http://127.0.0.1:{self.cloud_port}/health"), 30, "the cloud")
        self.key_file = self.dir / "key"
        self.key_file.write_text(KEY + "\n")
        self.key_file.chmod(0o600)
        self.spent = self.dir / "spent"

    @staticmethod
    def up(url):
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                return answer.status == 200
        except OSError:
            return False

    def household(self, models, **more):
        folder = self.dir / "cfg" / "gantry"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.yaml").write_text(json.dumps({"models": models, **more}))

    def relay(self, *more, url=None, key=None):
        url = url or f"http://127.0.0.1:{self.cloud_port}/v1"
        words = ["gantry-relay", "--listen", "127.0.0.1:${PORT}", "--url", url, "--model", "large",
                 *(key or ["--key-file", self.key_file]), *more]
        return {"kind": "language", "cmd": " ".join(map(str, words)), "memory": "64MiB"}

    def configure(self, *more, url=None, key=None):
        self.household({"far": self.relay(*more, url=url, key=key)})

    def test_answers_like_a_model_that_is_here(self):
        self.configure("--spend-max", 1, "--price-in", 1, "--price-out", 2, "--ledger", self.spent)
        self.assertEqual(self.ok("run", "far", "-p", COMMANDS), MINUTES)
        near = self.ok("run", "micro-minutes", "-p", COMMANDS)
        self.assertEqual(near, MINUTES)
        job = self.ok("submit", "generate", "-m", "far", "-p", COMMANDS).strip()
        self.assertEqual(self.wait_for_job(job)["state"], "done")
        micros = int(self.spent.read_text().split()[1])
        self.assertGreater(micros, 0)
        self.assertLess(micros, 2000, "what was used, not the worst case")

    def test_the_key_comes_from_the_environment_and_goes_nowhere_else(self):
        self.env["FAR_API_KEY"] = KEY
        self.configure(key=["--key-env", "FAR_API_KEY"])
        self.assertEqual(self.ok("run", "far", "-p", COMMANDS), MINUTES)
        self.gantry("stop")
        for path in self.state.rglob("*"):
            if path.is_file():
                self.assertNotIn(KEY.encode(), path.read_bytes(), path)

    def test_a_wrong_key_is_the_endpoints_own_refusal(self):
        self.key_file.write_text("wrong\n")
        self.configure()
        done = self.gantry("run", "far", "-p", COMMANDS)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("Invalid API Key", done.stderr)

    def test_the_cap_holds(self):
        self.configure("--spend-max", 0.000001, "--price-in", 1, "--price-out", 2, "--ledger",
                       self.spent)
        done = self.gantry("run", "far", "-p", COMMANDS)
        self.assertEqual(done.returncode, 1)
        self.assertIn("of today's $0.00 are spent", done.stderr)

    def test_a_cloud_that_is_gone_is_named(self):
        self.configure()
        self.assertEqual(self.ok("run", "far", "-p", COMMANDS), MINUTES)
        self.cloud.kill()
        self.cloud.wait()
        done = self.gantry("run", "far", "-p", COMMANDS)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("cannot be reached", done.stderr)
        self.assertEqual(self.ok("run", "micro-minutes", "-p", COMMANDS), MINUTES)

    def chat(self, model, **more):
        """The daemon's answer: status, headers, body."""
        body = {"model": model, "messages": [{"role": "user", "content": COMMANDS}],
                "temperature": 0, **more}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/v1/chat/completions",
                                         json.dumps(body).encode(),
                                         {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=60) as got:
                return got.status, got.headers, json.load(got)
        except urllib.error.HTTPError as error:
            return error.code, error.headers, json.load(error)

    def test_what_does_not_fit_here_is_answered_there(self):
        """The last step of the chain, for what is not private and not denied."""
        model = {"kind": "language", "cmd": "serve-it --port ${PORT}", "memory": "8GiB",
                 "cloud": "far"}
        near = {"kind": "language", "file": str(MODELS / "micro-minutes.gguf"), "cloud": ["far"]}
        self.household({"big": model, "secret": model, "near": near, "far": self.relay()},
                       ram_budget="600MiB", cloud_deny=["secret"])
        self.start("--listen", f"127.0.0.1:{self.port}", program="gantryd")
        wait_until(lambda: self.up(f"http://127.0.0.1:{self.port}/health"), 20, "the daemon")
        status, headers, answer = self.chat("big")
        self.assertEqual((status, answer["choices"][0]["message"]["content"] + "\n"),
                         (200, MINUTES))
        self.assertEqual(headers["X-Gantry-Answered-By"],
                         f"cloud; host=127.0.0.1:{self.cloud_port}; model=large")
        self.assertIn("big needs", headers["X-Gantry-Why"])
        status, headers, answer = self.chat("near")
        self.assertEqual((status, headers["X-Gantry-Answered-By"]), (200, "cpu; model=near"))
        self.assertIsNone(headers["X-Gantry-Why"])
        for name, more, says in (("big", {"private": True}, "a private request does not go to far"),
                                 ("secret", {}, "do not leave this machine"),
                                 ("far", {"private": True}, "a private request")):
            status, headers, answer = self.chat(name, **more)
            self.assertGreaterEqual(status, 400)
            self.assertIn(says, answer["error"]["message"])
        sent = self.wait_for_job(self.ok("submit", "generate", "-m", "big", "-p", COMMANDS).strip())
        self.assertEqual((sent["state"], sent["device"]), ("done", "cloud"))
        self.assertEqual(sent["answered_by"][0]["model"], "far")
        self.assertIn("big needs", sent["answered_by"][0]["why"])
        kept = self.wait_for_job(self.ok("submit", "generate", "--private", "-m", "big", "-p",
                                         COMMANDS).strip())
        self.assertEqual((kept["state"], kept["private"]), ("failed", True))
        self.assertEqual(kept["answered_by"], [])
        self.assertEqual(self.ok("run", "--private", "near", "-p", COMMANDS), MINUTES)
        # A cloud that fails again and again is left alone, and both reasons are told.
        self.cloud.kill()
        self.cloud.wait()
        for _ in range(3):
            self.assertGreaterEqual(self.chat("big")[0], 500)
        status, headers, answer = self.chat("big")
        self.assertIn("big needs", answer["error"]["message"])
        self.assertIn("far rests", answer["error"]["message"])

    def test_https_is_trusted_by_its_certificate_alone(self):
        cert, key = self.dir / "cert.pem", self.dir / "tls.key"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                        "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
                        "-keyout", key, "-out", cert], check=True, capture_output=True)

        class Answer(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_POST(self):
                self.rfile.read(int(self.headers["Content-Length"]))
                body = json.dumps({"key": self.headers["Authorization"]}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        url = f"https://localhost:{server.server_port}/v1"
        for trust, status in (["--ca-file", cert], 200), ([], 502):
            port = free_port()
            relay = self.start("--listen", f"127.0.0.1:{port}", "--url", url, "--model", "m",
                               "--key-file", self.key_file, *trust, program="gantry-relay")
            wait_until(lambda p=port: self.up(f"http://127.0.0.1:{p}/health"), 10, "the relay")
            request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/chat/completions",
                                             b"{}", {"Content-Type": "application/json"})
            try:
                with urllib.request.urlopen(request, timeout=20) as got:
                    seen, body = got.status, got.read()
            except urllib.error.HTTPError as error:
                seen, body = error.code, error.read()
            self.assertEqual(seen, status, body)
            self.assertIn(b"Bearer " + KEY.encode() if status == 200 else b"not who it says", body)
            relay.terminate()
            self.assertEqual(relay.wait(timeout=10), 0)

    def test_wrong_flags_are_refused(self):
        loose = self.dir / "loose"
        loose.write_text(KEY)
        loose.chmod(0o644)
        base = ["--listen", "127.0.0.1:0", "--model", "m"]
        for words, says in (
                (["--url", "http://api.example.com/v1"], "in clear"),
                (["--url", "https://x/v1", "--key-file", loose], "chmod 600"),
                (["--url", "https://x/v1", "--spend-max", "1"], "needs prices"),
                (["--url", "https://x/v1", "--key-env", "NOT_SET"], "is not set")):
            done = subprocess.run([BIN / "gantry-relay", *base, *map(str, words)], text=True,
                                  capture_output=True, env=os.environ, timeout=20, check=False)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn(says, done.stderr)


if __name__ == "__main__":
    unittest.main()
