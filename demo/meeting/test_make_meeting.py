"""Tests of the meeting generator: needs espeak-ng, Pillow and the DejaVu fonts."""
import array
import json
import pathlib
import tempfile
import unittest
import wave

import make_meeting
import grammar
import speech

COMMANDS = 5


def samples_of(path):
    with wave.open(str(path)) as recording:
        assert recording.getframerate() == speech.RATE and recording.getnchannels() == 1
        pcm = array.array("h")
        pcm.frombytes(recording.readframes(recording.getnframes()))
    return pcm


class Meeting(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.path = pathlib.Path(cls.folder.name) / "a"
        cls.truth = make_meeting.make_meeting(3, cls.path, COMMANDS, screens=2, things=3)
        cls.pcm = samples_of(cls.path / "recording.wav")

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def test_same_seed_same_files(self):
        again = pathlib.Path(self.folder.name) / "b"
        make_meeting.make_meeting(3, again, COMMANDS, screens=2, things=3)
        names = ["recording.wav", "truth.json", "screens/00.png", "screens/01.png"]
        for name in names:
            self.assertEqual((self.path / name).read_bytes(), (again / name).read_bytes(), name)
        make_meeting.make_meeting(4, again, COMMANDS, screens=0, things=3)
        self.assertNotEqual((self.path / "recording.wav").read_bytes(),
                            (again / "recording.wav").read_bytes())

    def test_truth_is_what_was_written(self):
        self.assertEqual(json.loads((self.path / "truth.json").read_text()), self.truth)
        self.assertEqual(len(self.truth["utterances"]), COMMANDS)
        self.assertAlmostEqual(self.truth["seconds"], len(self.pcm) / speech.RATE, places=2)

    def test_speakers_take_turns_with_silences_between(self):
        lines = self.truth["utterances"]
        self.assertEqual([line["speaker"] for line in lines], [1, 2, 1, 2, 1])
        for before, after in zip(lines, lines[1:]):
            pause = after["start"] - before["end"]
            self.assertTrue(0.59 <= pause <= 1.21, pause)
            quiet = self._peak(before["end"] + 0.02, after["start"] - 0.02)
            self.assertLess(quiet, 0.01)
        for line in lines:
            self.assertLessEqual(line["end"] - line["start"], make_meeting.UTTERANCE_S_MAX)
            self.assertGreater(self._peak(line["start"], line["end"]), 0.05)

    def _peak(self, start, end):
        part = self.pcm[int(start * speech.RATE):int(end * speech.RATE)]
        return max(abs(sample) for sample in part) / 32768

    def test_screens_are_held_out(self):
        for screen in self.truth["screens"]:
            lines = screen["answer"].split("\n")
            self.assertGreaterEqual(len(lines), 3)
            for i in range(1, len(lines), 2):
                self.assertTrue(grammar.pair_is_held(lines[i - 1], lines[i]))


if __name__ == "__main__":
    unittest.main()
