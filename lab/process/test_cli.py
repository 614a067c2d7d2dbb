"""The command line as a newcomer meets it: help, shapes that scripts rely on, exit statuses."""

import json
import unittest

from household import MODELS, Household


class Help(Household):
    def test_every_command_has_help(self):
        listed = self.ok("--help")
        for command in ("devices", "inspect", "plan", "config", "run", "transcribe", "minutes",
                        "submit", "jobs", "show", "watch", "cancel", "logs", "serve", "stop", "ps",
                        "completion"):
            self.assertIn(command, listed)
            self.assertIn("Usage:", self.ok(command, "--help"))
        self.assertIn("Example", listed)

    def test_wrong_usage_is_2_and_one_line(self):
        for args in ([], ["no-such-command"], ["run"], ["plan"], ["plan", "m", "--no-such-flag"],
                     ["transcribe", "--format", "docx", MODELS / "catalogue.json"],
                     ["plan", "micro-asr", "-c", "0"], ["run", "micro-minutes", "-p", "x",
                                                        "--temp", "-1"]):
            with self.subTest(args=args):
                self.refused(2, *args)

    def test_version_and_completion(self):
        self.assertRegex(self.ok("--version"), r"^gantry \d+\.\d+\.\d+\n$")
        self.assertIn("complete -o filenames", self.ok("completion", "bash"))


class Machine(Household):
    def devices(self, *args):
        """4 on a machine with a card that nothing here drives."""
        done = self.gantry("devices", *args)
        self.assertIn(done.returncode, (0, 4), done.stderr)
        self.assertEqual(done.returncode == 4, done.stderr.startswith("gantry: "), done.stderr)
        return done.stdout

    def test_devices(self):
        text = self.devices()
        self.assertTrue(text.startswith("cpu"))
        machine = json.loads(self.devices("--json"))
        cpu = machine["devices"][0]
        for key in ("name", "kind", "total_bytes", "free_bytes", "temperature_c", "bandwidth",
                    "verdict"):
            self.assertIn(key, cpu)
        self.assertGreater(cpu["total_bytes"], 1 << 28)

    def test_bench_is_kept(self):
        measured = json.loads(self.devices("--bench", "--json"))
        again = json.loads(self.devices("--json"))
        self.assertEqual(measured["devices"][0]["bandwidth"], again["devices"][0]["bandwidth"])
        bandwidth = again["devices"][0]["bandwidth"]
        self.assertTrue(any(value for value in bandwidth.values() if value), bandwidth)

    def test_inspect(self):
        for name, architecture in (("micro-minutes.gguf", "llama"), ("micro-asr.bin", "whisper")):
            card = json.loads(self.ok("inspect", MODELS / name, "--json"))
            self.assertEqual(card["architecture"], architecture)
            self.assertIn(architecture, self.ok("inspect", MODELS / name))

    def test_a_saved_machine_can_be_planned_for(self):
        saved = self.dir / "machine.json"
        saved.write_text(self.devices("--json"))
        plan = json.loads(self.ok("plan", "micro-minutes", "--machine", saved, "--json"))
        self.assertTrue(plan["fits"])


class Plan(Household):
    TRIO = ("micro-asr", "micro-vision", "micro-minutes")

    def plan(self, *args):
        done = self.gantry("plan", *args, "--json")
        return done.returncode, json.loads(done.stdout)

    def test_shape(self):
        status, plan = self.plan(*self.TRIO)
        self.assertEqual(status, 0)
        self.assertTrue(plan["fits"] and plan["together"])
        for key in ("name", "weights", "kv", "compute", "overhead", "total", "budget"):
            self.assertIn(key, plan["devices"][0])
        self.assertEqual([model["name"] for model in plan["models"]], list(self.TRIO))
        for key in ("resident", "streamed", "cpu"):
            self.assertIn(key, plan["models"][0]["layers"])

    def test_in_turn_but_not_together(self):
        status, plan = self.plan(*self.TRIO, "--ram-budget", "51MiB")
        self.assertEqual(status, 0)
        self.assertTrue(plan["fits"])
        self.assertFalse(plan["together"])

    def test_too_small_names_the_smallest_sufficient_change(self):
        status, plan = self.plan("micro-minutes", "-c", "1024", "--ram-budget", "16MiB")
        self.assertEqual(status, 3)
        self.assertFalse(plan["fits"])
        self.assertTrue(plan["fixes"])
        budget = [fix["change"] for fix in plan["fixes"] if "--ram-budget" in fix["change"]]
        self.assertTrue(budget, plan["fixes"])
        status, again = self.plan("micro-minutes", "-c", "1024", *budget[0].split())
        self.assertEqual((status, again["fits"]), (0, True))

    def test_cache_types_as_llama_cpp_writes_them(self):
        _, f16 = self.plan("micro-minutes", "-c", "1024")
        _, q8 = self.plan("micro-minutes", "-c", "1024", "-ctk", "q8_0", "-ctv", "q8_0")
        self.assertLess(q8["devices"][0]["kv"], f16["devices"][0]["kv"])


