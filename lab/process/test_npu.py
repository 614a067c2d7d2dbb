"""The NPU worker as its users have it: one command, real engines, the shipped models."""

import concurrent.futures
import json
import math
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import unittest
import urllib.error
import urllib.request

from household import MODELS, ROOT, Household, free_port, installed, wait_until

sys.path.insert(0, str(ROOT / "models" / "recipes"))
import paraphrases  # noqa: E402

ENGINES = installed("LLAMA") / "bin"
TEXTS = ["open the door", "Please switch the lights off, it is late.", "call", "Zebra 42!",
         "the meeting is at noon and everybody has to bring the report with them " * 3]


def dot(a, b):
    return sum(x * y for x, y in zip(a, b))


def words(text):
    """A text as its bag of words, of length one."""
    bag = {}
    for word in re.findall(r"[a-z0-9]+", text.lower()):
        bag[word] = bag.get(word, 0) + 1
    length = math.sqrt(sum(n * n for n in bag.values())) or 1
    return {word: n / length for word, n in bag.items()}


class Worker(Household):
    """A worker of its own for each test, and how to ask it."""

    def tearDown(self):
        for process in self.background:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.wait(20)
        super().tearDown()

    def worker(self, *args):
        self.npu_port = free_port()
        process = self.start("npu-worker", "--port", self.npu_port, "--cache-dir",
                             self.dir / "blobs", *args)

        def answers():
            self.assertIsNone(process.poll(), process.poll() is not None and process.stderr.read())
            try:
                return self.get("/health")
            except OSError:
                return None
        return process, wait_until(answers, 60, "the worker's start")

    def ask(self, path, body=None, port=None):
        """Status and JSON."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{port or self.npu_port}{path}", data)
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def get(self, path):
        return self.ask(path)[1]

    def embed(self, texts):
        status, body = self.ask("/embeddings", {"texts": texts, "model": "micro-embed-en"})
        self.assertEqual(status, 200, body)
        return body["embeddings"]

    def wrong(self, status, path, body, says):
        got, answer = self.ask(path, body)
        self.assertEqual(got, status, answer)
        self.assertIn(says, answer["error"]["message"])

    def reference(self, texts):
        """llama-server's own embeddings of the same file."""
        port = free_port()
        server = subprocess.Popen(
            [f"{ENGINES}/llama-server", "-m", MODELS / "micro-embed-en.gguf", "--embeddings",
             "--port", str(port), "-c", "128", "-b", "128", "-ub", "128", "-np", "1", "-t", "1",
             "--no-ui"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=self.env)
        try:
            def ready():
                try:
                    return self.ask("/health", port=port)[0] == 200
                except OSError:
                    return False
            wait_until(ready, 60, "llama-server")
            status, body = self.ask("/v1/embeddings", {"input": texts}, port)
            self.assertEqual(status, 200, body)
            return [row["embedding"] for row in body["data"]]
        finally:
            server.terminate()
            server.wait()


class Npu(Worker):
    def test_without_arguments_it_serves_the_shipped_models(self):
        process, health = self.worker()
        self.assertEqual(health["status"], "ok")
        self.assertEqual([m["name"] for m in health["models"]],
                         ["micro-embed-en", "micro-minutes"])
        if [d["name"] for d in health["devices"]] == ["CPU"]:
            self.assertEqual(health["note"], "no NPU: OpenVINO's CPU device answers")
        mine = self.embed(TEXTS)
        for ours, theirs in zip(mine, self.reference(TEXTS)):
            self.assertLess(max(abs(a - b) for a, b in zip(ours, theirs)), 1e-3)

        # Eight at once get what each gets alone.
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            for at_once in pool.map(self.embed, [TEXTS] * 8):
                for a, b in zip(at_once, mine):
                    self.assertLess(max(abs(x - y) for x, y in zip(a, b)), 1e-5)

        self.inference_and_its_kill()
        self.bad_input()

        # Somebody else is there already.
        self.refused(4, "npu-worker", "--port", self.npu_port, says=str(self.npu_port))
        self.refused(2, "npu-worker", "--listen", "0.0.0.0", "--port", free_port(),
                     says="without an API key")
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(20), 0, process.stderr.read())
        wait_until(lambda: not self.processes(), 5, "the end of its children")

    def inference_and_its_kill(self):
        asked = {"prompt": "Hello.", "model": "micro-minutes", "max_tokens": 12, "temperature": 0}
        status, first = self.ask("/inference", asked)
        self.assertEqual(status, 200, first)
        self.assertTrue(first["text"])
        self.assertEqual((first["model"], first["device"]), ("micro-minutes", "CPU"))
        self.assertEqual(len(self.pids("llama-server")), 1)
        os.kill(self.pids("llama-server")[0], signal.SIGKILL)
        self.assertEqual(self.ask("/inference", asked)[1]["text"], first["text"])
        data = json.dumps(dict(asked, stream=True)).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.npu_port}/inference", data)
        with urllib.request.urlopen(request, timeout=60) as answer:
            events = [json.loads(line[6:]) for line in answer.read().decode().splitlines() if line]
        self.assertEqual("".join(e.get("text", "") for e in events), first["text"])
        self.assertTrue(events[-1]["done"])
        self.wrong(413, "/inference", dict(asked, prompt="hello " * 2000), "takes at most")
        self.wrong(400, "/inference", dict(asked, model="micro-embed-en"), "no language model")

    def bad_input(self):
        self.wrong(404, "/embeddings", {"texts": ["a"], "model": "bge-small-en"},
                   "installed: micro-embed-en, micro-minutes")
        self.wrong(413, "/embeddings", {"texts": ["x"] * 10_000}, "at most 2048")
        self.wrong(413, "/embeddings", {"texts": ["x" * 1_000_000]}, "at most 262144")
        self.wrong(400, "/embeddings", {"texts": ["a", ""]}, "texts[1] is empty")
        self.wrong(400, "/embeddings", {"texts": []}, "texts must be")
        self.wrong(400, "/embeddings", b'{"texts": ["\xff"]}', "")
        self.wrong(400, "/v1/embeddings", {"input": [[1, 2]]}, "input[0] must be a text")
        status, body = self.ask("/embeddings", {"texts": ["word " * 1000, "short"]})
        self.assertEqual((status, body["truncated"]), (200, [0]))
        self.assertEqual(len(self.embed(["x " * 5] * 2048)), 2048)
        self.assertEqual(self.get("/health")["status"], "ok")

    def test_related_sentences_rank_above_a_bag_of_words(self):
        self.worker("micro-embed-en")
        import random
        rng = random.Random("npu ranking")
        meanings = []
        while len(meanings) < 150:
            meaning = paraphrases.random_meaning(rng)
            if meaning not in meanings:
                meanings.append(meaning)
        sentences = [paraphrases.grammar.spoken(*meaning) for meaning in meanings]
        queries = [paraphrases.text_for(rng, meaning, held=True) for meaning in meanings]
        documents, asked = self.embed(sentences), self.embed(queries)
        ours = sum(max(range(150), key=lambda d: dot(query, documents[d])) == i
                   for i, query in enumerate(asked))
        bags = [words(text) for text in sentences]

        def alike(query, bag):
            return sum(n * bag.get(word, 0) for word, n in words(query).items())
        bag = sum(max(range(150), key=lambda d: alike(query, bags[d])) == i
                  for i, query in enumerate(queries))
        print(f"nearest of 150: embeddings {ours}, bag of words {bag}", file=sys.stderr)
        self.assertGreater(ours, bag + 10)

    def test_a_folder_of_openvino_graphs(self):
        folder = ROOT / "npu" / "testdata" / "tiny-bert"
        self.worker(f"tiny={folder}", "--device", "cpu")
        cases = json.loads((folder / "pytorch.json").read_text())["cases"]
        status, body = self.ask("/v1/embeddings", {"model": "tiny",
                                                   "input": [case["text"] for case in cases]})
        self.assertEqual(status, 200, body)
        for row, case in zip(body["data"], cases):
            self.assertLess(max(abs(a - b) for a, b in zip(row["embedding"], case["embedding"])),
                            1e-3)
        self.assertEqual(body["usage"]["prompt_tokens"], sum(case["tokens"] for case in cases))

    def heard(self, path, data, kind):
        request = urllib.request.Request(f"http://127.0.0.1:{self.npu_port}{path}", data,
                                         {"Content-Type": kind})
        with urllib.request.urlopen(request, timeout=120) as answer:
            return answer.read().decode()

    @staticmethod
    def form(**fields):
        body = b""
        for name, value in fields.items():
            body += (f'--XX\r\nContent-Disposition: form-data; name="{name}"'
                     f'{"; filename=a.wav" if name == "file" else ""}\r\n\r\n').encode()
            body += (value if isinstance(value, bytes) else value.encode()) + b"\r\n"
        return body + b"--XX--\r\n"

    @unittest.skipUnless(shutil.which("espeak-ng"), "espeak-ng is not installed")
    def test_it_hears_what_is_said(self):
        wav = self.dir / "said.wav"
        subprocess.run(["espeak-ng", "-v", "en-us", "-w", wav, "turn on the kitchen light"],
                       check=True)
        _, health = self.worker(f"ear={MODELS}/micro-asr.bin", "--device", "cpu")
        self.assertEqual([(m["name"], m["kind"], m["loaded"]) for m in health["models"]],
                         [("ear", "speech", False)])
        folder = self.dir / "cfg" / "gantry"
        folder.mkdir(parents=True)
        (folder / "config.yaml").write_text(json.dumps({"models": {
            "ear": {"file": f"{MODELS}/micro-asr.bin", "encoder": "cpu"}}}))
        want = json.loads(self.ok("transcribe", wav, "-m", "ear", "--format", "json"))
        plain = json.loads(self.heard("/transcribe", wav.read_bytes(), "audio/wav"))
        self.assertEqual(plain["model"], "ear")
        self.assertEqual(plain["device"], "CPU")
        self.assertEqual(plain["text"], " ".join(s["text"] for s in want["segments"]))
        self.assertEqual(len(plain["segments"]), len(want["segments"]))
        kind = "multipart/form-data; boundary=XX"
        path = "/v1/audio/transcriptions"
        said = plain["text"]
        for form, says in ((self.form(file=wav.read_bytes()), said),
                           (self.form(file=wav.read_bytes(), model="ear",
                                      response_format="verbose_json"), '"segments"'),
                           (self.form(file=wav.read_bytes(), response_format="text"), said),
                           (self.form(file=wav.read_bytes(), response_format="srt"), "-->"),
                           (self.form(file=wav.read_bytes(), response_format="vtt"), "WEBVTT")):
            self.assertIn(says, self.heard(path, form, kind))
        model = self.get("/health")["models"][0]
        self.assertEqual((model["loaded"], model["encoder"], model["recordings"]),
                         (True, "CPU", 6))  # by OpenVINO
        os.kill(model["pid"], signal.SIGKILL)
        again = json.loads(self.heard("/transcribe", wav.read_bytes(), "audio/wav"))
        self.assertEqual(again["text"], said)
        self.assertEqual(self.get("/health")["models"][0]["restarts"], 1)
        with urllib.request.urlopen(f"http://127.0.0.1:{self.npu_port}/metrics") as answer:
            self.assertIn('gantry_npu_recordings_total{model="ear",device="CPU"} 7',
                          answer.read().decode())
        self.wrong(404, "/transcribe?model=whisper-1", wav.read_bytes(), "installed: ear")
        self.wrong(400, "/transcribe", b"#EXTM3U\nfile:///etc/passwd\n", "")
        self.wrong(400, "/embeddings", {"texts": ["a"], "model": "ear"}, "no embedding model")
        self.assertFalse(list((self.dir / "run").rglob("*.upload")))

    def test_under_the_daemon_it_is_planned_leased_and_unloaded(self):
        folder = self.dir / "cfg" / "gantry"
        folder.mkdir(parents=True)
        (folder / "config.yaml").write_text(json.dumps({"models": {
            "near": {"engine": "openvino", "file": str(MODELS / "micro-embed-en.gguf"),
                     "options": {"device": "npu,cpu"}},
            "tiny": {"engine": "openvino", "file": str(ROOT / "npu" / "testdata" / "tiny-bert")}}}))
        self.start("--listen", f"127.0.0.1:{self.port}", program="gantryd")

        def up():
            try:
                return self.ask("/health", port=self.port)[0] == 200
            except OSError:
                return False
        wait_until(up, 20, "the daemon")
        status, body = self.ask("/v1/embeddings", {"model": "near", "input": TEXTS}, self.port)
        self.assertEqual(status, 200, body)
        self.assertIn("device", body)
        for row, theirs in zip(body["data"], self.reference(TEXTS)):
            self.assertLess(max(abs(a - b) for a, b in zip(row["embedding"], theirs)), 1e-3)
        status, body = self.ask("/v1/embeddings", {"model": "tiny", "input": "hello"}, self.port)
        self.assertEqual((status, body["model"]), (200, "tiny"), body)
        running = {row["model"]: row for row in json.loads(self.ok("ps", "--json"))["running"]}
        for name in "near", "tiny":
            self.assertEqual(running[name]["state"], "ready")
            self.assertGreater(running[name]["measured_bytes"], 1 << 20)
            self.assertGreater(running[name]["predicted_bytes"], running[name]["measured_bytes"])
            leases = json.loads(self.ok("leases", "--json"))["data"]
            self.assertEqual([lease["bytes"] for lease in leases if lease["holder"] == name],
                             [running[name]["predicted_bytes"]])
        status, body = self.ask("/v1/chat/completions",
                                {"model": "near", "messages": [{"role": "user", "content": "x"}]},
                                self.port)
        self.assertEqual(status, 400, body)
        os.kill(running["near"]["pid"], signal.SIGKILL)  # it is replaced, if not at once
        wait_until(lambda: self.ask("/v1/embeddings", {"model": "near", "input": "hello"},
                                    self.port)[0] == 200, 20, "another worker")
        self.assertEqual(self.ask("/models/unload", {"model": "near"}, self.port)[0], 200)
        self.assertEqual(len(self.pids("gantry-npu")), 1, "tiny's alone")

    def configured(self, **keys):
        folder = self.dir / "cfg" / "gantry"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.yaml").write_text(json.dumps({"npu_worker": keys}))

    def up(self, port):
        try:
            return self.ask("/health", port=port)[0] == 200
        except OSError:
            return False

    def row(self):
        rows = json.loads(self.ok("ps", "--json"))["running"]
        return next((row for row in rows if row["model"] == "npu-worker"), None)

    def row_that_is(self, state):
        row = self.row()  # once: it may change, or go, at any moment
        return row if row and row["state"] == state else None

    def test_the_daemon_keeps_one_running(self):
        port = free_port()
        self.configured(port=port, device="cpu", models=["micro-embed-en"])
        daemon = self.start("--listen", f"127.0.0.1:{self.port}", program="gantryd")
        wait_until(lambda: self.up(port), 60, "the worker that the daemon keeps")
        status, body = self.ask("/embeddings", {"texts": ["open the door"]}, port)
        self.assertEqual((status, body["model"]), (200, "micro-embed-en"), body)
        row = wait_until(lambda: self.row_that_is("ready"), 20, "ready")
        self.assertGreater(row["measured_bytes"], 1 << 20)
        self.assertGreater(row["predicted_bytes"], row["measured_bytes"])
        leases = json.loads(self.ok("leases", "--json"))["data"]
        self.assertEqual([lease["bytes"] for lease in leases if lease["holder"] == "npu-worker"],
                         [row["predicted_bytes"]])
        self.assertIn("npu-worker", self.ok("ps"))
        self.assertIn(f"listens on http://127.0.0.1:{port}", self.ok("logs", "npu-worker"))
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics") as answer:
            self.assertIn('model="npu-worker"', answer.read().decode())
        self.assertNotEqual(self.gantry("unload", "npu-worker").returncode, 0)
        os.kill(row["pid"], signal.SIGKILL)
        wait_until(lambda: (now := self.row_that_is("ready")) and now["pid"] != row["pid"]
                   and self.up(port), 60, "another one")
        daemon.send_signal(signal.SIGTERM)
        self.assertEqual(daemon.wait(30), 0)
        self.assertFalse(self.pids("gantry-npu"))
        self.assertFalse(self.up(port))

    def test_a_taken_port_is_told_and_tried_again(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            self.configured(port=port, device="cpu", models=["micro-embed-en"])
            self.start("--listen", f"127.0.0.1:{self.port}", program="gantryd")
            wait_until(lambda: self.up(self.port), 20, "the daemon")
            row = wait_until(lambda: self.row_that_is("resting"), 20, "its trouble")
            self.assertIn(f"{port} is taken", row["waits"])
            self.assertIn("is taken", self.ok("ps"))
            self.assertFalse(self.pids("gantry-npu"))
        wait_until(lambda: self.up(port), 60, "the worker, once the port was free")

    def test_what_is_wrong_with_its_configuration_has_a_place(self):
        for keys, says in (({"port": 0}, ":1:25"), ({"prot": 1}, "did you mean"),
                           ({"models": ["nobody"]}, "no model \"nobody\""),
                           ({"listen": "0.0.0.0"}, "key_file")):
            self.configured(**keys)
            check = ("config", "check", self.dir / "cfg" / "gantry" / "config.yaml")
            done = self.gantry(*check) if "models" not in keys else self.gantry("plan", "micro-asr")
            self.assertNotEqual(done.returncode, 0, keys)
            self.assertIn(says, done.stdout + done.stderr)
            self.assertIn("config.yaml:1:", done.stdout + done.stderr)

    def test_what_cannot_be_served(self):
        self.refused(1, "npu-worker", "no-such-model", says="no-such-model")
        self.refused(2, "npu-worker", "--device", "tpu", says="tpu")
        if not os.path.exists("/dev/accel"):
            self.refused(4, "npu-worker", "micro-embed-en", "--device", "npu", says="no device")
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            self.refused(4, "npu-worker", "micro-embed-en", "--port", taken.getsockname()[1],
                         says="is taken")


if __name__ == "__main__":
    unittest.main()
