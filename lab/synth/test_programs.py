"""`gantry synth` as users run it, and what llama.cpp's own programs make of its files.

GANTRY_BIN names the folder of gantry, GANTRY_ENGINES that of llama-server and its kin.
"""

import json
import math
import os
import pathlib
import random
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
import unittest
import urllib.error
import urllib.request
import zlib

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("GANTRY_BIN", ROOT / "build" / "bin"))
ENGINES = pathlib.Path(os.environ.get("GANTRY_ENGINES", "/usr/bin"))
LOOPBACK = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def free_port():
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def noise_png(path, seed, size=64):
    """A picture of coloured noise."""
    draw = random.Random(seed)
    rows = b"".join(b"\0" + draw.randbytes(3 * size) for _ in range(size))

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(
            ">I", zlib.crc32(kind + data))
    header = struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
                     + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


class Synth(unittest.TestCase):
    def setUp(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="synth"))
        self.env = dict(os.environ, OMP_WAIT_POLICY="passive", OMP_NUM_THREADS="1")
        self.addCleanup(shutil.rmtree, self.dir)

    def gantry(self, *args):
        """Runs `gantry ARGS` to its end."""
        return subprocess.run([BIN / "gantry", *map(str, args)], env=self.env, timeout=60,
                              capture_output=True, text=True, stdin=subprocess.DEVNULL)

    def written(self, name, *args):
        """The file that `gantry synth ARGS` writes, and what it says about it."""
        path = self.dir / name
        done = self.gantry("synth", *args, "-o", path, "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        said = json.loads(done.stdout)
        self.assertEqual(said["bytes"], path.stat().st_size)
        return path, said

    def refused(self, status, *args, says):
        """A command that must fail with this status and one line that names cause and remedy."""
        done = self.gantry("synth", *args)
        self.assertEqual(done.returncode, status, f"{args}: {done.stdout}{done.stderr}")
        self.assertRegex(done.stderr, r"^gantry: [^\n]+ \([^\n]+\)\n$")
        self.assertIn(says, done.stderr)
        self.assertEqual(list(self.dir.iterdir()), [])

    def engine(self, program, *args, timeout=60):
        """Standard output of one of llama.cpp's programs, which must succeed."""
        done = subprocess.run([ENGINES / program, *map(str, args)], env=self.env, text=True,
                              timeout=timeout, capture_output=True, stdin=subprocess.DEVNULL,
                              errors="replace")
        self.assertEqual(done.returncode, 0, done.stderr[-2000:])
        return done.stdout


class Files(Synth):
    def test_list(self):
        listed = json.loads(self.gantry("synth", "--list", "--json").stdout)
        names = {shape["name"] for shape in listed["shapes"]}
        self.assertLessEqual({"7b", "8b", "13b", "tts28", "30b-a3b", "llama", "qwen2", "qwen3",
                              "qwen3moe", "gemma", "phi", "mixtral", "granite", "mamba", "jamba",
                              "bert"}, names)
        self.assertIn("Q4_K_M", listed["quants"])
        text = self.gantry("synth", "--list").stdout
        self.assertTrue(all(name in text for name in names | {"lora", "mmproj", "NVFP4"}))

    def test_gantry_reads_each_of_them(self):
        for shape in json.loads(self.gantry("synth", "--list", "--json").stdout)["shapes"]:
            if shape["embd"] > 256:
                continue
            path, said = self.written("m.gguf", shape["name"])
            done = self.gantry("inspect", path, "--json")
            self.assertEqual(done.returncode, 0, done.stderr)
            card = json.loads(done.stdout)
            self.assertEqual(card["architecture"], shape["architecture"])
            self.assertEqual(card["layers"], said["layers"])
            self.assertEqual(card["parameters"], said["parameters"])

    def test_real_shapes_have_real_sizes(self):
        # Parameters of the models that they are named after, in billions.
        for name, billions in (("7b", 6.74), ("8b", 8.03), ("13b", 13.02), ("tts28", 1.54),
                               ("tts28-7b", 7.62), ("30b-a3b", 30.53)):
            done = self.gantry("synth", name, "--quant", "Q4_K_M", "--dry-run", "--json")
            said = json.loads(done.stdout)
            self.assertAlmostEqual(said["parameters"] / 1e9, billions, 2, name)
            self.assertAlmostEqual(said["bytes"] * 8 / said["parameters"], 4.85, delta=0.3)

    def test_same_seed_same_bytes(self):
        first = self.written("a", "llama", "--seed", "5")[0].read_bytes()
        self.assertEqual(self.written("b", "llama", "--seed", "5")[0].read_bytes(), first)
        other = self.written("c", "llama", "--seed", "6")[0].read_bytes()
        self.assertEqual(len(other), len(first))
        same = sum(a == b for a, b in zip(first[-100_000:], other[-100_000:]))
        self.assertLess(same, 20_000)

    def test_refusals(self):
        out = ("-o", self.dir / "m.gguf")
        self.refused(2, "nonsense", *out, says="nonsense")
        self.refused(2, "llama", says="-o FILE")
        self.refused(2, *out, says="--list")
        self.refused(2, "llama", "--quant", "Q9", *out, says="Q9")
        self.refused(2, "llama", "--embd", "250", *out, says="250")
        self.refused(2, "llama", "--layers", "0", *out, says="--layers")
        self.refused(1, "llama", "--layers", "513", *out, says="1 to 512")
        self.refused(2, "lora", *out, says="--of")
        self.refused(2, "llama", "--of", "x", *out, says="--of")
        self.refused(1, "lora", "--of", self.dir / "none", *out, says="none")
        self.refused(2, "llama", "-o", self.dir, says="not a file")
        self.refused(1, "llama", "-o", self.dir / "no" / "folder", says="folder")
        self.refused(1, "llama", "-o", "/proc/nothing", says="/proc/nothing")
        self.refused(1, "llama", "--layers", 512, "--embd", 1 << 20, "--ff", 1 << 20, "--heads",
                     4096, "--quant", "F32", *out, says="would take")


class Interruption(Synth):
    def begin(self):
        """A long write that has written something, beside an older file of the same name."""
        path = self.dir / "m.gguf"
        path.write_text("older")
        process = subprocess.Popen([BIN / "gantry", "synth", "8b", "--quant", "Q8_0", "--layers",
                                    "6", "-o", path], stderr=subprocess.PIPE,
                                   stdout=subprocess.DEVNULL, text=True)
        self.addCleanup(process.stderr.close)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            io = pathlib.Path(f"/proc/{process.pid}/io").read_text()
            if int(io.split("wchar: ")[1].split()[0]) > 50_000_000:
                return process, path
            time.sleep(0.005)
        raise AssertionError("nothing was written")

    def test_interrupt_leaves_nothing(self):
        process, path = self.begin()
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(30), 130)
        self.assertEqual(path.read_text(), "older")
        self.assertEqual([path], list(self.dir.iterdir()))

    def test_kill_leaves_nothing(self):
        process, path = self.begin()
        named = len(list(self.dir.iterdir())) > 1  # a file system without unnamed files
        process.kill()
        process.wait(30)
        self.assertEqual(path.read_text(), "older")
        if named:
            self.skipTest("this file system keeps no unnamed files")
        self.assertEqual([path], list(self.dir.iterdir()))


