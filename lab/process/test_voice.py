"""Speech out and speakers told apart, with the real espeak-ng and the real sherpa-onnx.

The models of lab/voice have no weights: what is checked is structure, order and bytes, never how
well a voice sounds or how well speakers are told apart.
"""

import array
import json
import pathlib
import re
import shutil
import signal
import subprocess
import unittest
import urllib.error
import urllib.request
import wave

from household import MODELS, ROOT, Household, kill, wait_until

VOICES = ROOT / "lab" / "voice"
# Data beside a checkout, where there is any.
SHARED = next((base / "shared" / "data" for base in ROOT.parents
               if (base / "shared" / "data").exists()), pathlib.Path("nowhere"))
ESPEAK = shutil.which("espeak-ng")

CONFIG = f"""
models:
  tones:
    kind: voice
    engine: vits
    file: {VOICES}/tones.onnx
    options: {{tokens: {VOICES}/tones.txt}}
    voices: {{low: 0, high: 1}}
  who:
    kind: diarization
    file: {VOICES}/seg_energy.onnx
    embedding: {VOICES}/spk_stats.onnx
    speakers: 2
"""


class Voice(Household):
    def setUp(self):
        super().setUp()
        folder = self.dir / "cfg" / "gantry"
        folder.mkdir(parents=True)
        (folder / "config.yaml").write_text(CONFIG)

    def post(self, path, body, kind="application/json"):
        """The open answer to a request."""
        data = json.dumps(body).encode() if kind == "application/json" else body
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data,
                                         {"Content-Type": kind})
        return urllib.request.urlopen(request, timeout=120)

    def refusal(self, path, body, kind="application/json"):
        with self.assertRaises(urllib.error.HTTPError) as caught:
            self.post(path, body, kind)
        return caught.exception.code, json.loads(caught.exception.read())["error"]

    def spoken(self, *args):
        out = self.dir / "out.wav"
        self.ok("speak", *args, "-o", out)
        return out

    @unittest.skipUnless(ESPEAK, "espeak-ng is not installed")
    def test_our_own_ears_hear_what_we_say(self):
        for command in ("turn on the kitchen light", "stop the radio"):
            out = self.spoken(command, "-m", "espeak", "--voice", "en-us")
            with wave.open(str(out)) as sound:
                self.assertEqual((sound.getnchannels(), sound.getframerate()), (1, 22050))
                self.assertGreater(sound.getnframes(), 22050)
            heard = self.ok("transcribe", out).lower()
            # micro-asr was trained on recordings of another synthesiser: most of the words.
            words = re.findall(r"[a-z]+", heard)
            self.assertGreaterEqual(sum(word in words for word in command.split()), 2, heard)

    def test_a_script_has_a_voice_for_each(self):
        script = self.dir / "script.txt"
        script.write_text("anna: ab.\nbob: ab.\nanna: c.\n")
        out = self.spoken(script, "-m", "tones", "--speaker", "anna=low", "--speaker", "bob=high")
        with wave.open(str(out)) as sound:
            samples = array.array("h", sound.readframes(sound.getnframes()))
        tone, pause = 960, int(0.3 * 16000)
        self.assertEqual(len(samples), (3 + 3 + 2) * tone + 2 * pause)
        self.assertNotEqual(samples[:tone], samples[3 * tone + pause:4 * tone + pause])
        script.write_text("".join(f"n{i} x: hello.\n" for i in range(5)))
        self.refused(2, "speak", script, "--script", "-o", out, says="more than 4 speakers")

    def test_sound_comes_while_the_rest_is_not_made(self):
        self.serve()
        text = " ".join(f"This is sentence number {i} of a long text." for i in range(240))
        self.assertGreater(len(text), 10_000)
        with self.post("/v1/audio/speech", {"model": "tones", "input": text, "voice": "low",
                                            "response_format": "wav"}) as answer:
            head = answer.read(44)
            self.assertEqual((head[:4], head[8:12]), (b"RIFF", b"WAVE"))
            sound = answer.read()
        # Every character is a tone; blanks between sentences are not said.
        self.assertEqual(len(sound), 2 * 960 * (len(text) - 239))
        with self.post("/v1/audio/speech", {"model": "tones", "input": text, "voice": "low",
                                            "response_format": "wav"}) as answer:
            answer.read(44 + 2 * 960 * 10)  # ten characters: the worker waits with 18 MB of others
            for pid in self.pids("gantry-voice"):
                kill(pid)
            rest = answer.read()
        self.assertLess(len(rest), len(sound) - 2 * 960 * 10)
        self.spoken("all is well", "-m", "tones")

    def decoded(self, path, rate):
        """The samples of a sound file at that rate, by another library than the one that wrote."""
        raw = subprocess.run(["ffmpeg", "-v", "error", "-i", path, "-f", "s16le", "-ac", "1", "-ar",
                              str(rate), "-"], check=True, capture_output=True).stdout
        return array.array("h", raw)

    @staticmethod
    def likeness(want, got, shift_max):
        """Correlation at the best of all shifts: mp3 begins with its encoder's delay."""
        def at(shift):
            pairs = list(zip(want[::7], got[shift::7]))
            norm = sum(a * a for a, _ in pairs) * sum(b * b for _, b in pairs)
            return sum(a * b for a, b in pairs) / (norm ** 0.5 or 1)
        return max(at(shift) for shift in range(shift_max))

    @unittest.skipUnless(shutil.which("ffmpeg"), "ffmpeg is not installed")
    def test_every_format_is_the_same_sound(self):
        self.serve()
        ask = {"model": "tones", "voice": "low", "input": "abc dab."}
        with self.post("/v1/audio/speech", {**ask, "response_format": "pcm"}) as answer:
            rate = int(answer.headers["X-Sample-Rate"])
            want = array.array("h", answer.read())
        self.assertGreater(len(want), rate // 4)
        for name, ending, kind, slack in (("mp3", "mp3", "audio/mpeg", 0.3),
                                          ("flac", "flac", "audio/flac", 0.001),
                                          ("opus", "ogg", "audio/ogg; codecs=opus", 0.03),
                                          (None, "mp3", "audio/mpeg", 0.3)):
            with self.subTest(format=name):
                asked = {**ask, "response_format": name} if name else ask
                with self.post("/v1/audio/speech", asked) as answer:
                    self.assertEqual(answer.headers["Content-Type"], kind)
                    (self.dir / "api").write_bytes(answer.read())
                self.ok("speak", ask["input"], "-m", "tones", "--voice", "low", "-o",
                        self.dir / f"cli.{ending}")
                for file in (self.dir / "api", self.dir / f"cli.{ending}"):
                    got = self.decoded(file, rate)
                    self.assertAlmostEqual(len(got) / rate, len(want) / rate, delta=slack)
                    self.assertGreater(self.likeness(want, got, 1 if name == "flac" else 3000),
                                       0.999 if name == "flac" else 0.95)
                probed = subprocess.run(
                    ["ffprobe", "-v", "error", "-show_entries", "stream=codec_name,sample_rate",
                     "-of", "csv=p=0", self.dir / "api"], check=True, capture_output=True,
                    text=True).stdout.strip()
                self.assertEqual(probed, f"{name or 'mp3'},{48000 if name == 'opus' else rate}")
        self.refused(2, "speak", "hello", "-o", self.dir / "x.m4a", says=".mp3, .flac")
        self.assertFalse((self.dir / "x.m4a").exists())
        self.assertFalse(self.pids("gantry-encode"))

    @unittest.skipUnless(shutil.which("ffmpeg"), "ffmpeg is not installed")
    def test_encoded_sound_comes_while_the_rest_is_not_made(self):
        self.serve()
        text = " ".join(f"This is sentence number {i} of a long text." for i in range(240))
        for name in ("mp3", "flac", "opus"):
            with self.post("/v1/audio/speech", {"model": "tones", "input": text, "voice": "low",
                                                "response_format": name}) as answer:
                self.assertTrue(answer.read(2_000))
                for pid in self.pids("gantry-encode"):
                    kill(pid)
                (self.dir / "cut").write_bytes(answer.read())
            self.assertFalse(self.pids("gantry-encode"))
        self.spoken("all is well", "-m", "tones")

    def test_wrong_requests_are_answered_and_nothing_else_happens(self):
        self.serve()
        ask = {"model": "tones", "voice": "low"}
        for change, status, words in (
                ({"input": ""}, 400, "nothing to say"),
                ({"input": " \n- ... "}, 400, "nothing to say"),
                ({"input": "a" * 20_001}, 400, "more than 20000"),
                ({"input": "x\u0007y"}, 400, "control characters"),
                ({"input": "hello", "speed": 9}, 400, "0.25 to 4"),
                ({"input": "hello", "response_format": "midi"}, 400, "response_format"),
                ({"input": "hello", "response_format": "aac"}, 400, "mp3, flac, opus, wav or pcm"),
                ({"input": "hello", "voice": "nobody"}, 404, "there are low, high"),
                ({"input": "hello", "model": "nobody"}, 404, "tones"),
                ({"input": "hello", "model": "who"}, 400, "/v1/audio/diarization")):
            code, error = self.refusal("/v1/audio/speech", {**ask, **change})
            self.assertEqual(code, status, error)
            self.assertIn(words, error["message"])
        code, _ = self.refusal("/v1/audio/speech", b'{"input": "\xff\xfe", "model": "tones"}',
                               "application/octet-stream")
        self.assertEqual(code, 400)
        self.refused(2, "speak", "", "-o", self.dir / "x.wav", says="nothing to say")
        (self.dir / "latin.txt").write_bytes(b"caf\xe9")
        self.refused(2, "speak", self.dir / "latin.txt", "-o", self.dir / "x.wav", says="UTF-8")
        self.assertFalse((self.dir / "x.wav").exists())
        self.spoken("all is well", "-m", "tones")

    def test_a_model_that_is_none_ends_its_worker_alone(self):
        bad = self.dir / "bad.onnx"
        vad = SHARED / "silero_vad.onnx"
        shutil.copyfile(vad if vad.exists() else VOICES / "seg_energy.onnx", bad)
        (self.dir / "cfg" / "gantry" / "config.yaml").write_text(CONFIG + f"""
  bad:
    kind: voice
    engine: vits
    file: {bad}
    options: {{tokens: {VOICES}/tones.txt}}
""")
        self.serve()
        code, error = self.refusal("/v1/audio/speech", {"model": "bad", "input": "hello"})
        self.assertIn(code, (500, 502, 503), error)
        self.assertIn("bad", error["message"])
        self.refused(4, "speak", "hello", "-m", "bad", "-o", self.dir / "x.wav", says="bad")
        self.assertFalse((self.dir / "x.wav").exists())
        self.assertFalse(self.pids("gantry-voice"))
        self.spoken("all is well", "-m", "tones")  # the daemon, and its queue

    def test_a_gguf_voice_sounds_the_same_whatever_streams(self):
        self.same_sound("pocket-gguf", "make_speaker.py", 48_000)  # a second at least

    def test_a_voice_that_writes_codes_sounds_the_same_whatever_streams(self):
        self.same_sound("qwen3tts-gguf", "make_talker.py", 3_840)  # a frame at least

    def same_sound(self, engine, script, least):
        model, sound = self.dir / "voice.gguf", self.dir / "voice-sound.gguf"
        subprocess.run(["/usr/bin/python3", "-B", ROOT / "lab/stream" / script, model, sound],
                       check=True)
        presets = ("light", "moderate", "balanced", "aggressive", "extreme")
        config = CONFIG + f"""
  whole: {{engine: {engine}, file: {model}, options: {{projector: {sound}}}}}
  wrong: {{engine: {engine}, file: {MODELS}/micro-minutes.gguf, options: {{projector: {sound}}}}}
"""
        for preset in presets:
            config += f"""
  {preset}:
    {{engine: {engine}, file: {model}, options: {{projector: {sound}, stream: {preset}}}}}
"""
        (self.dir / "cfg" / "gantry" / "config.yaml").write_text(config)
        text = "No."
        whole = self.spoken(text, "-m", "whole").read_bytes()
        self.assertGreater(len(whole), least)
        for preset in presets:
            self.assertEqual(self.spoken(text, "-m", preset).read_bytes(), whole, preset)
        self.assertEqual(self.spoken("no", "-m", "tones").read_bytes()[:4], b"RIFF")
        done = self.gantry("speak", text, "-m", "wrong", "-o", self.dir / "x.wav")
        self.assertIn("no Pocket TTS model", done.stderr)

    def two_speakers(self):
        """Three stretches of two voices that even a stand-in tells apart."""
        script = self.dir / "two.txt"
        say = "a" * 40
        script.write_text(f"x: {say}\ny: {say}\nx: {say}\n")
        return self.spoken(script, "-m", "tones", "--speaker", "x=low", "--speaker", "y=high")

    def test_who_spoke_when(self):
        two = self.two_speakers()
        page = json.loads(self.ok("diarize", two, "--speakers", "2", "--format", "json"))
        turns = page["turns"]
        self.assertTrue(turns)
        self.assertLessEqual({turn["speaker"] for turn in turns}, {0, 1})
        self.assertEqual(turns[0]["speaker"], 0)
        for turn in turns:
            self.assertLess(turn["start"], turn["end"])
        lines = self.ok("diarize", two, "--format", "rttm").splitlines()
        for line in lines:
            self.assertRegex(line, r"^SPEAKER out\.wav 1 \d+\.\d{3} \d+\.\d{3} <NA> <NA> "
                                   r"speaker_\d <NA> <NA>$")
        self.assertIn("speaker 1", self.ok("diarize", two, "--threshold", "0.5"))
        body = b"".join(
            b"--xx\r\nContent-Disposition: form-data; " + name + b"\r\n\r\n" + value + b"\r\n"
            for name, value in ((b'name="model"', b"who"), (b'name="num_speakers"', b"2"),
                                (b'name="file"; filename="two.wav"', two.read_bytes())))
        with self.post("/v1/audio/diarization", body + b"--xx--\r\n",
                       "multipart/form-data; boundary=xx") as answer:
            self.assertEqual(json.loads(answer.read())["turns"], turns)

    @unittest.skipUnless((SHARED / "two_speakers.wav").exists(),
                         "two_speakers.wav is not beside this checkout")
    def test_a_recording_of_two_has_its_speakers_beside_its_words(self):
        two = SHARED / "two_speakers.wav"
        page = json.loads(self.ok("transcribe", two, "--speakers", "2", "--format", "json"))
        speakers = [segment["speaker"] for segment in page["segments"]]
        self.assertEqual(set(speakers), {0, 1})
        rttm = self.ok("transcribe", two, "--speakers", "2", "--format", "rttm")
        self.assertEqual(len(rttm.splitlines()), len(speakers))
        self.assertTrue(self.ok("transcribe", two, "--speakers", "2").startswith("speaker 1: "))
        self.refused(1, "transcribe", two, "--format", "rttm", says="--speakers")

    def test_a_killed_job_says_no_sentence_twice(self):
        text = " ".join(f"Sentence number {i}." for i in range(120))
        whole = self.spoken(text, "-m", "tones").read_bytes()
        self.ok("stop")
        self.serve()
        (job,) = self.ok("submit", "speak", "--params",
                         json.dumps({"text": text, "model": "tones"})).split()
        steps = self.state / "jobs" / job / "steps"
        wait_until(lambda: steps.exists() and len(list(steps.iterdir())) > 5, 30,
                   "a few sentences")
        self.background[-1].send_signal(signal.SIGKILL)
        self.background[-1].wait()
        kept = {path.name for path in steps.iterdir()}
        self.assertLess(len(kept), 120)  # it was killed in the middle
        self.serve()
        self.assertEqual(self.wait_for_job(job)["state"], "done")
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/v1/jobs/{job}/result") as got:
            self.assertEqual(got.headers["Content-Type"], "audio/wav")
            self.assertEqual(got.read(), whole)

    def test_an_interrupt_leaves_no_half_file(self):
        text = " ".join(f"Sentence number {i} of many." for i in range(400))
        out = self.dir / "long.wav"
        process = self.start("speak", text, "-m", "tones", "-o", out)
        wait_until(lambda: self.pids("gantry-voice"), 30, "the voice")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
        self.assertEqual([], [p for p in self.dir.glob("long.wav*")])


if __name__ == "__main__":
    unittest.main()
