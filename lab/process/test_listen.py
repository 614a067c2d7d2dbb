"""sherpa-onnx's recognisers in the daemon, with models that hear eight words, each a tone of its
own (lab/voice). What is checked is engines, segments, bytes and errors, never accuracy."""

import array
import json
import math
import pathlib
import shutil
import subprocess
import unittest

from household import ROOT, Household, write_wav

VOICES = ROOT / "lab" / "voice"
SHARED = next((base / "shared" / "data" for base in ROOT.parents
               if (base / "shared" / "data").exists()), pathlib.Path("nowhere"))
GTCRN = SHARED / "gtcrn_simple.onnx"
WORDS = {"turn": 400, "on": 560, "off": 760, "the": 1000, "kitchen": 1300, "light": 1650,
         "radio": 2100, "please": 2700}
SAID = ["please turn on the kitchen light", "turn off the radio"]

CONFIG = f"""
models:
  para:
    engine: paraformer
    file: {VOICES}/ear_paraformer.onnx
    options: {{tokens: {VOICES}/ear_paraformer.txt}}
  live:
    engine: streaming-paraformer
    file: {VOICES}/ear_streaming_encoder.onnx
    options: {{decoder: {VOICES}/ear_streaming_decoder.onnx,
              tokens: {VOICES}/ear_paraformer.txt}}
  wisp:
    engine: whisper
    file: {VOICES}/ear_whisper_encoder.onnx
    options: {{decoder: {VOICES}/ear_whisper_decoder.onnx, tokens: {VOICES}/ear_whisper.txt}}
  moon:
    engine: moonshine
    file: {VOICES}/ear_moonshine_encode.onnx
    options:
      preprocessor: {VOICES}/ear_moonshine_preprocess.onnx
      uncached_decoder: {VOICES}/ear_moonshine_uncached.onnx
      cached_decoder: {VOICES}/ear_moonshine_cached.onnx
      tokens: {VOICES}/ear_moonshine.txt
  sense:
    kind: speech
    engine: sense-voice
    file: {VOICES}/ear_sense.onnx
    options: {{tokens: {VOICES}/ear_sense.txt, language: en, punctuation: {VOICES}/marks.onnx}}
"""


def say(path, sentences, pause=1.0):
    """A recording of the sentences as the models hear them, and where each begins."""
    samples, starts = array.array("h", [0] * 16000), []
    for sentence in sentences:
        starts.append(len(samples) / 16000)
        for word in sentence.split():
            samples.extend(round(9000 * math.sin(2 * math.pi * WORDS[word] * i / 16000)
                                 * math.sin(math.pi * i / 4000)) for i in range(4000))
        samples.extend([0] * int(16000 * pause))
    write_wav(path, samples.tobytes())
    return starts