class Server(Synth):
    def serve(self, model, *args):
        """Starts a stock llama-server on a model and waits until it is ready."""
        self.port = free_port()
        log = open(self.dir / "server.log", "w")
        self.addCleanup(log.close)
        self.server = subprocess.Popen(
            [ENGINES / "llama-server", "-m", model, "--port", str(self.port), "-t", "1", "-c",
             "512", "--no-warmup", "-np", "1", *args], env=self.env, stdout=log, stderr=log)
        self.addCleanup(self.server.wait)
        self.addCleanup(self.server.kill)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if self.server.poll() is not None:
                break
            try:
                LOOPBACK.open(f"http://127.0.0.1:{self.port}/health", timeout=5).close()
                return
            except (urllib.error.URLError, OSError):
                time.sleep(0.02)
        raise AssertionError((self.dir / "server.log").read_text()[-2000:])

    def post(self, path, body):
        """The answer of one request."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}",
                                         json.dumps(body).encode(),
                                         {"Content-Type": "application/json"})
        with LOOPBACK.open(request, timeout=60) as answer:
            return json.load(answer)

    def test_language_model(self):
        model, _ = self.written("m.gguf", "qwen3moe", "--quant", "Q4_K_M")
        self.serve(model)
        text = "Grüße, 世界! x = 42;\n"
        tokens = self.post("/tokenize", {"content": text})["tokens"]
        self.assertEqual(self.post("/detokenize", {"tokens": tokens})["content"], text)
        said = self.post("/completion", {"prompt": text, "n_predict": 16, "temperature": 0,
                                         "n_probs": 5})
        self.assertEqual(said["tokens_predicted"], 16)
        for step in said["completion_probabilities"]:
            chances = [top["logprob"] for top in step["top_logprobs"]]
            self.assertTrue(all(chance is not None and math.isfinite(chance)
                                for chance in chances))
            self.assertGreater(chances[0] - chances[-1], 0.001)
        self.assertGreater(len({step["id"] for step in said["completion_probabilities"]}), 3)
        chat = self.post("/v1/chat/completions", {
            "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 8})
        self.assertTrue(chat["choices"][0]["message"]["content"])

    def test_encoder(self):
        model, _ = self.written("m.gguf", "bert", "--quant", "Q8_0")
        self.serve(model, "--embeddings")
        answer = self.post("/v1/embeddings", {"input": ["Hello world", "Good morning"]})
        one, other = (item["embedding"] for item in answer["data"])
        for vector in (one, other):
            self.assertAlmostEqual(sum(x * x for x in vector), 1, 3)
        self.assertLess(sum(a * b for a, b in zip(one, other)), 0.999)


class Programs(Synth):
    def say(self, model, *args):
        """What llama-cli generates, greedily."""
        out = self.engine("llama-cli", "-m", model, "-p", "Hello", "-n", 12, "--temp", 0, "-t", 1,
                          "-c", 256, "-st", "--no-warmup", "--no-display-prompt", *args)
        return out.split("> Hello\n")[-1].split("[ Prompt")[0].strip()

    def test_cli_and_adapter(self):
        model, _ = self.written("m.gguf", "llama", "--quant", "IQ4_XS")
        adapter, said = self.written("l.gguf", "lora", "--of", model, "--rank", 4)
        self.assertEqual((said["shape"], said["layers"]), ("lora", 4))
        plain = self.say(model)
        self.assertTrue(plain)
        self.assertEqual(self.say(model), plain)
        self.assertNotEqual(self.say(model, "--lora", adapter), plain)

    def test_pictures(self):
        model, _ = self.written("m.gguf", "llama")
        projector, said = self.written("p.gguf", "mmproj", "--of", model)
        self.assertEqual(said["architecture"], "clip")
        answers = set()
        for seed in (1, 2):
            picture = self.dir / f"{seed}.png"
            noise_png(picture, seed)
            answers.add(self.engine("llama-mtmd-cli", "-m", model, "--mmproj", projector,
                                    "--image", picture, "-p", "What is it?", "-n", 12, "--temp",
                                    0, "-t", 1, "--no-warmup", "--jinja"))
        self.assertEqual(len(answers), 2, "the picture makes no difference")

    def test_bench(self):
        model, _ = self.written("m.gguf", "30b-a3b", "--scale", "0.125", "--layers", 2, "--vocab",
                                4096, "--quant", "Q4_0")
        rows = json.loads(self.engine("llama-bench", "-m", model, "-p", 32, "-n", 4, "-r", 1, "-t",
                                      1, "-o", "json"))
        self.assertEqual([row["avg_ts"] > 0 for row in rows], [True, True])


if __name__ == "__main__":
    unittest.main()