class Ask(Household):
    def test_run_prints_only_the_text(self):
        text = self.ok("run", "micro-minutes", "-p",
                       "Minutes of this part:\nturn on the kitchen light")
        self.assertEqual(text, "- kitchen light: on\n")

    def test_run_reads_a_picture_and_a_file_path(self):
        self.speech()
        screen = next((self.dir / "meeting-talk.wav").rglob("*.png"))
        truth = json.loads((self.dir / "meeting-talk.wav" / "truth.json").read_text())
        text = self.ok("run", "micro-vision", "-p", "What is on the screen?", "--image", screen)
        self.assertEqual(text.strip(), truth["screens"][0]["answer"])
        text = self.ok("run", MODELS / "micro-minutes.gguf", "-p",
                       "Minutes of this part:\nopen the garage door")
        self.assertEqual(text, "- garage door: open\n")

    def test_transcribe_in_every_format(self):
        talk = self.speech()
        text = self.ok("transcribe", talk)
        self.assertGreaterEqual(len(text.splitlines()), 5)
        self.assertTrue(self.ok("transcribe", "--format", "vtt", talk).startswith("WEBVTT"))
        self.assertIn("-->", self.ok("transcribe", "--format", "srt", talk))
        segments = json.loads(self.ok("transcribe", "--format", "json", talk))["segments"]
        self.assertEqual("\n".join(s["text"] for s in segments) + "\n", text)
        self.assertTrue(all(a["end"] <= b["start"] for a, b in zip(segments, segments[1:])))

    def test_compare_counts_words(self):
        talk = self.speech()
        said = self.ok("transcribe", talk)
        reference = self.dir / "said.txt"
        reference.write_text(said.upper().replace("\n", " ").rsplit(maxsplit=1)[0] + ", aside!")
        both = json.loads(self.ok("compare", talk, "-m", "micro-asr", "-m",
                                  MODELS / "micro-asr.bin", "--reference", reference, "--json"))
        self.assertEqual(both["agreement"], 1)
        for engine in both["engines"]:
            against = engine["against_reference"]
            self.assertEqual(against["words"], len(said.split()))
            self.assertEqual((against["substituted"], against["deleted"], against["inserted"]),
                             (1, 0, 0))
            self.assertEqual(against["edits"][0]["said"], "aside")
        self.refused(2, "compare", talk, "-m", "micro-asr", says="two models")

    def test_submit_prints_ids_and_returns(self):
        talk = self.speech()
        ids = self.ok("submit", "transcribe", talk, talk).split()
        self.assertEqual(len(ids), 2)
        for job_id in ids:
            job = self.wait_for_job(job_id)
            self.assertEqual(job["state"], "done")
            for key in ("id", "kind", "state", "attempts", "device", "result", "error"):
                self.assertIn(key, job)
        self.assertIn(ids[0], self.ok("jobs"))
        once = self.ok("submit", "generate", "-p", "Hello.", "--key", "k1")
        self.assertEqual(once, self.ok("submit", "generate", "-p", "Hello.", "--key", "k1"))

    def test_ps_logs_load_unload(self):
        self.ok("load", "micro-minutes")
        self.assertRegex(self.ok("ps"), r"micro-minutes\s+language\s+ready")
        self.assertIn("llama", self.ok("logs", "micro-minutes").lower())
        self.ok("unload", "micro-minutes")
        self.assertEqual(self.pids("llama-server"), [])
        self.assertIn("started", self.ok("logs"))


if __name__ == "__main__":
    unittest.main()
