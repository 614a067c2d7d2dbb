"""People told apart by the weights that the set-up fetches: a conversation that strangers had, and
people one after the other, whose turns are known. Error rates forgive 250 ms around every turn's
beginning and end, and pauses of half a second are a turn's own; nothing else is forgiven."""

import json
import pathlib
import subprocess
import unittest

from household import BIN, ROOT, Household, installed, make_meeting, wait_until
from test_english import RECORDINGS
from test_words import jfk
from turns import converse, error_rate, of_moonshine, parse_rttm, samples_of

CONVERSATION = installed("PYANNOTE_SAMPLE") / "share"
STAND_INS = f"""
models:
  own:
    kind: diarization
    file: {ROOT}/lab/voice/seg_energy.onnx
    embedding: {ROOT}/lab/voice/spk_stats.onnx
"""


class ErrorRate(unittest.TestCase):
    TRUTH = [(0, 10, "a"), (11, 21, "b")]

    def rate(self, told, **wish):
        return round(error_rate(self.TRUTH, told, **wish), 3)

    def test_what_is_missed_invented_or_confused_counts(self):
        self.assertEqual(self.rate([(0, 10, 1), (11, 21, 0)]), 0)  # names are free
        self.assertEqual(self.rate([]), 1)
        self.assertEqual(self.rate([(0, 10, 0), (11, 21, 0)]), 0.5)  # confused
        self.assertEqual(self.rate([(0, 10, 0)]), 0.5)  # missed
        self.assertEqual(self.rate([(0, 10, 0), (11, 21, 1), (0, 10, 2)]), 0.5)  # invented
        self.assertEqual(self.rate([(0, 5, 0), (5, 10, 2), (11, 21, 1)], collar_s=0), 0.25)

    def test_the_collar_is_what_is_forgiven(self):
        late = [(0.2, 10.2, 0), (11.2, 21.2, 1)]
        self.assertEqual(self.rate(late), 0)
        self.assertEqual(self.rate(late, collar_s=0), 0.04)
        self.assertGreater(self.rate([(0.4, 10, 0), (11, 21, 1)]), 0)


