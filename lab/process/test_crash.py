"""kill -9 and Ctrl-C at any moment: every accepted job finishes once, nothing is left behind."""

import json
import os
import random
import signal
import time
import unittest
import wave

from household import FULL, Household, kill, wait_until

SEED = int(os.environ.get("GANTRY_TEST_SEED", time.time_ns() % 1_000_000))


class KillNine(Household):
    def setUp(self):
        super().setUp()
        print(f"seed {SEED} (GANTRY_TEST_SEED)", flush=True)
        self.random = random.Random(SEED)

    def kill(self, word):
        """kill -9 of every process whose command holds the word; how many there were."""
        return sum(map(kill, self.pids(word)))

    def results(self, ids):
        """Results of ended jobs without what may differ between runs (seconds, bytes)."""
        out = {}
        for job_id in ids:
            job = self.wait_for_job(job_id)
            self.assertEqual(job["state"], "done", job)
            page = json.loads(self.ok("show", job_id, "--result"))
            page.pop("steps", None)
            out[job_id] = page
        return out

    def test_the_daemon_dies_again_and_again(self):
        talk = self.speech()
        expected = self.results([self.ok("submit", "transcribe", talk).strip()])
        expected = next(iter(expected.values()))
        ids = self.ok("submit", "transcribe", *[talk] * 4).split()
        ids += self.ok("submit", "generate", "-p", "Hello.").split()
        for _ in range(20 if FULL else 5):
            time.sleep(self.random.uniform(0, 0.6))
            self.kill("gantryd")
            # Workers die with their daemon: none may be there to hold memory.
            wait_until(lambda: not self.pids("llama-server") and not self.pids("gantry-worker"), 5,
                       "the workers' end")
            ids += self.ok("submit", "transcribe", talk).split()
        pages = self.results(ids)
        for job_id, page in pages.items():
            if "segments" in page:
                self.assertEqual(page, expected, job_id)
        listed = json.loads(self.ok("jobs", "--json", "-n", "1000"))["data"]
        self.assertEqual(sorted(ids), sorted(j["id"] for j in listed)[1:])

    def long_talk(self, minutes):
        """A meeting over and over again."""
        with wave.open(str(self.speech())) as short:
            kind, sound = short.getparams(), short.readframes(short.getnframes())
        path = self.dir / "long.wav"
        with wave.open(str(path), "wb") as long:
            long.setparams(kind)
            for _ in range(minutes * 60 * kind.framerate // kind.nframes + 1):
                long.writeframes(sound)
        return path

    def test_a_long_transcript_goes_on_behind_its_last_part(self):
        talk = self.long_talk(8)
        whole = self.ok("submit", "transcribe", talk).strip()
        expected = self.results([whole])[whole]
        self.assertGreater(len(expected["segments"]), 60)
        job = self.ok("submit", "transcribe", talk).strip()
        parts = self.state / "jobs" / job / "steps"
        watchers = []
        for _ in range(3):
            kept = len(list(parts.iterdir())) if parts.is_dir() else 0
            wait_until(lambda have=kept: parts.is_dir() and len(list(parts.iterdir())) > have + 1,
                       120, "another part of the transcript")
            self.assertEqual(self.kill("gantryd"), 1)
            wait_until(lambda: not self.pids("gantry-worker"), 5, "the worker's end")
            watchers.append(self.start("watch", job, "--json"))  # the next daemon's first client
            wait_until(lambda: self.pids("gantryd"), 20, "the next daemon")
        self.assertEqual(self.results([job])[job], expected)
        resumed = []
        for watcher in watchers:
            events = [json.loads(line) for line in watcher.communicate(timeout=60)[0].splitlines()]
            resumed += [event["at"] for event in events if event.get("type") == "resumed"]
        # A watcher sees on into the daemon after the one that it began with.
        resumed = sorted(set(resumed))
        self.assertEqual(len(resumed), 3, resumed)
        self.assertGreaterEqual(resumed[0], 30)

    def test_workers_die_while_they_work(self):
        talk = self.speech()
        ids = self.ok("submit", "transcribe", *[talk] * 3).split()
        killed = 0
        while killed < 2:  # one that has done all is killed idle
            wait_until(lambda: self.pids("speech --model"), 30, "a worker")
            time.sleep(self.random.uniform(0.05, 0.5))
            killed += self.kill("speech --model")
            if all(self.job(job_id)["state"] == "done" for job_id in ids):
                break
        self.assertGreater(killed, 0)
        for job_id in ids:
            job = self.wait_for_job(job_id)
            # Three deaths under one job end it with its evidence; fewer must not.
            self.assertEqual(job["state"], "done", job)
        self.assertEqual(len(self.pids("gantryd")), 1)

    def test_a_killed_daemon_leaves_a_readable_queue(self):
        ids = self.ok("submit", "transcribe", *[self.speech()] * 3).split()
        self.kill("gantryd")
        listed = json.loads(self.ok("jobs", "--json"))["data"]
        self.assertEqual(sorted(ids), sorted(job["id"] for job in listed))
        for job_id in ids:
            self.assertEqual(self.wait_for_job(job_id)["state"], "done")


class Interrupted(Household):
    def test_ctrl_c_at_any_moment(self):
        chooser = random.Random(SEED)
        talk = self.speech()
        self.ok("jobs")
        seen = set()
        for turn in range(24 if FULL else 8):
            process = self.start("transcribe", talk)
            time.sleep(chooser.uniform(0, 1.2))
            sent = signal.SIGINT if turn % 2 == 0 else signal.SIGTERM
            process.send_signal(sent)
            _, words = process.communicate(timeout=60)
            self.assertIn(process.returncode, (0, 128 + sent, -sent), words)
            seen.add(process.returncode)
        jobs = json.loads(self.ok("jobs", "--json", "-n", "1000"))["data"]
        for job in jobs:
            self.assertIn(self.wait_for_job(job["id"])["state"], ("done", "cancelled"))

    def test_the_daemon_ends_on_sigterm_with_work_in_hand(self):
        ids = self.ok("submit", "transcribe", *[self.speech()] * 3).split()
        for pid in self.pids("gantryd"):
            os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not self.processes(), 20, "the daemon's clean end")
        for job_id in ids:
            self.assertEqual(self.wait_for_job(job_id)["state"], "done")

    def test_a_shared_daemon_leaves_by_itself(self):
        (self.dir / "cfg" / "gantry").mkdir(parents=True)
        (self.dir / "cfg" / "gantry" / "config.yaml").write_text("linger_s: 1\n")
        self.ok("submit", "generate", "-p", "Hello.")
        wait_until(lambda: not self.processes(), 60, "the shared daemon's leaving")
        listed = json.loads(self.ok("jobs", "--json"))["data"]
        self.assertEqual([job["state"] for job in listed], ["done"])


if __name__ == "__main__":
    unittest.main()
