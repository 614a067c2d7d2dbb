"""Real English, heard by the recogniser that the set-up fetches: weights that were trained, people
who read, espeak-ng's voice, and a recording of minutes whose seams lie in running speech."""

import array
import json
import unittest
import wave

from household import BIN, Household, installed
from test_words import jfk

MODEL = "moonshine-tiny-en"
RECORDINGS = installed("MOONSHINE_TINY_EN") / "share"
# Charles Dickens, 1859, as far as it is read.
TWO_CITIES = """It was the best of times, it was the worst of times, it was the age of wisdom, it
was the age of foolishness, it was the epoch of belief, it was the epoch of incredulity, it was the
season of light, it was the season of darkness, it was the spring of hope, it was the winter of
despair, we had everything before us, we had nothing before us, we were all going direct to heaven,
we were all going direct the other way - in short, the period was so far like the present period,
that some of its noisiest authorities insisted on its being received, for good or for evil, in the
superlative degree of comparison only."""
BECKETT = "Ever tried. Ever failed. No matter. Try again. Fail again. Fail better."
JFK = """And so, my fellow Americans, ask not what your country can do for you, ask what you can do
for your country."""
SPOKEN = """The train from London arrives at noon. Please bring the blue folder and two pens. We
will talk about the new house in the garden."""


def repeated(recording, times, out):
    """The same words again and again, without a silence longer than the reader's own."""
    with wave.open(str(recording)) as source:
        rate, frames = source.getframerate(), source.readframes(source.getnframes())
    samples = array.array("h", frames)
    loud = [i for i in range(0, len(samples), 480) if max(map(abs, samples[i:i + 480])) > 600]
    spoken = samples[loud[0]:loud[-1] + 480 + rate // 5]
    with wave.open(str(out), "wb") as target:
        target.setnchannels(1)
        target.setsampwidth(2)
        target.setframerate(rate)
        target.writeframes(spoken.tobytes() * times)
    return len(spoken) * times / rate


@unittest.skipUnless((BIN / MODEL).is_dir(), "the recogniser is not beside the programs")
class English(Household):
    def errors(self, recording, said):
        """Word errors of the recogniser, and how many words there are."""
        reference = self.dir / "said.txt"
        reference.write_text(said)
        page = json.loads(self.ok("compare", recording, "-m", MODEL, "-m", "micro-asr",
                                  "--reference", reference, "--json", timeout=300))
        wrong = page["engines"][0]["against_reference"]
        return wrong["substituted"] + wrong["deleted"] + wrong["inserted"], wrong["words"]

    def test_people_are_understood(self):
        wrong, words = self.errors(RECORDINGS / "two_cities.wav", TWO_CITIES)
        self.assertEqual(words, 119)
        self.assertLessEqual(wrong, 6)
        self.assertLessEqual(self.errors(RECORDINGS / "beckett.wav", BECKETT)[0], 1)
        if speech := jfk(self.dir):
            self.assertLessEqual(self.errors(speech, JFK)[0], 1)

    def test_what_the_machine_says_it_understands(self):
        sound = self.dir / "spoken.flac"
        self.ok("speak", SPOKEN, "-m", "espeak", "-o", sound)
        wrong, words = self.errors(sound, SPOKEN)
        self.assertLessEqual(wrong, words // 4)

    def test_no_word_is_lost_or_doubled_at_seams(self):
        long = self.dir / "long.wav"
        self.assertGreater(repeated(RECORDINGS / "two_cities.wav", 4, long), 160)
        wrong, words = self.errors(long, " ".join([TWO_CITIES] * 4))
        self.assertEqual(words, 4 * 119)
        self.assertLessEqual(wrong, 0.06 * words)
        segments = json.loads(self.ok("transcribe", long, "-m", MODEL, "--format", "json"))
        for before, after in zip(segments["segments"], segments["segments"][1:]):
            self.assertLessEqual(before["end"], after["start"] + 0.001)


if __name__ == "__main__":
    unittest.main()
