"""Mixed requests as fast as they are answered: memory, descriptors and threads stay as they were.

Half a minute of them; ten minutes with GANTRY_TEST_FULL. Every kind of request that speech and
embeddings have is among them, wrong ones and ones that are given up half-way too.
"""

import collections
import http.client
import itertools
import os
import pathlib
import random
import statistics
import threading
import time
import unittest

from household import FULL, Household, form, free_port, order, wait_until
from test_voice import CONFIG

SEED = int(os.environ.get("GANTRY_TEST_SEED", time.time_ns() % 1_000_000))
CLIENTS = 6
SECONDS = 600 if FULL else 40


def held(pid):
    """MiB, descriptors and threads of a process; nothing where it has ended."""
    base = pathlib.Path(f"/proc/{pid}")
    try:
        pss = next(int(line.split()[1]) for line in
                   (base / "smaps_rollup").read_text().splitlines() if line.startswith("Pss:"))
        return pss / 1024, len(list((base / "fd").iterdir())), len(list((base / "task").iterdir()))
    except (OSError, StopIteration):
        return None


def trend(values):
    """What a series rises by from its begin to its end, by the median of the slopes between all
    pairs of points: single peaks count for nothing."""
    pairs = itertools.combinations(range(len(values)), 2)
    slopes = [(values[j] - values[i]) / (j - i) for i, j in pairs]
    return statistics.median(slopes) * (len(values) - 1)


class Saturation(Household):
    def setUp(self):
        super().setUp()
        print(f"seed {SEED} (GANTRY_TEST_SEED)", flush=True)
        folder = self.dir / "cfg" / "gantry"
        folder.mkdir(parents=True)
        (folder / "config.yaml").write_text(CONFIG)
        self.npu_port = free_port()
        self.answers = collections.Counter()
        self.wrong = []
        self.over = threading.Event()
        talk = self.speech(commands=3).read_bytes()
        text = "Turn off the light. " * 40
        self.kinds = [
            # name, port, path, body and type, what may be answered
            ("hear", self.port, "/v1/audio/transcriptions", form(talk, model="micro-asr"), (200,)),
            ("hear doubtful", self.port, "/v1/audio/transcriptions",
             form(os.urandom(60_000), model="micro-asr"), (400, 415, 422)),
            ("hear cut short", self.port, "/v1/audio/transcriptions",
             form(talk[:len(talk) // 2], model="micro-asr"), (200, 400, 422)),
            ("who", self.port, "/v1/audio/diarization", form(talk, model="who"), (200,)),
            ("say", self.port, "/v1/audio/speech",
             order(model="tones", voice="low", input="Hello there."), (200,)),
            ("say at length", self.port, "/v1/audio/speech",
             order(model="tones", voice="low", input=text), (200,)),
            ("embed", self.port, "/v1/embeddings",
             order(model="micro-embed-en", input=[text[:200], "a light"]), (200,)),
            ("chat", self.port, "/v1/chat/completions",
             order(model="micro-minutes", max_tokens=8,
                   messages=[{"role": "user", "content": "Hello."}]), (200,)),
            ("no such model", self.port, "/v1/embeddings", order(model="x", input="y"), (404,)),
            ("no JSON", self.port, "/v1/chat/completions", (b"{", "application/json"), (400,)),
            ("npu embed", self.npu_port, "/embeddings",
             order(texts=[text, "a", "a light in the kitchen"] * 4), (200,)),
            ("npu no text", self.npu_port, "/embeddings", order(texts=[1]), (400,)),
        ]

    def ask(self, kind, give_up):
        """One request on a connection of its own; the status, or nothing where it was given up."""
        _, port, path, (body, content_type), _ = kind
        link = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
        try:
            link.request("POST", path, body, {"Content-Type": content_type})
            if give_up:
                return None
            answer = link.getresponse()
            answer.read()
            return answer.status
        finally:
            link.close()

    def client(self, number, kinds):
        chooser = random.Random(SEED * 100 + number)
        while not self.over.is_set():
            kind = chooser.choice(kinds)
            give_up = chooser.random() < 0.05
            try:
                status = self.ask(kind, give_up)
            except (OSError, http.client.HTTPException) as error:
                status = repr(error)
            self.answers[kind[0], status] += 1
            if not give_up and status not in (*kind[4], 503):
                self.wrong.append((kind[0], status))

    def saturate(self, kinds, meanwhile):
        """All clients at work until `meanwhile` has returned."""
        self.over.clear()
        threads = [threading.Thread(target=self.client, args=(i, kinds)) for i in range(CLIENTS)]
        for thread in threads:
            thread.start()
        try:
            meanwhile()
        finally:
            self.over.set()
            for thread in threads:
                thread.join()

    def roles(self):
        """What each kind of process holds now."""
        found = collections.defaultdict(lambda: [0, 0, 0])
        for pid, command in self.processes().items():
            words = command.split()
            role = pathlib.Path(words[0]).name
            if role == "gantry-worker":
                role = words[words.index("speech")] if "speech" in words else "short-lived"
            seen = held(pid)
            if seen is None or role in ("short-lived", "gantry-decode", "ffmpeg"):
                continue
            for i, value in enumerate(seen):
                found[role][i] += value
        return found

    def test_nothing_grows(self):
        self.start("--listen", f"127.0.0.1:{self.port}", program="gantryd")
        self.start("npu-worker", "--port", self.npu_port, "--cache-dir", self.dir / "blobs")
        wait_until(lambda: self.gantry("ps").returncode == 0, 20, "the daemon")

        def awake():
            try:
                return all(self.ask(kind, False) in kind[4] for kind in self.kinds)
            except OSError:
                return False
        wait_until(awake, 120, "one answer of each kind")
        # What all clients ask for at once is computed together: shapes that a mixture of requests
        # would come to one by one, each with a buffer of its own.
        for kind in self.kinds:
            self.saturate([kind], lambda: time.sleep(2))
        series = collections.defaultdict(list)

        def look():
            end = time.monotonic() + SECONDS
            while time.monotonic() < end:
                for role, values in self.roles().items():
                    series[role].append(values)
                time.sleep(SECONDS / 150)
        self.saturate(self.kinds, look)
        print(dict(self.answers), flush=True)
        self.assertEqual(self.wrong, [])
        for kind in self.kinds:
            self.assertTrue(any(name == kind[0] for name, _ in self.answers), kind[0])
        for role in ("gantryd", "gantry-npu", "speech", "gantry-voice", "llama-server"):
            self.assertIn(role, series)
            # The first third is warming up: pools, caches, one buffer for each client.
            warm = series[role][len(series[role]) // 3:]
            self.assertGreater(len(warm), 20, role)
            for i, (what, allowed) in enumerate((("MiB", 4), ("descriptors", 4), ("threads", 4))):
                rise = trend([values[i] for values in warm])
                level = statistics.median(values[i] for values in warm)
                print(f"{role}: {level:.1f} {what}, {rise:+.2f} over the run", flush=True)
                self.assertLess(rise, max(allowed, 0.05 * level), f"{role}: {what}")


if __name__ == "__main__":
    unittest.main()
