"""A turn of a conversation through the daemon: micro models and espeak-ng, beside each other where
the plan says that they fit, and in turn where not."""

import json
import shutil
import unittest
import wave

from household import Household, wait_until

STAGES = ("transcript", "first_token", "first_sound", "total")


@unittest.skipUnless(shutil.which("espeak-ng"), "espeak-ng is not installed")
class Talk(Household):
    def talk(self, *args):
        return json.loads(self.ok("talk", self.speech(commands=4), "--json", *args))

    def held(self):
        """Bytes at most held by all workers together, and what they may hold."""
        (cpu,) = [d for d in json.loads(self.ok("ps", "--json"))["devices"] if d["name"] == "cpu"]
        return cpu["measured_peak_bytes"], cpu["budget_bytes"]

    def serve(self, *args):
        self.start(*args, "--listen", f"127.0.0.1:{self.port}", program="gantryd")
        wait_until(lambda: self.gantry("ps").returncode == 0, 20, "the daemon")

    def check(self, page):
        seconds = [page["seconds"][stage] for stage in STAGES]
        self.assertEqual(seconds, sorted(seconds))
        self.assertEqual([step["model"] for step in page["steps"]][1:],
                         ["micro-asr", "micro-minutes", "espeak"])
        self.assertGreater(page["sentences"], 1)
        self.assertTrue(page["question"] and page["answer"])

    def test_an_answer_is_spoken(self):
        out = self.dir / "answer.wav"
        self.serve()
        page = self.talk("-o", out)
        self.check(page)
        with wave.open(str(out)) as sound:
            self.assertEqual((sound.getnchannels(), sound.getframerate()), (1, page["rate"]))
            self.assertGreater(sound.getnframes(), page["rate"])
        measured, budget = self.held()
        self.assertLessEqual(measured, budget)
        turn = self.talk("--in-turn")
        self.check(turn)
        self.assertFalse(turn["together"])
        # Whatever the order of the stages, the same is asked, answered and said.
        for key in ("question", "answer", "sentences"):
            self.assertEqual(turn[key], page[key])
        words = self.ok("talk", self.speech(commands=4))
        self.assertRegex(words, r"(?s)^question: .*\nanswer: .*\ntranscript \d+\.\d\d s, ")

    def test_where_both_do_not_fit_the_voice_waits(self):
        need = {m: json.loads(self.ok("plan", m, "--json"))["models"][0]["needs"][0]["total"]
                for m in ("micro-asr", "micro-minutes")}
        # Room for each alone, and not for the language model and a voice.
        most = max(need.values())
        self.ok("stop")
        self.serve("--ram-budget", f"{most + (4 << 20)}")
        page = self.talk()
        self.check(page)
        self.assertFalse(page["together"])
        measured, budget = self.held()
        self.assertLessEqual(measured, budget)

    def test_wrong_orders_are_refused(self):
        self.refused(1, "talk", self.dir / "none.wav")
        self.refused(1, "talk", self.speech(commands=4), "-m", "nobody", says="nobody")
        hush = self.dir / "hush.wav"
        with wave.open(str(hush), "wb") as sound:
            sound.setnchannels(1)
            sound.setsampwidth(2)
            sound.setframerate(16000)
            sound.writeframes(bytes(64000))
        self.refused(2, "talk", hush, says="no words were heard")


if __name__ == "__main__":
    unittest.main()
