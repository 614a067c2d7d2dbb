"""Stock programs of llama.cpp, and our speech worker, with the plugin by GGML_BACKEND_PATH.

Their answers at temperature 0 are those of the same program without it. How requests meet in a
batch depends on time, and a row's bits may depend on the batch it is in; so requests in parallel
are compared with what each gets alone, as tokens, and only single requests bit by bit.
"""

import concurrent.futures
import json
import os
import shutil
import subprocess
import sys
import time
import unittest
import urllib.error
import urllib.request

import streams
from streams import BIN, ENGINE, ROOT, StreamTest

sys.path.insert(0, str(ROOT / "lab" / "process"))
from household import free_port, make_meeting, wait_until  # noqa: E402

COMMON = ["-t", "1", "-fa", "off", "-nr", "--fit", "off", "-c", "2048", "--no-warmup"]
ON_PLUGIN = ["-ngl", "99", "-dev", "Gantry0"]
LOOKUP = ["--spec-type", "ngram-simple", "--spec-ngram-simple-size-n", "2",
          "--spec-ngram-simple-size-m", "8"]


def prompt_tokens(seed, count=24):
    """Tokens past the special ones of a synthetic vocabulary."""
    out, state = [], seed * 7919 + 1
    for _ in range(count):
        state = (state * 1664525 + 1013904223) % (1 << 32)
        out.append(300 + (state >> 8) % 1500)
    return out


