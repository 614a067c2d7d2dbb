"""The NPU worker as its users have it: one command, real engines, the shipped models."""

import concurrent.futures
import json
import math
import os
import re
import signal
import socket
import subprocess
import sys
import unittest
import urllib.error
import urllib.request

from household import MODELS, ROOT, Household, free_port, wait_until

sys.path.insert(0, str(ROOT / "models" / "recipes"))
import paraphrases  # noqa: E402

ENGINES = re.search(r"GANTRY_LLAMA_PREFIX \[==\[(.*)\]==\]",
                    (ROOT / ".cache" / "deps.cmake").read_text()).group(1) + "/bin"
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


class Npu(Household):
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