@unittest.skipUnless((BIN / "campplus.onnx").exists(), "the weights are not beside the programs")
class Speakers(Household):
    def told(self, recording, *flags):
        return parse_rttm(self.ok("diarize", recording, "--format", "rttm", *flags, timeout=600))

    def check(self, recording, truth, people, most):
        """For a known and an unknown number of people: as many as there are, and few errors."""
        for flags in (("--speakers", people), ()):
            told = self.told(recording, *flags)
            rate = error_rate(truth, told)
            print(f"{pathlib.Path(recording).name} {flags}: {100 * rate:.1f} % wrong", flush=True)
            self.assertEqual(len({who for *_, who in told}), people, told)
            self.assertLessEqual(rate, most, told)
            for start, end, _ in told:
                self.assertLess(start, end)

    def reader(self):
        return samples_of(RECORDINGS / "two_cities.wav")

    def test_a_conversation_of_strangers(self):
        """Two at the telephone, who interrupt each other; the reference is its publisher's."""
        truth = parse_rttm((CONVERSATION / "sample.rttm").read_text())
        self.check(CONVERSATION / "sample.wav", truth, 2, 0.1)

    def test_people_one_after_the_other(self):
        reader, sound = self.reader(), self.dir / "people.wav"
        president, other = jfk(self.dir), of_moonshine("clone-test.wav", self.dir)
        if not president or not other:
            self.skipTest("the archives are not in the cache any more")
        president = samples_of(president)

        def part(samples, start_s, end_s):
            return samples[int(start_s * 16000):int(end_s * 16000)]
        truth = converse(sound, [
            (part(reader, 1, 8.5), "reader"), (part(president, 0, 4.8), "president"),
            (part(reader, 13.3, 20.6), "reader"), (samples_of(other), "other"),
            (part(president, 5, 11), "president"), (part(reader, 24.5, 32.4), "reader")])
        self.check(sound, truth, 3, 0.1)

    def test_one_person_is_one(self):
        sound = self.dir / "one.wav"
        converse(sound, [(self.reader()[:20 * 16000], "reader"),
                         (samples_of(RECORDINGS / "beckett.wav"), "reader")])
        self.assertEqual(len({who for *_, who in self.told(sound)}), 1)

    def test_words_have_their_speakers(self):
        sound = self.dir / "words.wav"
        president = jfk(self.dir)
        if not president:
            self.skipTest("the archive is not in the cache any more")
        truth = converse(sound, [(self.reader()[16000:8 * 16000], "reader"),
                                 (samples_of(president), "president")])
        page = json.loads(self.ok("transcribe", sound, "-m", "moonshine-tiny-en", "--speakers", 0,
                                  "--format", "json", timeout=600))
        turn = max(end for _, end, who in truth if who == "reader")
        for segment in page["segments"]:
            middle = (segment["start"] + segment["end"]) / 2
            self.assertEqual(segment["speaker"], 0 if middle < turn else 1, page)
        said = {who: " ".join(s["text"] for s in page["segments"] if s["speaker"] == who).lower()
                for who in (0, 1)}
        self.assertIn("best of times", said[0])
        self.assertIn("your country", said[1])

    def test_the_api_names_no_model(self):
        self.start("--listen", f"127.0.0.1:{self.port}", program="gantryd")
        wait_until(lambda: self.gantry("ps").returncode == 0, 20, "the daemon")
        url = f"http://127.0.0.1:{self.port}/v1/audio/diarization"

        def post(*fields):
            ask = ["curl", "-s", "--fail", url, "-F", f"file=@{CONVERSATION / 'sample.wav'}"]
            for field in fields:
                ask += ["-F", field]
            return subprocess.run(ask, check=True, capture_output=True, text=True).stdout
        page = json.loads(post())
        self.assertEqual(page["num_speakers"], 2)
        truth = parse_rttm((CONVERSATION / "sample.rttm").read_text())
        turns = [(t["start"], t["end"], t["speaker"]) for t in page["turns"]]
        self.assertLessEqual(error_rate(truth, turns), 0.1)
        self.assertEqual(len({who for *_, who in parse_rttm(post(
            "num_speakers=1", "response_format=rttm"))}), 1)

    def steps(self, *flags):
        page = json.loads(self.ok("diarize", CONVERSATION / "sample.wav", "--format", "json",
                                  *flags, timeout=600))
        return page["steps"]

    def test_the_plan_has_room_for_it(self):
        [step] = [s for s in self.steps() if s["model"] == "speakers"]
        print(f"speakers: {step['measured_bytes'] >> 20} MiB of {step['predicted_bytes'] >> 20}",
              flush=True)
        self.assertGreater(step["measured_bytes"], 30 << 20)  # the weights alone are more
        self.assertLessEqual(step["measured_bytes"], step["predicted_bytes"])

    def test_a_configured_one_comes_first(self):
        folder = self.dir / "cfg" / "gantry"
        folder.mkdir(parents=True)
        (folder / "config.yaml").write_text(STAND_INS)
        self.assertIn("own", [step["model"] for step in self.steps()])
        self.assertIn("speakers", [step["model"] for step in self.steps("-m", "speakers")])

    def test_minutes_say_who_spoke(self):
        """The demo's two voices are a synthesiser's; of people nothing else is known than above."""
        folder = self.dir / "meeting"
        make_meeting(folder, 6, 12, 1)
        truth = json.loads((folder / "truth.json").read_text())
        ask = ("minutes", folder / "recording.wav", "--format", "json")
        page = json.loads(self.ok(*ask, "--speakers", 2, timeout=600))
        plain = json.loads(self.ok(*ask, timeout=600))
        text = self.ok("minutes", folder / "recording.wav", "--speakers", 2, timeout=600)
        self.assertRegex(text, r"speaker 1: \w+(.|\n)*speaker 2: \w+")
        # What was decided does not depend on who said it.
        self.assertEqual(page["minutes"], plain["minutes"])
        self.assertIn("speakers", [step["model"] for step in page["steps"]])
        self.assertNotIn("speaker", plain["transcript"][0])
        right = 0
        for segment in page["transcript"]:
            middle = (segment["start"] + segment["end"]) / 2
            near = min(truth["utterances"], key=lambda u: abs((u["start"] + u["end"]) / 2 - middle))
            right += segment.get("speaker", -1) == near["speaker"] - 1
        print(f"minutes: {right} of {len(page['transcript'])} lines by the right voice", flush=True)
        self.assertGreaterEqual(right, 0.8 * len(page["transcript"]))


if __name__ == "__main__":
    unittest.main()