class Server:
    """A llama-server of its own; plugin: settings, None: without it."""

    def __init__(self, model, plugin=None, more=(), log=None, env=None):
        self.port = free_port()
        where = ON_PLUGIN if plugin is not None else ["-ngl", "0", "-dev", "none"]
        command = [ENGINE / "bin" / "llama-server", "-m", model, "--port", str(self.port),
                   "--no-ui", *COMMON, *where, *more]
        self.log = open(log, "w+", errors="replace")
        self.process = subprocess.Popen(
            [str(word) for word in command], stdout=self.log, stderr=self.log,
            stdin=subprocess.DEVNULL, env=streams.environment(plugin) | (env or {}))
        try:
            wait_until(self.healthy, 60, "llama-server's health")
        except AssertionError as error:
            self.stop()
            raise AssertionError(f"{error}\n{self.text()[-3000:]}") from None

    def healthy(self):
        if self.process.poll() is not None:
            raise AssertionError(f"llama-server ended with {self.process.returncode}")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=2):
                return True
        except OSError:
            return False

    def ask(self, tokens, steps=32, **more):
        body = {"prompt": tokens, "n_predict": steps, "temperature": 0, "return_tokens": True,
                "cache_prompt": False, "ignore_eos": True} | more
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/completion",
                                         json.dumps(body).encode(),
                                         {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.load(answer)

    def text(self):
        self.log.flush()
        self.log.seek(0)
        return self.log.read()

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        return self.process.returncode


class ServerTest(StreamTest):
    def serve(self, model, plugin=None, more=(), env=None):
        server = Server(model, plugin, more, self.new_path(".log"), env)
        self.addCleanup(server.log.close)
        self.addCleanup(server.stop)
        return server

    def answers(self, server, prompts, **more):
        """One by one: the tokens, and the likeliest tokens' logarithms to the last digit."""
        return [self.essence(server.ask(prompt, **more)) for prompt in prompts]

    @staticmethod
    def essence(answer):
        chances = [(step["id"], step["logprob"], [(top["id"], top["logprob"])
                                                  for top in step["top_logprobs"]])
                   for step in answer.get("completion_probabilities", [])]
        return answer["tokens"], chances


class LlamaServer(ServerTest):
    PROMPTS = [prompt_tokens(seed) for seed in range(6)]

    def test_one_by_one(self):
        for name in ("llama", "qwen3moe"):
            model = self.model(name)
            plain = self.answers(self.serve(model), self.PROMPTS, n_probs=3)
            server = self.serve(model, {"RESIDENT": 1})
            self.assertEqual(plain, self.answers(server, self.PROMPTS, n_probs=3), name)
            server.stop()

    def test_parallel(self):
        model = self.model("llama")
        parallel = ["-np", "4"]
        plain = self.answers(self.serve(model, more=parallel), self.PROMPTS)
        server = self.serve(model, {"RESIDENT": 1}, parallel)
        for _ in range(3):
            with concurrent.futures.ThreadPoolExecutor(4) as pool:
                got = list(pool.map(lambda prompt: self.essence(server.ask(prompt)), self.PROMPTS))
            self.assertEqual(plain, got)

    @unittest.skipUnless((streams.RPC / "ggml-rpc-server").exists(), "no RPC backend")
    def test_cache_in_host_memory(self):
        """Beside a device of its own memory, with prompts in parallel and their cache."""
        remote = streams.RpcServer()
        self.addCleanup(remote.stop)
        model = self.model("llama")
        prompts = [self.PROMPTS[0] + self.PROMPTS[1][:n] for n in (0, 5, 9)]
        plain = self.answers(self.serve(model, more=["-np", "2"]), prompts, cache_prompt=True)
        server = self.serve(model, {"RESIDENT": 1, "INNER": "RPC0", "KV": "host"},
                            ["-np", "2", "--rpc", remote.address])
        self.assertEqual(plain, self.answers(server, prompts, cache_prompt=True))
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            asked = list(pool.map(lambda prompt: server.ask(prompt, cache_prompt=True), prompts))
        self.assertEqual(plain, [self.essence(answer) for answer in asked])

    def test_prompt_cache_and_shared_slots(self):
        """The same beginning again, from the cache of the server."""
        model = self.model("llama")
        prompts = [self.PROMPTS[0] + self.PROMPTS[1][:n] for n in (0, 5, 9)]
        plain = self.answers(self.serve(model), prompts, cache_prompt=True, n_probs=2)
        server = self.serve(model, {"RESIDENT": 2})
        self.assertEqual(plain, self.answers(server, prompts, cache_prompt=True, n_probs=2))

    def test_lookup(self):
        """N-gram speculation changes the number of passes, not the text."""
        model = self.model("qwen2")
        word = prompt_tokens(3, 6)
        prompts = [word * 6, prompt_tokens(1) * 2, prompt_tokens(4) * 2]
        plain = self.answers(self.serve(model), prompts, steps=64)
        server = self.serve(model, {"RESIDENT": 1}, LOOKUP)
        drafted = 0
        for prompt, (tokens, _) in zip(prompts, plain):
            answer = server.ask(prompt, steps=64)
            self.assertEqual(tokens, answer["tokens"])
            drafted += answer["timings"].get("draft_n", 0)
        self.assertGreater(drafted, 0, "nothing was looked up")

    def test_vision(self):
        """A picture through the stock server, the projector on the plugin's device too."""
        more = ["--mmproj", ROOT / "models" / "micro-vision-mmproj.gguf"]
        model = ROOT / "models" / "micro-vision.gguf"
        pixel = ("iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAEklEQVR4nGP4z8CAFWEXHbQSACj/P8Fu7"
                 "N9hAAAAAElFTkSuQmCC")
        body = {"temperature": 0, "max_tokens": 16, "messages": [{"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": "data:image/png;base64," + pixel}},
            {"type": "text", "text": "read:"}]}]}

        def read(server):
            request = urllib.request.Request(
                f"http://127.0.0.1:{server.port}/v1/chat/completions", json.dumps(body).encode(),
                {"Content-Type": "application/json"})
            with urllib.request.urlopen(request, timeout=120) as answer:
                return json.load(answer)["choices"][0]["message"]
        self.assertEqual(read(self.serve(model, more=more)),
                         read(self.serve(model, {"RESIDENT": 0}, more)))

    def test_embeddings(self):
        model = self.model("bert")
        more = ["--embeddings", "-ub", "512"]

        def embed(server):
            body = json.dumps({"content": self.PROMPTS[0]}).encode()
            request = urllib.request.Request(f"http://127.0.0.1:{server.port}/embeddings", body,
                                             {"Content-Type": "application/json"})
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)
        self.assertEqual(embed(self.serve(model, more=more)),
                         embed(self.serve(model, {"RESIDENT": 1}, more)))

    def test_file_that_shrinks(self):
        """The request that needs the bytes fails with an error; the server lives, and says why."""
        model = self.new_path(".gguf")
        shutil.copyfile(self.model("llama"), model)
        server = self.serve(model, {"RESIDENT": 1, "RING": "2MiB"})
        self.assertEqual(4, len(server.ask(self.PROMPTS[0], steps=4)["tokens"]))
        os.truncate(model, streams.tensors(model)["blk.1.attn_q.weight"][0])
        for prompt in self.PROMPTS[:2]:
            with self.assertRaises(urllib.error.HTTPError) as caught:
                server.ask(prompt, steps=4)
            self.assertEqual(500, caught.exception.code)
            caught.exception.close()
        self.assertTrue(server.healthy())
        told = [line for line in server.text().splitlines() if "gantry: " in line]
        self.assertTrue(any(model.name in line for line in told), server.text()[-3000:])

    def test_summary(self):
        """One line when the model goes, with what was read; none where it is not wanted."""
        for wanted, count in (("1", 1), ("0", 0)):
            server = self.serve(self.model("llama"), {"RESIDENT": 1, "SUMMARY": wanted})
            server.ask(self.PROMPTS[0], steps=4)
            self.assertEqual(0, server.stop(), server.text()[-2000:])
            lines = [line for line in server.text().splitlines() if "gantry: " in line]
            lines = [line for line in lines if "layers streamed" in line]
            self.assertEqual(count, len(lines), server.text()[-3000:])
            if count:
                self.assertIn("5 of 6 layers", lines[0])

    def test_statistics_page(self):
        """Readable by another process while the server runs."""
        page = self.new_path(".stats")
        server = self.serve(self.model("llama"), {"RESIDENT": 1, "STATS": page})
        server.ask(self.PROMPTS[0], steps=4)
        self.assertEqual(b"GANTARS1", page.read_bytes()[:8])
        before = page.read_bytes()
        server.ask(self.PROMPTS[0], steps=4)
        self.assertNotEqual(before, page.read_bytes(), "the page stands still")

    def test_trace(self):
        """Copies and computes as Chrome and Perfetto read them."""
        trace = self.new_path(".json")
        server = self.serve(self.model("llama"), {"RESIDENT": 1, "TRACE": trace})
        server.ask(self.PROMPTS[0], steps=4)
        server.stop()
        found = json.loads(trace.read_text())
        events = found["traceEvents"] if isinstance(found, dict) else found
        spans = [event for event in events if event.get("ph") == "X"]
        self.assertGreater(len({(span.get("pid"), span.get("tid")) for span in spans}), 1)
        self.assertTrue(all(span["dur"] >= 0 for span in spans))


