"""Speech found by Silero's detector in the place of loudness: the real weights, the shipped
recogniser, and sounds that are loud and no speech."""

import array
import json
import math
import os
import shutil
import signal
import unittest
import wave

from household import MODELS, ROOT, Household, wait_until

VOICES = ROOT / "lab" / "voice"
CONFIG = f"""
models:
  ear: {{kind: speech, file: {MODELS}/micro-asr.bin, vad: silero}}
  loud: {{kind: speech, file: {MODELS}/micro-asr.bin, vad: loudness}}
  para:
    engine: paraformer
    file: {VOICES}/ear_paraformer.onnx
    vad: silero
    options: {{tokens: {VOICES}/ear_paraformer.txt}}
"""


def read(path):
    with wave.open(str(path)) as file:
        return array.array("h", file.readframes(file.getnframes()))


def save(path, samples):
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(16000)
        out.writeframes(samples.tobytes())
    return path


def bells(seconds):
    """Struck twice a second: loud, with pauses, and nobody speaks."""
    return array.array("h", (round(
        9000 * math.exp(-6 * (i % 8000) / 8000)
        * sum(math.sin(2 * math.pi * hertz * i / 16000) for hertz in (523, 659, 784)) / 3)
        for i in range(16000 * seconds)))


class Vad(Household):
    def setUp(self):
        super().setUp()
        self.configure(CONFIG)
        self.talk = self.speech(commands=6)

    def page(self, wav, model):
        return json.loads(self.ok("transcribe", wav, "-m", model, "--format", "json"))

    def test_a_clean_recording_has_the_words_that_loudness_gives(self):
        by_vad, by_loudness = self.page(self.talk, "ear"), self.page(self.talk, "loud")
        self.assertEqual([s["text"] for s in by_vad["segments"]],
                         [s["text"] for s in by_loudness["segments"]])
        for one, other in zip(by_vad["segments"], by_loudness["segments"]):
            self.assertAlmostEqual(one["start"], other["start"], delta=0.4)
        (job,) = self.ok("submit", "transcribe", self.talk, "--params",
                         json.dumps({"model": "ear"})).split()
        self.assertEqual(self.wait_for_job(job)["state"], "done")
        steps = json.loads(self.ok("show", job, "--result"))["steps"]
        finder = next(step for step in steps if step["name"].startswith("find speech in"))
        self.assertEqual(finder["model"], "silero-vad")
        self.assertGreater(finder["measured_bytes"], 0)
        self.assertLess(finder["measured_bytes"], finder["predicted_bytes"])

    def test_what_is_loud_and_no_speech_is_not_heard(self):
        ringing = bells(12)
        mixed = save(self.dir / "mixed.wav", ringing + read(self.talk))
        heard = self.page(mixed, "ear")["segments"]
        self.assertTrue(heard)
        self.assertGreater(min(s["start"] for s in heard), 11.5)
        self.assertTrue([s for s in self.page(mixed, "loud")["segments"] if s["start"] < 11])
        alone = save(self.dir / "alone.wav", ringing)
        self.assertEqual(self.page(alone, "ear")["segments"], [])
        self.assertEqual(self.page(alone, "para")["segments"], [])  # likewise an engine of sherpa's

    def test_the_detector_is_a_model_of_its_own(self):
        turns = json.loads(self.ok("diarize", self.talk, "-m", "silero-vad", "--format",
                                   "json"))["turns"]
        self.assertGreaterEqual(len(turns), 6)
        self.assertEqual({turn["speaker"] for turn in turns}, {0})
        self.assertTrue(all(one["end"] <= other["start"] for one, other in zip(turns, turns[1:])))
        running = {m["model"]: m for m in json.loads(self.ok("ps", "--json"))["running"]}
        self.assertEqual(running["silero-vad"]["kind"], "vad")

    def test_a_killed_daemon_goes_on_where_it_was_with_the_same_words(self):
        talk = read(self.talk)
        long = save(self.dir / "long.wav", talk * 8)
        undisturbed = self.page(long, "ear")["segments"]
        daemon = self.start(program="gantryd")
        wait_until(lambda: self.gantry("ps").returncode == 0, 20, "the daemon")
        (job,) = self.ok("submit", "transcribe", long, "--params",
                         json.dumps({"model": "ear"})).split()
        wait_until(lambda: self.job(job).get("progress", 0) > 0.7
                   or self.job(job)["state"] == "done", 60, "most of it")
        os.kill(daemon.pid, signal.SIGKILL)
        daemon.wait()
        self.assertEqual(self.wait_for_job(job)["state"], "done")
        resumed = json.loads(self.ok("show", job, "--result"))["segments"]
        self.assertEqual(resumed, undisturbed)

    def test_what_is_no_detector_costs_its_own_job(self):
        bad = self.dir / "bad.onnx"
        shutil.copyfile(VOICES / "tones.onnx", bad)
        self.configure(CONFIG + f"  silero-vad: {{engine: silero, file: {bad}}}\n")
        done = self.gantry("transcribe", self.talk, "-m", "ear")
        self.assertIn(done.returncode, (1, 4), done.stdout + done.stderr)
        self.assertTrue(done.stderr.splitlines()[-1].startswith("gantry: "), done.stderr)
        self.assertTrue(self.page(self.talk, "loud")["segments"])
        self.configure("models:\n  ear: {file: a.bin, vad: webrtc}\n")
        file = self.dir / "cfg" / "gantry" / "config.yaml"
        self.refused(1, "config", "check", file, says="loudness or silero")


if __name__ == "__main__":
    unittest.main()
