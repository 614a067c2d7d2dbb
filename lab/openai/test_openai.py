"""The official OpenAI Python client against a real gantryd that serves the shipped models.

    GANTRY_BIN=build/bin python -m unittest test_openai      (a Python with the package openai)

GANTRY_BASE_URL (and GANTRY_API_KEY) name a server that runs already, instead of one of its own.
"""

import io
import math
import os
import pathlib
import signal
import socket
import subprocess
import tempfile
import time
import unittest
import wave

import openai

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("GANTRY_BIN", ROOT / "build" / "bin"))
KEY = "key-of-this-test"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Daemon:
    """A gantryd of our own in a temporary state directory, or the one at GANTRY_BASE_URL."""

    def __init__(self):
        self.process = None
        self.key = os.environ.get("GANTRY_API_KEY", KEY)
        self.url = os.environ.get("GANTRY_BASE_URL")
        if self.url:
            return
        self.dir = tempfile.TemporaryDirectory(prefix="go")
        self.url = f"http://127.0.0.1:{free_port()}/v1"
        env = dict(os.environ, GANTRY_API_KEY=self.key, XDG_CONFIG_HOME=self.dir.name,
                   XDG_RUNTIME_DIR=self.dir.name, OMP_WAIT_POLICY="passive")
        self.log = open(pathlib.Path(self.dir.name) / "stderr", "w+", encoding="utf-8")
        self.process = subprocess.Popen(
            [BIN / "gantryd", "--listen", self.url[len("http://"):-len("/v1")], "--state-dir",
             f"{self.dir.name}/state"],
            env=env, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)

    def wait(self):
        client = openai.OpenAI(base_url=self.url, api_key=self.key, max_retries=0, timeout=5)
        deadline = time.monotonic() + 60
        while True:
            try:
                return client.models.list()
            except openai.APIConnectionError:
                ended = self.process is not None and self.process.poll() is not None
                if ended or time.monotonic() > deadline:
                    raise AssertionError(f"gantryd does not answer: {self.output()}") from None
                time.sleep(0.05)

    def output(self):
        if self.process is None:
            return ""
        self.log.seek(0)
        return self.log.read()

    def stop(self):
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        finally:
            self.process.wait()
            output = self.output()
            self.log.close()
            self.dir.cleanup()
        if status not in (0, -signal.SIGTERM):
            raise AssertionError(f"gantryd ended with {status}: {output}")


def tone(seconds):
    """A wav that any decoder reads: a quiet tone, 8 kHz stereo, so that it has to be converted."""
    data = io.BytesIO()
    with wave.open(data, "wb") as out:
        out.setnchannels(2)
        out.setsampwidth(2)
        out.setframerate(8000)
        for i in range(int(8000 * seconds)):
            sample = int(2000 * math.sin(i * 0.3)).to_bytes(2, "little", signed=True)
            out.writeframesraw(sample * 2)
    data.seek(0)
    data.name = "tone.wav"
    return data