class OtherPrograms(StreamTest):
    def run_program(self, name, args, plugin):
        command = [ENGINE / "bin" / name, *args]
        return subprocess.run([str(word) for word in command], env=streams.environment(plugin),
                              capture_output=True, text=True, errors="replace", timeout=120,
                              stdin=subprocess.DEVNULL)

    def test_llama_cli(self):
        args = ["-m", self.model("llama"), "-p", "the band and", "-n", "24", "--temp", "0", "-st",
                "--no-display-prompt", *COMMON]
        plain = self.run_program("llama-cli", [*args, "-ngl", "0"], None)
        got = self.run_program("llama-cli", [*args, *ON_PLUGIN], {"RESIDENT": 1, "SUMMARY": "1"})
        self.assertEqual((0, 0), (plain.returncode, got.returncode), got.stderr)

        def said(done):
            text = done.stdout.split("> the band and", 1)
            self.assertEqual(2, len(text), done.stdout)
            return text[1].split("[ Prompt:")[0]
        self.assertEqual(said(plain), said(got))
        self.assertGreater(len(said(got)), 20)
        self.assertEqual(1, got.stderr.count(" layers streamed"), got.stderr)

    def test_llama_bench(self):
        args = ["-m", self.model("llama"), "-p", "32", "-n", "8", "-r", "1", "-o", "json", "-t",
                "1", "-ngl", "99", "-dev", "Gantry0"]
        done = self.run_program("llama-bench", args, {"RESIDENT": 1, "SUMMARY": "1"})
        self.assertEqual(0, done.returncode, done.stderr)
        rows = json.loads(done.stdout)
        self.assertEqual([(32, 0), (0, 8)], [(row["n_prompt"], row["n_gen"]) for row in rows])
        self.assertTrue(all("Gantry" in row["backends"] for row in rows), rows)
        self.assertIn(" layers streamed", done.stderr)

    def test_fit(self):
        """--fit sees a device that has room for everything: nothing goes back to the CPU."""
        args = ["-m", self.model("llama"), "-t", "1", "-dev", "Gantry0", "-c", "1024"]
        done = self.run_program("llama-fit-params", args, {"RESIDENT": 1})
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertNotIn("-ngl 0", done.stdout)

    def test_listed(self):
        done = self.run_program("llama-server", ["--list-devices"], {})
        self.assertIn("Gantry0", done.stdout + done.stderr)


@unittest.skipUnless((BIN / "gantry-worker").exists(), "gantry-worker is not built")
class Speech(StreamTest):
    """whisper.cpp on ggml's registry: the plugin may be there, the words stay."""

    def transcribe(self, wav, plugin, *more):
        worker = subprocess.Popen([BIN / "gantry-worker", "speech", "-m",
                                   ROOT / "models" / "micro-asr.bin", "-t", "1", *more],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True,
                                  env=streams.environment(plugin))
        call = json.dumps({"op": "transcribe", "wav": str(wav)})
        deadline = time.monotonic() + 120
        segments, ended = [], None
        while ended is None and time.monotonic() < deadline:
            line = worker.stdout.readline()
            if not line:
                break
            answer = json.loads(line)
            if "ready" in answer:
                worker.stdin.write(call + "\n")
                worker.stdin.flush()
            if "segment" in answer:
                segments.append(answer["segment"])
            if "done" in answer or "error" in answer:
                ended = answer
        _, stderr = worker.communicate(timeout=60)
        self.assertIsNotNone(ended, stderr[-3000:])
        self.assertIn("done", ended, stderr[-3000:])
        self.assertEqual(0, worker.returncode, stderr[-3000:])
        return segments, stderr

    def test_transcript(self):
        out = self.dir / "meeting"
        make_meeting(out, 11, 4, 1)
        wav = out / "recording.wav"
        plain, _ = self.transcribe(wav, None)
        self.assertTrue(plain)
        # Without --device the worker loads the processor's backend alone.
        for more in ((), ("--device", "auto")):
            got, stderr = self.transcribe(wav, {"RESIDENT": 0}, *more)
            self.assertEqual(plain, got, more)
            self.assertEqual(bool(more), "Gantry" in stderr, stderr[-2000:])


if __name__ == "__main__":
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    unittest.main()
