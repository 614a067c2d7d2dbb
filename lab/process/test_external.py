"""Engines for sound by command, served by engines/serve.py around real ones, and servers that break
their word."""

import json
import pathlib
import shutil
import subprocess
import unittest
import wave

from household import BIN, ROOT, Household
from test_listen import SAID, VOICES, say

PYTHON = "/usr/bin/python3 -B"
WHISPER = ROOT / "engines/venv-faster-whisper/bin/python"
SERVE = f"{PYTHON} {ROOT}/engines/serve.py"
BAD = f"{PYTHON} {pathlib.Path(__file__).parent}/bad_audio_server.py"
EARS = (f"{SERVE} gantry-voice --port ${{PORT}} --program {BIN}/gantry-voice --model paraformer "
        f"--set model={VOICES}/ear_paraformer.onnx --set tokens={VOICES}/ear_paraformer.txt")

CONFIG = f"""
models:
  ears:
    kind: speech
    cmd: {EARS}
    memory: 200MiB
  mouth:
    kind: voice
    cmd: {SERVE} espeak-ng --port ${{PORT}}
    memory: 100MiB
    voices: {{anna: en-us+f3, joe: en-gb}}
  who:
    kind: diarization
    cmd: >-
      {SERVE} gantry-voice --port ${{PORT}} --program {BIN}/gantry-voice --model pyannote
      --set model={VOICES}/seg_energy.onnx --set embedding={VOICES}/spk_stats.onnx
    memory: 300MiB
    speakers: 2
"""
for how in ("garbage", "hang", "die", "dies-later", "ends"):
    CONFIG += f"""
  {how}: {{kind: speech, cmd: '{BAD} ${{PORT}} {how}', memory: 50MiB, options: {{test_s: 1.5}}}}
"""
CONFIG += f"""
  mute: {{kind: voice, cmd: '{BAD} ${{PORT}} garbage', memory: 50MiB}}
"""


class External(Household):
    def setUp(self):
        super().setUp()
        folder = self.dir / "cfg" / "gantry"
        folder.mkdir(parents=True)
        (folder / "config.yaml").write_text(CONFIG)
        self.talk = self.dir / "talk.wav"
        self.starts = say(self.talk, SAID)

    def test_an_engine_by_command_is_a_model_like_the_others(self):
        self.serve()
        page = json.loads(self.ok("transcribe", self.talk, "-m", "ears", "--format", "json"))
        self.assertEqual([s["text"] for s in page["segments"]], SAID)
        for segment, start in zip(page["segments"], self.starts):
            self.assertAlmostEqual(segment["start"], start, delta=0.15)
        turns = json.loads(self.ok("diarize", self.talk, "-m", "who", "--format", "json"))["turns"]
        self.assertEqual(turns[0]["speaker"], 0)
        self.assertAlmostEqual(turns[0]["start"], self.starts[0], delta=0.3)
        running = {m["model"]: m for m in json.loads(self.ok("ps", "--json"))["running"]}
        self.assertEqual((running["ears"]["kind"], running["who"]["kind"]),
                         ("speech", "diarization"))
        self.assertGreater(running["ears"]["measured_bytes"], 10 << 20)

    @unittest.skipUnless(shutil.which("espeak-ng"), "espeak-ng is not installed")
    def test_a_voice_by_command_speaks(self):
        out = self.dir / "out.wav"
        self.ok("speak", "Turn on the light. Stop the radio.", "-m", "mouth", "--voice", "joe",
                "-o", out)
        with wave.open(str(out)) as sound:
            self.assertEqual((sound.getnchannels(), sound.getframerate()), (1, 22050))
            self.assertGreater(sound.getnframes(), 22050)
        self.refused(1, "speak", "hello", "-m", "mouth", "--voice", "nobody", "-o", out,
                     says="there are anna, joe")

    @unittest.skipUnless(WHISPER.exists(), "no faster-whisper in engines/ (docs/engines.md)")
    def test_faster_whisper_hears_as_it_is_configured(self):
        """The real engine, with weights that mean nothing."""
        model = self.dir / "weights"
        make = ROOT / "lab/voice/make_faster_whisper.py"
        subprocess.run([WHISPER, "-B", make, model], check=True)
        config = "models:\n"
        for name, words in (("four", ""), ("one", " --batch 1"), ("card", " --device cuda")):
            config += (f"  {name}: {{kind: speech, memory: 600MiB, cmd: '{WHISPER} -B "
                       f"{ROOT}/engines/serve.py faster-whisper --port ${{PORT}} --model {model} "
                       f"--compute-type int8{words}'}}\n")
        self.configure(config)
        for name in ("four", "one"):
            page = json.loads(self.ok("transcribe", self.talk, "-m", name, "--format", "json"))
            self.assertTrue(page["segments"])
            for segment in page["segments"]:
                self.assertRegex(segment["text"], r"^(w[0-9]+ ?)+$")
                self.assertLessEqual(segment["start"], segment["end"])  # its times mean nothing
                self.assertLess(segment["confidence"], 0.1)
        rows = {row["model"]: row for row in json.loads(self.ok("ps", "--json"))["running"]}
        self.assertLess(rows["four"]["measured_bytes"], rows["four"]["predicted_bytes"])
        if not pathlib.Path("/dev/nvidiactl").exists():  # nothing is made up in its place
            done = self.gantry("transcribe", self.talk, "-m", "card")
            self.assertNotEqual(done.returncode, 0)
            self.assertIn("CUDA", done.stderr)

    def test_one_that_breaks_its_word_is_none(self):
        self.serve()
        for model, words in (("garbage", "did not pass its test"),
                             ("hang", "did not answer in time"), ("die", "die"),
                             ("ends", "no such weights")):
            done = self.gantry("transcribe", self.talk, "-m", model)
            self.assertIn(done.returncode, (1, 4), f"{model}: {done.stdout}{done.stderr}")
            self.assertIn(words, done.stderr)
            self.assertFalse(self.pids("bad_audio_server"), model)
        done = self.gantry("speak", "hello", "-m", "mute", "-o", self.dir / "x.wav")
        self.assertIn("did not pass its test", done.stderr)
        # It passed, and ended at the recording: the job fails, the next one has a new worker.
        for _ in range(2):
            done = self.gantry("transcribe", self.talk, "-m", "dies-later")
            self.assertIn(done.returncode, (1, 4), done.stderr)
            self.assertIn("dies-later", done.stderr)
        self.assertEqual(self.ok("transcribe", self.talk, "-m", "ears").splitlines(), SAID)


if __name__ == "__main__":
    unittest.main()
