"""Tests of the scoring and of the truth that it compares with."""
import random
import unittest

import make_meeting  # sets the path to the recipes
import score
import grammar


def result(lines, minutes, screens=()):
    """What gantry would print for these transcript lines."""
    return {"transcript": [{"start": i, "end": i + 1, "text": t} for i, t in enumerate(lines)],
            "screens": [{"file": f, "text": t} for f, t in screens], "parts": [],
            "minutes": minutes}


TRUTH = {
    "utterances": [{"speaker": 1, "start": 0, "end": 1, "text": "turn on the kitchen light"},
                   {"speaker": 2, "start": 2, "end": 3, "text": "close the garage door"}],
    "screens": [{"file": "screens/00.png", "answer": "- radio: playing\n- timer: 3 hours"}],
    "parts": ["- kitchen light: on\n- garage door: closed"],
    "minutes": ["- kitchen light: on", "- garage door: closed"],
}
SAID = [line["text"] for line in TRUTH["utterances"]]


class WordErrors(unittest.TestCase):
    def test_counts_each_kind_once(self):
        said = "turn on the light".split()
        self.assertEqual(score.word_errors(said, said), 0)
        self.assertEqual(score.word_errors("turn off the light".split(), said), 1)
        self.assertEqual(score.word_errors("turn on light".split(), said), 1)
        self.assertEqual(score.word_errors("turn on the the light".split(), said), 1)
        self.assertEqual(score.word_errors([], said), 4)
        self.assertEqual(score.word_errors(said, []), 4)

    def test_punctuation_and_case_are_no_errors(self):
        self.assertEqual(score.words_of(" Turn on, the LIGHT. "), "turn on the light".split())


class Compare(unittest.TestCase):
    def test_exact(self):
        self.assertEqual(score.compare(["a", "b"], ["a", "b"]),
                         {"exact": 1.0, "precision": 1.0, "recall": 1.0, "f1": 1.0})

    def test_order_matters_for_exact_only(self):
        got = score.compare(["b", "a"], ["a", "b"])
        self.assertEqual((got["exact"], got["f1"]), (0.0, 1.0))

    def test_repeated_lines_count_once_each(self):
        got = score.compare(["a", "a", "b", "c"], ["a", "d"])
        self.assertEqual((got["precision"], got["recall"]), (0.25, 0.5))
        self.assertAlmostEqual(got["f1"], 1 / 3)

    def test_nothing(self):
        self.assertEqual(score.compare([], ["a"])["f1"], 0.0)
        self.assertEqual(score.compare(["a"], [])["f1"], 0.0)
        self.assertEqual(score.compare([], [])["f1"], 1.0)


class Baseline(unittest.TestCase):
    def test_template(self):
        self.assertEqual(score.template_bullet("turn on the kitchen light"), "- kitchen light: on")
        self.assertEqual(score.template_bullet("close the garage door"), "- garage door: close")
        self.assertEqual(score.template_bullet("call one two three"), "- call: one two three")
        self.assertEqual(score.template_bullet("the"), "- the: ")

    def test_nothing_is_joined(self):
        lines = [{"text": "turn on the kitchen light"}, {"text": ""},
                 {"text": "turn off the kitchen light"}]
        self.assertEqual(score.baseline(lines), ["- kitchen light: on", "- kitchen light: off"])


class Score(unittest.TestCase):
    def test_all_right(self):
        out = result(SAID, "- kitchen light: on\n- garage door: closed\n",
                     [("/tmp/x/00.png", "- radio: playing\n- timer: 3 hours")])
        out["parts"] = [{"text": TRUTH["parts"][0]}]
        got = score.score(TRUTH, out)
        self.assertEqual(got["wer"], 0.0)
        self.assertEqual(got["screens"]["exact"], 1.0)
        self.assertEqual(got["parts_exact"], 1.0)
        self.assertEqual(got["minutes"]["exact"], 1.0)
        self.assertEqual(got["baseline"]["exact"], 0.0)
        self.assertEqual(got["baseline"]["precision"], 0.5)

    def test_missing_screen_and_wrong_minutes(self):
        got = score.score(TRUTH, result(["turn on the light"], "- kitchen light: on"))
        self.assertEqual(got["word_errors"], 5)
        self.assertEqual(got["screens"]["recall"], 0.0)
        self.assertEqual(got["minutes"]["recall"], 0.5)
        self.assertEqual(got["parts_exact"], 0.0)

    def test_mean_weighs_words(self):
        long, short = dict(TRUTH), dict(TRUTH, utterances=TRUTH["utterances"][:1], screens=[])
        scores = [score.score(long, result(SAID, "")), score.score(short, result([], ""))]
        got = score.mean(scores)
        self.assertEqual((got["words"], got["word_errors"]), (14, 5))
        self.assertEqual(got["screens"], scores[0]["screens"])
        self.assertIn("35.7 %", score.table(got))


class Truth(unittest.TestCase):
    def test_later_action_wins_at_first_mention(self):
        lists = [["- radio: playing", "- timer: 3 hours"], ["- radio: stopped", "- call: 1 2 3"],
                 ["- call: 1 2 3", "- call: 4 5 6", grammar.EMPTY]]
        self.assertEqual(grammar.join(lists), ["- radio: stopped", "- timer: 3 hours",
                                               "- call: 1 2 3", "- call: 4 5 6"])
        self.assertEqual(grammar.join([[grammar.EMPTY]]), [grammar.EMPTY])

    def test_meaning_is_the_inverse_of_spoken(self):
        for thing in grammar.THINGS:
            for value in grammar.values_of(thing):
                self.assertEqual(grammar.meaning(grammar.spoken(thing, value)), (thing, value))
        self.assertEqual(grammar.meaning("call ten zero two"), ("call", "10 0 2"))
        for text in ("", "the", "call one two", "turn on the light", "turn red the kitchen light"):
            self.assertIsNone(grammar.meaning(text))

    def test_forty_words(self):
        self.assertEqual(len(grammar.WORDS), 40)

    def test_scripts_are_held_out_and_as_asked(self):
        for seed in range(20):
            rng = random.Random(seed)
            script = make_meeting.make_script(rng, make_meeting.COMMANDS, make_meeting.THINGS)
            bullets = [grammar.bullet(*line) for line in script]
            self.assertEqual(len(bullets), make_meeting.COMMANDS)
            self.assertEqual(len({grammar.about(b) for b in bullets}), make_meeting.THINGS)
            for i in range(1, len(bullets), 2):
                self.assertTrue(grammar.pair_is_held(bullets[i - 1], bullets[i]))

    def test_minutes_fit_the_model(self):
        script = make_meeting.make_script(random.Random(5), make_meeting.COMMANDS,
                                          make_meeting.THINGS)
        truth = make_meeting.truth_of(script)
        self.assertEqual(len(truth["minutes"]), make_meeting.THINGS)
        self.assertLessEqual(len(truth["minutes"]), 12)
        self.assertEqual(grammar.join([p.split("\n") for p in truth["parts"]]), truth["minutes"])


if __name__ == "__main__":
    unittest.main()
