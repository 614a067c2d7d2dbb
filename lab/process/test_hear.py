"""Language models that hear, as recognisers: the real llama-server with the shapes of Qwen3-ASR and
of Nemotron with a Parakeet encoder, and random weights (lab/stream/make_listener.py). What is
checked is that sound reaches the model, where and when, in how many bytes; never the words."""

import json
import subprocess
import sys
import unittest
import wave

from household import BIN, MODELS, ROOT, Household, write_wav

sys.path.insert(0, str(ROOT / "lab/stream"))
import make_listener  # noqa: E402

WORDS = set(make_listener.WORDS)


class Ears:
    """What holds of every encoder; KIND is make_listener's word for it."""

    def setUp(self):
        super().setUp()
        self.model, self.ears = self.dir / "asr.gguf", self.dir / "ears.gguf"
        subprocess.run(["/usr/bin/python3", "-B", ROOT / "lab/stream/make_listener.py", self.model,
                        self.ears, self.KIND], check=True)
        self.configure(f"""
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

    def at_length(self, seconds):
        """The talk again and again, so many seconds at least."""
        with wave.open(str(self.talk)) as file:
            frames = file.readframes(file.getnframes())
        long = self.dir / "long.wav"
        write_wav(long, frames * (1 + seconds * 32000 // len(frames)))
        return long

    def test_a_recording_is_written_down_piece_by_piece(self):
        long = self.at_length(60)
        heard = self.segments(long)
        self.assertGreaterEqual(len(heard), 3)  # pieces of 28 s at most
        end = 0
        for segment in heard:
            self.assertLessEqual(set(segment["text"].split()), WORDS)
            self.assertGreaterEqual(segment["start"], end)
            self.assertLessEqual(segment["end"] - segment["start"], 28)
            end = segment["end"]
        running = json.loads(self.ok("ps", "--json"))["running"]
        row = next(row for row in running if row["model"] == "asr")
        self.assertLess(row["measured_bytes"], row["predicted_bytes"])
        self.assertEqual(self.segments(long), heard)
        self.assertEqual([s["text"] for s in self.segments(long, "away")],
                         [s["text"] for s in heard])
        self.assertGreaterEqual(len(self.segments(long, "found")), 3)

    def test_the_words_are_of_the_sound(self):
        other = self.speech("other.wav", seed=12)
        one, two = self.segments(self.talk), self.segments(other)
        self.assertNotEqual([s["text"] for s in one], [s["text"] for s in two])
        silent = self.dir / "silent.wav"
        write_wav(silent, bytes(2 * 64000))
        self.assertEqual(self.segments(silent), [])

    def test_job_page_and_plan_know_it_as_speech(self):
        (job,) = self.ok("submit", "transcribe", self.talk, "--params",
                         json.dumps({"model": "asr"})).split()
        self.assertEqual(self.wait_for_job(job)["state"], "done")
        page = json.loads(self.ok("show", job, "--result"))
        step = next(s for s in page["steps"] if s["name"].startswith("transcribe"))
        self.assertLess(step["measured_bytes"], step["predicted_bytes"])
        self.serve()
        self.assertEqual(self.heard_over_http(self.talk, "asr"),
                         [s["text"] for s in page["segments"]])

    def test_the_encoders_bytes_by_formula_are_the_engines(self):
        """To the byte what it says of itself without loading anything."""
        card = json.loads(self.ok("inspect", self.ears, "--json"))
        self.assertEqual((card["audio_projector"], card["audio_mels"], card["audio_channels"]),
                         (self.KIND, make_listener.MELS, make_listener.CHANNELS))
        done = subprocess.run(
            [BIN / "gantry-worker", "dry-run", "-m", self.model, "--mmproj", self.ears, "-fa", "on",
             "-ngl", "0", "--device", "none"], env=self.env, capture_output=True, text=True,
            timeout=120, check=True)
        host = json.loads(done.stdout)["host"]
        weights = card["weight_bytes"] + card["audio"]["shared"]
        # Parakeet's filters are no weights to the engine, which keeps them elsewhere.
        self.assertLess(abs(weights - host["mmproj"]), 1 << 18)
        self.assertGreater(host["mmproj_compute"], self.ENCODER_LEAST)
        plan = json.loads(self.ok("plan", "asr", "--json"))["models"][0]
        self.assertEqual(plan["bytes"], "engine")
        self.assertLess(abs(plan["differs_bytes"]), 1 << 18)  # of the encoder none, see plan/
        self.ok("plan", "asr", "--no-probe")

    def test_a_model_without_ears_says_so(self):
        for model, words in (("deaf", "name the mmproj with its audio encoder"),
                             ("sees", "this one has none")):
            done = self.gantry("transcribe", self.talk, "-m", model)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn(words, done.stderr)


class Qwen(Ears, Household):
    KIND, ENCODER_LEAST = "qwen3a", 1 << 20


class Parakeet(Ears, Household):
    KIND, ENCODER_LEAST = "parakeet", 16 << 20

    def test_an_encoder_that_the_engine_would_die_of_is_refused_before(self):
        """llama-server ends itself by an assertion, or in the first request, of such files."""
        whole = self.ears.read_bytes()
        subsampling = b"clip.audio.subsampling_factor"
        at = whole.index(subsampling) + len(subsampling) + 4
        wrong = {"share.gguf": (whole[:at] + b"\x04" + whole[at + 1:], "one step in time of 4"),
                 "name.gguf": (whole.replace(b"mm.a.norm_pre", b"mm.a.norm_prx"),
                               "has no mm.a.norm_pre.weight"),
                 "pictures.gguf": (whole.replace(b"mm.model.mlp.3", b"mm.model.mlp.9"),
                                   "has no mm.model.mlp.3.weight"),
                 "cut.gguf": (whole[:len(whole) // 2], "cut.gguf")}
        for name, (content, says) in wrong.items():
            (self.dir / name).write_bytes(content)
            self.refused(1, "inspect", self.dir / name, says=says)
            self.configure(f"models: {{bad: {{kind: speech, file: {self.model}, "
                           f"mmproj: {self.dir / name}}}}}\n")
            self.refused(1, "transcribe", self.talk, "-m", "bad", says=says)
            self.gantry("stop")

    def test_a_piece_that_does_not_fit_the_context_is_an_error_that_says_so(self):
        self.configure(f"models: {{small: {{kind: speech, file: {self.model}, "
                       f"mmproj: {self.ears}, context: 256}}}}\n")
        done = self.gantry("transcribe", self.at_length(28), "-m", "small")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("exceeds the available context size (256 tokens)", done.stderr)


if __name__ == "__main__":
    unittest.main()
