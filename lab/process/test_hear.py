"""A language model that hears, as a recogniser: the real llama-server with Qwen3-ASR's shape and
random weights (lab/stream/make_listener.py). What is checked is that sound reaches the model, where
and when, in how many bytes; never the words."""

import array
import json
import subprocess
import unittest
import urllib.request
import wave

from household import MODELS, ROOT, Household, wait_until

WORDS = {"turn", "on", "off", "the", "light", "radio", "open", "close", "door", "window", "stop",
         "play", "music", "kitchen", "bedroom", "red", "green", "blue", "please", "again"}


class Hear(Household):
    def setUp(self):
        super().setUp()
        self.model, self.ears = self.dir / "asr.gguf", self.dir / "ears.gguf"
        subprocess.run(["/usr/bin/python3", "-B", ROOT / "lab/stream/make_listener.py", self.model,
                        self.ears], check=True)
        folder = self.dir / "cfg" / "gantry"
        folder.mkdir(parents=True)
        (folder / "config.yaml").write_text(f"""
models:
  asr: {{kind: speech, file: {self.model}, mmproj: {self.ears}, context: 1024}}
  away: {{kind: speech, file: {self.model}, mmproj: {self.ears}, context: 1024, stream: extreme}}
  found: {{kind: speech, file: {self.model}, mmproj: {self.ears}, context: 1024, vad: silero}}
  deaf: {{kind: speech, file: {self.model}}}
  sees: {{kind: speech, file: {MODELS}/micro-vision.gguf,
         mmproj: {MODELS}/micro-vision-mmproj.gguf}}
""")
        self.talk = self.speech(commands=6)

    def segments(self, wav, model="asr"):
        page = json.loads(self.ok("transcribe", wav, "-m", model, "--format", "json"))
        return page["segments"]

    def test_a_recording_is_written_down_piece_by_piece(self):
        with wave.open(str(self.talk)) as file:
            seconds = file.getnframes() / 16000
            frames = file.readframes(file.getnframes())
        long = self.dir / "long.wav"
        with wave.open(str(long), "wb") as out:
            out.setnchannels(1)
            out.setsampwidth(2)
            out.setframerate(16000)
            out.writeframes(frames * (1 + int(60 / seconds)))
        heard = self.segments(long)
        self.assertGreaterEqual(len(heard), 3)  # pieces of 28 s at most
        end = 0
        for segment in heard:
            self.assertLessEqual(set(segment["text"].split()), WORDS)
            self.assertGreaterEqual(segment["start"], end)
            self.assertLessEqual(segment["end"] - segment["start"], 28)
            end = segment["end"]
        self.assertEqual(self.segments(long), heard)
        self.assertEqual([s["text"] for s in self.segments(long, "away")],
                         [s["text"] for s in heard])  # whatever streams
        self.assertGreaterEqual(len(self.segments(long, "found")), 3)

    def test_the_words_are_of_the_sound(self):
        other = self.speech("other.wav", seed=12)
        one, two = self.segments(self.talk), self.segments(other)
        self.assertNotEqual([s["text"] for s in one], [s["text"] for s in two])
        silent = self.dir / "silent.wav"
        with wave.open(str(silent), "wb") as out:
            out.setnchannels(1)
            out.setsampwidth(2)
            out.setframerate(16000)
            out.writeframes(array.array("h", [0] * 64000).tobytes())
        self.assertEqual(self.segments(silent), [])

    def test_job_page_and_plan_know_it_as_speech(self):
        (job,) = self.ok("submit", "transcribe", self.talk, "--params",
                         json.dumps({"model": "asr"})).split()
        self.assertEqual(self.wait_for_job(job)["state"], "done")
        page = json.loads(self.ok("show", job, "--result"))
        step = next(s for s in page["steps"] if s["name"].startswith("transcribe"))
        self.assertLess(step["measured_bytes"], step["predicted_bytes"])
        self.start("--listen", f"127.0.0.1:{self.port}", program="gantryd")
        wait_until(lambda: self.gantry("ps").returncode == 0, 20, "the daemon")
        body = b"".join(
            b"--xx\r\nContent-Disposition: form-data; " + name + b"\r\n\r\n" + value + b"\r\n"
            for name, value in ((b'name="model"', b"asr"),
                                (b'name="response_format"', b"verbose_json"),
                                (b'name="file"; filename="t.wav"', self.talk.read_bytes())))
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/v1/audio/transcriptions", body + b"--xx--\r\n",
            {"Content-Type": "multipart/form-data; boundary=xx"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            heard = json.loads(answer.read())
        self.assertEqual([s["text"] for s in heard["segments"]],
                         [s["text"] for s in page["segments"]])
        card = json.loads(self.ok("inspect", self.ears, "--json"))
        self.assertEqual((card["audio_projector"], card["audio_mels"], card["audio_channels"]),
                         ("qwen3a", 128, 16))

    def test_a_model_without_ears_says_so(self):
        for model, words in (("deaf", "name the mmproj with its audio encoder"),
                             ("sees", "this one has none")):
            done = self.gantry("transcribe", self.talk, "-m", model)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn(words, done.stderr)


if __name__ == "__main__":
    unittest.main()
