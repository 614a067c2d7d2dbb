"""Words with their times, doubts about what was heard, and several pieces at once."""

import json
import pathlib
import shutil
import struct
import subprocess
import tarfile
import tempfile
import unittest
import urllib.error
import urllib.request
import wave

from household import BIN, MODELS, ROOT, Household, wait_until

# Data beside a checkout, where there is any.
DATA = next((base / "shared" / "data" / "asr" for base in ROOT.parents
             if (base / "shared" / "data" / "asr").exists()), pathlib.Path("nowhere"))
# Real speech that a model of 40 words cannot know: in the source archive that deps/fetch keeps.
ARCHIVE = "pywhispercpp-1.5.1.tar.gz"


def jfk(folder):
    """The recording, if the archive is still in the cache."""
    for cache in (pathlib.Path.home() / ".cache" / "gantry", ROOT / ".cache"):
        archive = cache / "downloads" / ARCHIVE
        if not archive.exists():
            continue
        with tarfile.open(archive) as tar:
            for member in tar:
                if member.name.endswith("whisper.cpp/samples/jfk.wav"):
                    (folder / "jfk.wav").write_bytes(tar.extractfile(member).read())
                    return folder / "jfk.wav"
    return None


class Words(Household):
    def segments(self, file, *flags):
        return json.loads(self.ok("transcribe", "--format", "json", *flags, file))["segments"]

    def test_each_word_has_its_time_and_probability(self):
        for segment in self.segments(self.speech()):
            words = segment["words"]
            self.assertEqual(" ".join(word["word"] for word in words), segment["text"])
            last = segment["start"]
            for word in words:
                self.assertLessEqual(last, word["start"])
                self.assertLess(word["start"], word["end"])
                self.assertTrue(0 < word["probability"] <= 1)
                last = word["end"]
            self.assertLessEqual(last, segment["end"])
            self.assertLessEqual(segment["avg_logprob"], 0)
            self.assertLess(segment["no_speech_prob"], 0.5)

    def upload(self, *fields):
        """POST /v1/audio/transcriptions; the status and the answer."""
        parts = [("model", b"micro-asr"), *((k, v.encode()) for k, v in fields),
                 ('file"; filename="a.wav', self.speech().read_bytes())]
        body = b"".join(f'--XX\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'.encode()
                        + value + b"\r\n" for name, value in parts) + b"--XX--\r\n"
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/v1/audio/transcriptions", body,
            {"Content-Type": "multipart/form-data; boundary=XX"})
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def test_words_over_http_as_openai_has_them(self):
        self.start("--listen", f"127.0.0.1:{self.port}", program="gantryd")
        wait_until(lambda: self.gantry("ps").returncode == 0, 20, "the daemon")
        word, segment = (("timestamp_granularities[]", each) for each in ("word", "segment"))
        verbose = ("response_format", "verbose_json")
        status, both = self.upload(verbose, word, segment)
        self.assertEqual(status, 200)
        self.assertEqual(" ".join(each["word"] for each in both["words"]), both["text"])
        self.assertEqual({"word", "start", "end", "probability"}, set(both["words"][0]))
        self.assertLessEqual(both["segments"][0]["avg_logprob"], 0)
        status, words = self.upload(verbose, word)
        self.assertNotIn("segments", words)
        status, plain = self.upload(verbose)
        self.assertNotIn("words", plain)
        status, refused = self.upload(word)
        self.assertEqual(status, 400)
        self.assertIn("verbose_json", refused["error"]["message"])

    def test_speech_beyond_the_model_is_flagged_and_not_invented_silently(self):
        file = jfk(self.dir)
        if file is None:
            self.skipTest(f"{ARCHIVE} is not in the cache")
        segments = self.segments(file)
        self.assertGreater(len(segments), 2)
        flagged = [segment for segment in segments if segment.get("low_confidence")]
        self.assertGreaterEqual(len(flagged), 0.75 * len(segments), segments)
        done = self.gantry("transcribe", file)
        self.assertEqual(done.returncode, 0, done.stderr)
        marked = [line for line in done.stdout.splitlines() if line.startswith("(?) ")]
        self.assertEqual(len(marked), len(flagged), done.stdout)
        self.assertEqual(done.stderr.count("(?)"), 1, done.stderr)
        self.assertIn(f"jfk.wav: {len(flagged)} of {len(segments)} segments", done.stderr)

    @unittest.skipUnless(DATA.is_dir(), "../shared/data/asr is not there")
    def test_speech_that_the_model_knows_is_not_flagged(self):
        flagged = [file.name for file in sorted(DATA.glob("[0-9]*.wav"))
                   for segment in self.segments(file) if segment.get("low_confidence")]
        self.assertLessEqual(len(flagged), 1, flagged)

    def test_pieces_at_once_give_the_same_transcript(self):
        folder = self.dir / "cfg" / "gantry"
        folder.mkdir(parents=True)
        lines = [f"  {name}: {{file: {MODELS / 'micro-asr.bin'}, parallel: {pieces}, "
                 'env: ["OMP_NUM_THREADS=1"]}'
                 for name, pieces in (("one", 1), ("three", 3))]
        (folder / "config.yaml").write_text("models:\n" + "\n".join(lines) + "\n")
        one, three = (self.segments(self.speech(), "-m", name) for name in ("one", "three"))
        self.assertGreaterEqual(len(one), 6)
        self.assertEqual([s["text"] for s in one], [s["text"] for s in three])
        self.assertEqual([s["start"] for s in one], [s["start"] for s in three])
        planned = {}
        for job in json.loads(self.ok("jobs", "--json"))["data"]:
            for step in self.job(job["id"])["result"]["steps"]:
                planned[step["model"]] = step["predicted_bytes"]
                self.assertLessEqual(step["measured_bytes"], step["predicted_bytes"], step)
        self.assertLess(planned["one"], planned["three"])