class Listen(Household):
    def setUp(self):
        super().setUp()
        self.configure(CONFIG)
        self.talk = self.dir / "talk.wav"
        self.starts = say(self.talk, SAID)

    def test_each_engine_is_a_model_like_the_others(self):
        for model in ("para", "live", "moon"):
            page = json.loads(self.ok("transcribe", self.talk, "-m", model, "--format", "json"))
            self.assertEqual([s["text"] for s in page["segments"]], SAID, model)
            for segment, start in zip(page["segments"], self.starts):
                self.assertAlmostEqual(segment["start"], start, delta=0.15)
        self.assertEqual(self.ok("transcribe", self.talk, "-m", "wisp").splitlines(),
                         [" ".join(SAID)])  # both fit its window
        self.assertEqual(self.ok("transcribe", self.talk, "-m", "sense").splitlines(),
                         ["please\uff0cturn on the kitchen light\u3002",
                          "turn off the radio\u3002"])
        srt = self.ok("transcribe", self.talk, "-m", "para", "--format", "srt")
        self.assertIn("00:00:01,", srt)
        running = {m["model"]: m for m in json.loads(self.ok("ps", "--json"))["running"]}
        self.assertEqual(running["para"]["kind"], "speech")
        self.assertGreater(running["para"]["predicted_bytes"], 48 << 20)
        self.assertLess(running["para"]["measured_bytes"], running["para"]["predicted_bytes"])

    def test_the_job_and_the_page_say_the_same(self):
        (job,) = self.ok("submit", "transcribe", self.talk, "--params",
                         json.dumps({"model": "para"})).split()
        self.assertEqual(self.wait_for_job(job)["state"], "done")
        page = json.loads(self.ok("show", job, "--result"))
        self.serve()
        self.assertEqual(self.heard_over_http(self.talk, "para"), SAID)
        self.assertEqual([s["text"] for s in page["segments"]], SAID)

    @unittest.skipUnless(GTCRN.exists(), "gtcrn_simple.onnx is not beside this checkout")
    def test_a_denoiser_goes_before(self):
        model = self.dir / "gtcrn.onnx"
        subprocess.run(["/usr/bin/python3", "-B", VOICES / "add_properties.py", GTCRN, model,
                        "gtcrn"], check=True)
        self.configure(f"""{CONFIG}
  clean:
    engine: paraformer
    file: {VOICES}/ear_paraformer.onnx
    options: {{tokens: {VOICES}/ear_paraformer.txt, denoise: {model}}}
""")
        # A tone is no speech: what is left of it is the real denoiser's business.
        page = json.loads(self.ok("transcribe", self.talk, "-m", "clean", "--format", "json"))
        self.assertLessEqual(len(page["segments"]), 2)

    def test_models_of_other_kinds_end_their_worker_alone(self):
        vad = SHARED / "silero_vad.onnx"
        bad = self.dir / "bad.onnx"
        shutil.copyfile(vad if vad.exists() else VOICES / "tones.onnx", bad)
        tokens = f"{VOICES}/ear_paraformer.txt"
        self.configure(f"""{CONFIG}
  bad-paraformer: {{engine: paraformer, file: {bad}, options: {{tokens: {tokens}}}}}
  bad-sense: {{engine: sense-voice, file: {bad}, options: {{tokens: {tokens}}}}}
  bad-stream: {{engine: streaming-paraformer, file: {bad},
               options: {{decoder: {bad}, tokens: {tokens}}}}}
  bad-whisper: {{engine: whisper, file: {bad}, options: {{decoder: {bad}, tokens: {tokens}}}}}
  bad-moonshine: {{engine: moonshine, file: {bad}, options: {{tokens: {tokens}}}}}
  bad-tokens: {{engine: paraformer, file: {VOICES}/ear_paraformer.onnx,
               options: {{tokens: {bad}}}}}
  bad-marks: {{engine: paraformer, file: {VOICES}/ear_paraformer.onnx,
              options: {{tokens: {tokens}, punctuation: {bad}}}}}
  bad-denoise: {{engine: paraformer, file: {VOICES}/ear_paraformer.onnx,
                options: {{tokens: {tokens}, denoise: {bad}}}}}
  voice-as-ear: {{engine: paraformer, file: {VOICES}/tones.onnx, options: {{tokens: {tokens}}}}}
""")
        self.serve()
        for model in ("bad-paraformer", "bad-sense", "bad-stream", "bad-whisper", "bad-moonshine",
                      "bad-tokens", "bad-marks", "bad-denoise", "voice-as-ear"):
            done = self.gantry("transcribe", self.talk, "-m", model)
            self.assertIn(done.returncode, (1, 4), f"{model}: {done.stdout}{done.stderr}")
            self.assertEqual(done.stdout, "", model)
            self.assertTrue(done.stderr.splitlines()[-1].startswith("gantry: "), done.stderr)
            self.assertFalse(self.pids("gantry-voice"), model)
        self.assertEqual(self.ok("transcribe", self.talk, "-m", "para").splitlines(), SAID)
        self.refused(1, "speak", "hello", "-m", "para", "-o", self.dir / "x.wav",
                     says="this worker transcribes")


if __name__ == "__main__":
    unittest.main()
