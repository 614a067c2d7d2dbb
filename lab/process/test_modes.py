"""Modes: a model that is one of several, with the shipped recogniser and an engine by command that
is slow by design. Who answers, by which figures, and the steps down and up under load."""

import json
import pathlib
import unittest
import urllib.request

from household import Household, wait_until

SLOW = f"/usr/bin/python3 -B {pathlib.Path(__file__).parent}/slow_audio_server.py"


class Modes(Household):
    def setUp(self):
        super().setUp()
        self.talk = self.speech()

    def configure(self, factor=1.0, **keys):
        folder = self.dir / "cfg" / "gantry"
        folder.mkdir(parents=True, exist_ok=True)
        ear = {"one_of": ["slow", "micro-asr"], "mode": "accuracy", **keys}
        slow = {"kind": "speech", "memory": "60MiB", "cmd": f"{SLOW} ${{PORT}} {factor}"}
        (folder / "config.yaml").write_text(json.dumps({"models": {"ear": ear, "slow": slow}}))

    def mode(self):
        return json.loads(self.ok("mode", "ear", "--json"))

    def members(self):
        return {member["model"]: member for member in self.mode()["members"]}

    def submit(self):
        return self.ok("submit", "transcribe", "-m", "ear", self.talk).strip()

    def answered(self, job):
        """(who heard a job that is done, why), and that its step says the same."""
        self.assertEqual(job["state"], "done", job)
        self.assertEqual(len(job["answered_by"]), 1, job["answered_by"])
        answer = job["answered_by"][0]
        steps = json.loads(self.ok("show", job["id"], "--json"))["result"]
        if isinstance(steps, dict):
            self.assertEqual(steps["steps"][-1]["model"], answer["model"])
        return answer["model"], answer["why"]

    def hear(self):
        return self.answered(self.wait_for_job(self.submit()))

    def test_figures_of_use_decide_and_the_user_may_say_otherwise(self):
        self.configure()
        self.serve()
        self.assertEqual([m["real_time_factor"] for m in self.mode()["members"]][0], None)
        who, why = self.hear()
        self.assertEqual((who, why), ("slow", "accuracy: the first that can be had here"))
        slow = self.members()["slow"]
        self.assertTrue(slow["measured"])
        self.assertGreater(slow["real_time_factor"], 0.1)

        self.assertIn("ear: speed (accuracy configured), micro-asr answers",
                      self.ok("mode", "ear", "speed"))
        self.assertEqual(self.hear()[0], "micro-asr")
        quick = self.members()["micro-asr"]
        self.assertTrue(quick["measured"])
        self.assertLess(quick["real_time_factor"], slow["real_time_factor"])

        self.ok("mode", "ear", "balanced")
        who, why = self.hear()
        self.assertEqual(who, "micro-asr")
        self.assertIn("balanced: the best that keeps up", why)
        self.assertIn("measured", why)

        # Over HTTP the same, and the answer says who gave it.
        mark = "gantrytest"
        body = b"".join(
            f'--{mark}\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode()
            + value + b"\r\n"
            for name, more, value in (("model", "", b"ear"),
                                      ("file", '; filename="a.wav"', self.talk.read_bytes())))
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/v1/audio/transcriptions",
            body + f"--{mark}--\r\n".encode(),
            {"Content-Type": f"multipart/form-data; boundary={mark}"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            self.assertEqual(answer.headers["X-Gantry-Answered-By"], "cpu; model=micro-asr")
            self.assertIn("balanced", answer.headers["X-Gantry-Why"])

        # A restart keeps what was said and what was measured.
        self.ok("mode", "ear", "speed")
        before = self.mode()
        self.ok("stop")
        self.serve()
        self.assertEqual(self.mode(), before)
        reset = json.loads(self.ok("mode", "ear", "--reset", "--json"))
        self.assertEqual((reset["mode"], reset["taken"]), ("accuracy", "slow"))

    def test_what_runs_goes_on_when_the_mode_is_changed(self):
        self.configure(factor=1.5, step_after=0)
        self.serve()
        first = self.submit()
        wait_until(lambda: self.sessions("slow") == 1, 30, "the first job's session")
        self.ok("mode", "ear", "speed")
        self.assertEqual(self.hear()[0], "micro-asr")
        self.assertEqual(self.job(first)["state"], "running")
        self.assertEqual(self.answered(self.wait_for_job(first))[0], "slow")
        self.assertIn("slowly", self.ok("show", first))

    def sessions(self, model):
        running = json.loads(self.ok("ps", "--json"))["running"]
        return sum(row["sessions"] for row in running if row["model"] == model)

    def metric(self, name):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=20) as page:
            for line in page.read().decode().splitlines():
                if line.startswith(name + "{"):
                    return float(line.rsplit(" ", 1)[1])
        return None

    def test_a_line_steps_down_and_calm_steps_up(self):
        self.configure(factor=3, step_after=1)
        self.serve()
        first = self.submit()
        wait_until(lambda: self.sessions("slow") == 1, 60, "the first job's session")
        others = [self.submit(), self.submit()]
        for job in others:
            who, why = self.answered(self.wait_for_job(job))
            self.assertEqual(who, "micro-asr")
            self.assertRegex(why, "accuracy: 1 step below slow, because a request has waited")
        self.assertEqual(self.job(first)["state"], "running")
        now = self.mode()
        self.assertEqual((now["level"], now["taken"], now["changes"]), (1, "micro-asr", 1))
        self.assertIn("in line", now["pressure"])
        self.assertIn("ear: micro-asr answers; accuracy: 1 step below slow", self.ok("ps"))
        self.assertEqual(self.metric("gantry_mode_level"), 1)
        self.assertEqual(self.answered(self.wait_for_job(first))[0], "slow")
        wait_until(lambda: self.mode()["level"] == 0, 60, "the step up")
        self.assertEqual(self.mode()["taken"], "slow")
        self.assertEqual(self.metric("gantry_mode_changes_total"), 2)
        log = (self.state / "gantryd.log").read_text()
        self.assertIn("mode_stepped_down", log)
        self.assertIn("mode_stepped_up", log)

    def test_plans_lists_and_errors(self):
        self.configure()
        text = self.ok("plan", "ear")
        self.assertIn("ear is one of these, accuracy is configured", text)
        self.assertIn("slow would answer by accuracy", text)
        planned = json.loads(self.ok("plan", "ear", "micro-minutes", "--json"))
        self.assertEqual(planned["modes"][0]["taken"]["speed"], "micro-asr")
        self.assertEqual([m["name"] for m in planned["models"]], ["slow", "micro-minutes"])
        self.serve()
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/v1/models", timeout=20) as page:
            listed = {m["id"]: m for m in json.load(page)["data"]}
        self.assertEqual(listed["ear"]["one_of"], ["slow", "micro-asr"])
        self.assertEqual(listed["ear"]["kind"], "speech")
        self.assertIn("* slow", self.ok("mode"))
        self.refused(2, "mode", "ear", "fast", says="fast")
        self.refused(2, "mode", "--reset", says="--reset is of one model")
        self.refused(1, "mode", "micro-asr", "speed", says="there are ear")
        self.refused(1, "mode", "nobody", says="there are ear")
        bad = self.dir / "bad.yaml"
        bad.write_text("models:\n  ear: {one_of: [micro-asr, nobody]}\n")
        self.refused(1, "plan", "ear", "--config", bad, says=f"{bad}:2:29: there is no model")
        bad.write_text("models:\n  ear: {one_of: [micro-asr, micro-vision]}\n")
        self.refused(1, "plan", "ear", "--config", bad, says="is a vision model")
        self.assertIn("is no model of this file", self.ok("config", "check", bad))


if __name__ == "__main__":
    unittest.main()