class Length(unittest.TestCase):
    """What a worker and a decoder hold does not grow with the recording."""

    def setUp(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="gl"))
        self.addCleanup(shutil.rmtree, self.dir)

    def recording(self, seconds, every):
        """Silence, as a file with holes, with a spoken command in it every so many seconds."""
        with wave.open(str(ROOT / "worker/testdata/stop_the_radio.wav")) as said:
            words = said.readframes(said.getnframes())
        path, size = self.dir / f"{seconds}.wav", seconds * 32_000
        with open(path, "wb") as file:
            file.write(b"RIFF" + struct.pack("<I", size + 36) + b"WAVEfmt " +
                       struct.pack("<IHHIIHH", 16, 1, 1, 16_000, 32_000, 2, 16) +
                       b"data" + struct.pack("<I", size))
            for at in range(every // 2, seconds - 2, every):
                file.seek(44 + at * 32_000)
                file.write(words)
            file.truncate(44 + size)
        return path

    def heard(self, path):
        """Segments, and the most that the worker ever held, in MiB."""
        with subprocess.Popen([BIN / "gantry-worker", "speech", "-m", MODELS / "micro-asr.bin",
                               "--parallel", "3"], stdin=subprocess.PIPE, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as worker:
            worker.stdout.readline()
            worker.stdin.write(json.dumps({"op": "transcribe", "wav": str(path)}) + "\n")
            worker.stdin.flush()
            segments = []
            while "done" not in (line := json.loads(worker.stdout.readline())):
                segments.append(line["segment"])
            status = pathlib.Path(f"/proc/{worker.pid}/status").read_text()
            worker.stdin.close()
        return segments, int(status.split("VmHWM:")[1].split()[0]) / 1024

    def test_ten_hours_take_no_more_memory_than_ten_minutes(self):
        short, held = self.heard(self.recording(600, 60))
        long, most = self.heard(self.recording(36_000, 3_600))
        self.assertEqual({s["text"] for s in short + long}, {"stop the radio"})
        self.assertEqual((len(short), len(long)), (10, 10))
        self.assertEqual(long[-1]["start_ms"] // 1000, 34_200)
        # A byte for each 20 ms, once more while the list grows.
        self.assertLess(most, held + 6, "MiB")


if __name__ == "__main__":
    unittest.main()