class OpenAiClient(unittest.TestCase):
    """One daemon for all tests; each test brings its own requests."""

    @classmethod
    def setUpClass(cls):
        cls.daemon = Daemon()
        cls.addClassCleanup(cls.daemon.stop)
        cls.models = [model.id for model in cls.daemon.wait().data]

    def setUp(self):
        self.client = openai.OpenAI(base_url=self.daemon.url, api_key=self.daemon.key,
                                    max_retries=0, timeout=120)

    def need(self, model):
        if model not in self.models:
            self.skipTest(f"{model} is not among the models: {self.models}")
        return model

    def test_models(self):
        self.assertIn("micro-minutes", self.models)
        self.assertIn("micro-asr", self.models)
        one = self.client.models.retrieve("micro-minutes")
        self.assertEqual((one.id, one.object, one.owned_by), ("micro-minutes", "model", "gantry"))

    def test_chat(self):
        answer = self.client.chat.completions.create(
            model="micro-minutes", temperature=0, max_tokens=16,
            messages=[{"role": "user", "content": "Write the minutes."}])
        self.assertEqual(answer.object, "chat.completion")
        self.assertEqual(answer.model, "micro-minutes")
        self.assertIsInstance(answer.choices[0].message.content, str)
        self.assertGreater(answer.usage.completion_tokens, 0)
        self.assertLessEqual(answer.usage.completion_tokens, 16)

    def test_chat_streamed_is_the_same_text(self):
        ask = {"model": "micro-minutes", "temperature": 0, "max_tokens": 24, "seed": 1,
               "messages": [{"role": "user", "content": "Write the minutes of: hello."}]}
        whole = self.client.chat.completions.create(**ask).choices[0].message.content
        pieces = []
        for chunk in self.client.chat.completions.create(stream=True, **ask):
            self.assertEqual(chunk.object, "chat.completion.chunk")
            if chunk.choices and chunk.choices[0].delta.content:
                pieces.append(chunk.choices[0].delta.content)
        self.assertEqual("".join(pieces), whole)

    def test_completions(self):
        answer = self.client.completions.create(model="micro-minutes", prompt="The", max_tokens=4,
                                                temperature=0)
        self.assertEqual(answer.object, "text_completion")
        self.assertIsInstance(answer.choices[0].text, str)
        text = "".join(
            chunk.choices[0].text for chunk in self.client.completions.create(
                model="micro-minutes", prompt="The", max_tokens=4, temperature=0, stream=True)
            if chunk.choices)
        self.assertEqual(text, answer.choices[0].text)

    def test_embeddings(self):
        model = self.need("micro-embed-en")
        texts = ["turn on", "turn off", "turn on"]
        answer = self.client.embeddings.create(model=model, input=texts)
        vectors = [item.embedding for item in answer.data]
        self.assertEqual(len(vectors), 3)
        self.assertEqual(len({len(vector) for vector in vectors}), 1)
        self.assertGreater(len(vectors[0]), 8)

        def alike(a, b):
            product = sum(x * y for x, y in zip(a, b))
            return product / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))
        self.assertAlmostEqual(alike(vectors[0], vectors[2]), 1, places=3)
        self.assertLess(alike(vectors[0], vectors[1]), 0.9999)

    def test_transcription(self):
        answer = self.client.audio.transcriptions.create(model="micro-asr", file=tone(1.5))
        self.assertIsInstance(answer.text, str)
        verbose = self.client.audio.transcriptions.create(
            model="micro-asr", file=tone(1.5), response_format="verbose_json", language="en",
            timestamp_granularities=["segment"])
        self.assertAlmostEqual(float(verbose.duration), 1.5, places=1)
        self.assertEqual(verbose.language, "en")
        self.assertIsInstance(verbose.segments, list)
        text = self.client.audio.transcriptions.create(model="micro-asr", file=tone(1),
                                                       response_format="vtt")
        self.assertTrue(text.startswith("WEBVTT"), text)

    def test_spoken_words(self):
        """Speech that espeak-ng makes, with the words that the model knows."""
        spoken = pathlib.Path(tempfile.mkdtemp(prefix="go")) / "talk.wav"
        self.addCleanup(lambda: (spoken.unlink(missing_ok=True), spoken.parent.rmdir()))
        try:
            subprocess.run(["espeak-ng", "-v", "en", "-s", "150", "-w", spoken, "stop the radio"],
                           check=True, capture_output=True)
        except FileNotFoundError:
            self.skipTest("espeak-ng is not installed")
        with open(spoken, "rb") as file:
            answer = self.client.audio.transcriptions.create(
                model="micro-asr", file=file, response_format="verbose_json")
        self.assertEqual(answer.text.lower().strip(" ."), "stop the radio")
        self.assertLessEqual(answer.segments[-1].end, answer.duration + 0.1)

    def test_errors_have_their_classes(self):
        chat = self.client.chat.completions.create
        hello = [{"role": "user", "content": "hello"}]
        with self.assertRaises(openai.NotFoundError) as caught:
            chat(model="no-such-model", messages=hello)
        self.assertEqual(caught.exception.code, "model_not_found")
        self.assertIn("micro-minutes", str(caught.exception))
        with self.assertRaises(openai.BadRequestError) as caught:
            chat(model="micro-asr", messages=hello)
        self.assertIn("/v1/audio/transcriptions", str(caught.exception))
        self.assertEqual(caught.exception.param, "model")
        with self.assertRaises(openai.BadRequestError):
            chat(model="micro-minutes", messages=[])
        with self.assertRaises(openai.BadRequestError):
            chat(model="/etc/passwd", messages=hello)
        with self.assertRaises(openai.BadRequestError) as caught:
            self.client.audio.transcriptions.create(model="micro-asr",
                                                    file=("a.wav", b"this is no recording"))
        self.assertEqual(caught.exception.param, "file")
        with self.assertRaises(openai.PermissionDeniedError):
            self.client.get("/models", cast_to=object,
                            options={"headers": {"Origin": "http://evil.example"}})

    def test_an_authentication_error(self):
        if os.environ.get("GANTRY_BASE_URL"):
            self.skipTest("the server's key is not ours to try")
        stranger = openai.OpenAI(base_url=self.daemon.url, api_key="wrong", max_retries=0)
        with self.assertRaises(openai.AuthenticationError):
            stranger.models.list()

    def test_closing_a_stream_ends_the_generation(self):
        stream = self.client.chat.completions.create(
            model="micro-minutes", stream=True, max_tokens=900,
            extra_body={"ignore_eos": True},
            messages=[{"role": "user", "content": "Write the minutes."}])
        next(iter(stream))
        stream.close()
        deadline = time.monotonic() + 60
        while self.sessions("micro-minutes") > 0:
            self.assertLess(time.monotonic(), deadline, "the session was not released")
            time.sleep(0.05)
        self.test_chat()

    def sessions(self, model):
        root = self.client.with_options(base_url=self.daemon.url[:-len("/v1")])
        running = root.get("/running", cast_to=object)["running"]
        return sum(row["sessions"] for row in running if row["model"] == model)


if __name__ == "__main__":
    unittest.main()
