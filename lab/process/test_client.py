"""The client library as programs of others use it: real doors, each killed in turn."""

import json
import os
import pathlib
import re
import signal
import subprocess
import unittest
import urllib.request

from household import BIN, MODELS, ROOT, Household, free_port, installed, wait_until

ENGINE = installed("LLAMA") / "bin" / "llama-server"
KEY = "sk-only-for-this-test"
COMMANDS = "Minutes of this part:\\nturn on the kitchen light\\nopen the garage door"
MINUTES = "- kitchen light: on/- garage door: open"


def up(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


class Client(Household):
    def setUp(self):
        super().setUp()
        self.cloud_port, self.npu_port = free_port(), free_port()
        self.cloud = subprocess.Popen(
            [ENGINE, "-m", MODELS / "micro-minutes.gguf", "--port", str(self.cloud_port), "-c",
             "1024", "--alias", "large", "--api-key", KEY],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(self.cloud.wait)
        self.addCleanup(self.cloud.kill)
        self.npu = self.start("npu-worker", "--port", self.npu_port, "--cache-dir",
                              self.dir / "blobs")
        self.daemon = self.start("--listen", f"127.0.0.1:{self.port}", program="gantryd")
        for port in self.cloud_port, self.npu_port, self.port:
            wait_until(lambda p=port: up(p), 60, f"the door at {port}")
        self.env["CLOUD_KEY"] = KEY
        self.options = {
            "npu": f"127.0.0.1:{self.npu_port}", "local": f"127.0.0.1:{self.port}",
            "cloud": f"http://127.0.0.1:{self.cloud_port}/v1", "cloud_key_env": "CLOUD_KEY",
            "cloud_models": {"micro-minutes": "large"}, "cloud_deny": ["diary"], "spend_max": 1,
            "price_in": 1, "price_out": 1, "ledger": str(self.dir / "spent")}

    def tearDown(self):
        for process in self.background:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.wait(20)
        super().tearDown()

    def ask_all(self, *lines):
        """One client's answers: (status, result, why) or (code, error)."""
        done = subprocess.run([BIN / "ask_cpp", json.dumps(self.options)], text=True, timeout=120,
                              input="\n".join(lines), capture_output=True, env=self.env,
                              check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return [tuple(line.split("|")) for line in done.stdout.splitlines()]

    def test_each_door_killed_in_turn(self):
        infer, private = f"infer micro-minutes {COMMANDS}", f"private micro-minutes {COMMANDS}"
        embed = "embed micro-embed-en open the door"
        talk = self.speech()
        spoken, embedded, heard, said = self.ask_all(
            infer, embed, f"transcribe micro-asr {talk}", "speak espeak-ng Hello to everybody.")
        self.assertEqual(spoken, ("ok npu CPU", MINUTES, ""))
        self.assertEqual((embedded[0], embedded[2]), ("ok npu CPU", ""))
        self.assertRegex(embedded[1], r"^2 of \d+$")
        self.assertEqual(heard[0].strip(), "ok local cpu")
        self.assertGreater(len(heard[1].split()), 5)
        self.assertIn("npu: it takes no recordings", heard[2])
        if said[0].strip() == "ok local":  # where espeak-ng is installed
            self.assertEqual(said[1], "RIFF long")

        self.npu.kill()
        self.npu.wait()
        spoken, embedded = self.ask_all(infer, embed)
        self.assertEqual(spoken[:2], ("ok local cpu", MINUTES))
        self.assertIn("npu: ", spoken[2])
        self.assertEqual(embedded[0], "ok local cpu")

        self.daemon.kill()
        self.daemon.wait()
        spoken, kept, denied, embedded = self.ask_all(
            infer, private, f"infer diary {COMMANDS}", embed)
        self.assertEqual(spoken[:2], ("ok cloud cloud", MINUTES))
        self.assertRegex(spoken[2], "npu: .*; local: ")
        self.assertEqual(kept[0], "permission")
        self.assertIn("cloud: the request is private", kept[1])
        self.assertIn("cloud: diary is denied", denied[1])
        self.assertNotEqual(embedded[0][:2], "ok", "the endpoint has no such model loaded")
        self.assertGreater(int(pathlib.Path(self.options["ledger"]).read_text().split()[1]), 0)

        self.cloud.kill()
        self.cloud.wait()
        answers = self.ask_all(*[infer] * 5)
        for code, error in answers:
            self.assertNotEqual(code[:2], "ok")
            self.assertRegex(error, "npu: .*; local: .*; cloud: ")
        self.assertIn("left alone", answers[4][1])

    def test_from_c(self):
        done = subprocess.run([BIN / "ask_c", json.dumps(self.options), "embed", "micro-embed-en",
                               "open the door", "close the window"], text=True, timeout=60,
                              capture_output=True, env=self.env, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, r"^\nnpu micro-embed-en CPU 2 \d+\n$")
        done = subprocess.run([BIN / "ask_c", json.dumps(dict(self.options, npu="")), "infer",
                               "micro-minutes", COMMANDS.replace("\\n", "\n")], text=True,
                              timeout=60, capture_output=True, env=self.env, check=False)
        self.assertIn("local micro-minutes cpu", done.stdout, done.stderr)
        self.assertIn("- garage door: open", done.stdout)
        wrong = subprocess.run([BIN / "ask_c", '{"npu_ms": "soon"}', "infer", "m", "x"], text=True,
                               timeout=60, capture_output=True, env=self.env, check=False)
        self.assertEqual(wrong.returncode, 1)
        self.assertIn("usage: npu_ms must be milliseconds", wrong.stderr)

    def test_only_its_own_functions_are_seen(self):
        library = BIN.parent / "lib" / "libgantry-client.so"
        names = subprocess.run(["nm", "-D", "--defined-only", library], text=True, check=True,
                               capture_output=True).stdout.split("\n")
        seen = {line.split()[2] for line in names if line}
        declared = set(re.findall(r"\b(gantry_\w+)\(", (ROOT / "client" / "gantry_client.h")
                                  .read_text()))
        self.assertEqual(seen & {n for n in seen if n.startswith("gantry_")}, declared)
        foreign = {n for n in seen if not n.startswith(("gantry_", "_Z", "_", "typeinfo"))}
        self.assertEqual(foreign, set(), "others' symbols leak")


if __name__ == "__main__":
    os.umask(0o077)
    unittest.main()
