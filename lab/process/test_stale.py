"""Holders that stop and wake up after their time, while clocks jump and daemons die: never two on
one device, and what is kept of a job is what its last holder said.

A tenth of the rounds by default, all 200 with GANTRY_TEST_FULL; the seed is printed, and
GANTRY_TEST_SEED repeats it.
"""

import collections
import json
import os
import pathlib
import random
import signal
import struct
import time
import unittest

from household import FULL, Household, kill, wait_until

HERE = pathlib.Path(__file__).resolve().parent
PYTHON = "/usr/bin/python3"
ROUNDS = 200 if FULL else 20
HOUR = 3600


class Stale(Household):
    def setUp(self):
        super().setUp()
        seed = int(os.environ.get("GANTRY_TEST_SEED", random.randrange(1 << 32)))
        print(f"GANTRY_TEST_SEED={seed}", flush=True)
        self.random = random.Random(seed)
        self.seen = collections.Counter()
        self.clock = self.dir / "clock"
        self.wall = self.boot = 0
        self.clock.write_bytes(struct.pack("=qq", 0, 0))
        self.env["LD_PRELOAD"] = os.environ["GANTRY_FAKE_CLOCK"]
        self.env["FAKE_CLOCK"] = str(self.clock)
        folder = self.dir / "cfg" / "gantry"
        folder.mkdir(parents=True)
        holder = f"{PYTHON} -B {HERE}/holder.py {self.dir}"
        (folder / "config.yaml").write_text(
            "hung_s: 2\nmodels:\n  slow:\n"
            f'    cmd: "{holder} serve ${{PORT}}"\n    memory: 64MiB\n')

    def jump(self):
        """An hour forwards or back on the wall; sometimes the machine has slept an hour, too."""
        self.wall += self.random.choice((-HOUR, HOUR))
        if self.random.random() < 0.3:
            self.wall += HOUR
            self.boot += HOUR
            self.seen["slept"] += 1
        self.clock.write_bytes(struct.pack("=qq", self.wall, self.boot))
        self.seen["jumped"] += 1

    def log(self):
        try:
            return [line.split() for line in (self.dir / "log").read_text().splitlines()]
        except FileNotFoundError:
            return []

    def restart(self):
        """Ends the daemon without a word; the next command starts another."""
        for pid in self.pids("gantryd"):
            kill(pid)
        wait_until(lambda: not self.pids("gantryd"), 20, "the daemon's end")
        self.seen["restarted"] += 1

    def watch(self, seconds):
        """Lets time pass, and sees to it that nobody takes what another one has."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.assertNotIn("overlap", [words[0] for words in self.log()])
            time.sleep(0.02)

    def disturb(self):
        """What may happen while a holder is stopped, in any order."""
        things = [self.jump, self.restart, lambda: self.watch(self.random.uniform(0, 4))]
        self.random.shuffle(things)
        for thing in things:
            if self.random.random() < 0.6:
                thing()

    def asked_since(self, since):
        lines = self.log()[since:]
        return [words[1] for words in lines if words[0] == "asked"]

    def wake(self, pid, began):
        """Lets a stopped process go on, if it is still the one that was stopped."""
        try:
            stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
        except FileNotFoundError:
            self.seen["dead before it woke"] += 1
            return
        if stat.rsplit(")", 1)[1].split()[19] == began:
            os.kill(pid, signal.SIGCONT)
            self.seen["woke"] += 1

    @staticmethod
    def began(pid):
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19]

    def job_with_a_stopped_worker(self):
        since = len(self.log())
        (job,) = self.ok("submit", "generate", "-m", "slow", "-p", "Who are you?").split()
        name = wait_until(lambda: self.asked_since(since), 60, "a question")[0]
        pid = int(name.split("-")[0])
        try:
            began = self.began(pid)
            os.kill(pid, signal.SIGSTOP)
        except (FileNotFoundError, ProcessLookupError):
            return self.seen.update(["too late"])
        self.disturb()
        self.wake(pid, began)
        return self.check(job, since)

    def job_with_a_stopped_daemon(self):
        since = len(self.log())
        (job,) = self.ok("submit", "generate", "-m", "slow", "-p", "Who are you?").split()
        wait_until(lambda: self.asked_since(since), 60, "a question")
        (pid,) = self.pids("gantryd")
        os.kill(pid, signal.SIGSTOP)
        self.jump()
        self.watch(self.random.uniform(0, 1))
        os.kill(pid, signal.SIGCONT)
        self.seen["daemon stopped"] += 1
        return self.check(job, since)

    def check(self, job, since):
        """One result, from the last question that was asked; one claim for each question."""
        done = self.wait_for_job(job, 120)
        self.assertEqual(done["state"], "done", done)
        result = json.loads(self.ok("show", job, "--result"))["text"]
        asked = self.asked_since(since)
        self.assertEqual(result, asked[-1], asked)
        self.assertIn(["answered", result], self.log()[since:])
        self.assertGreaterEqual(done["attempts"], len(asked))
        self.seen["jobs"] += 1
        self.seen["asked again"] += len(asked) - 1

    def program_that_is_stopped(self):
        """A program stops while it holds the device: who waits goes on waiting, over restarts."""
        def lease(seconds):
            return self.start("with-device", "cpu", "--whole", "--", PYTHON, "-B",
                              f"{HERE}/holder.py", self.dir, "hold", seconds)
        since = len(self.log())
        first = lease(0.3)
        wait_until(lambda: ["begin", str(first.pid)] in self.log()[since:], 60, "the program")
        try:
            os.kill(first.pid, signal.SIGSTOP)
            if ["end", str(first.pid)] in self.log()[since:]:
                return self.seen.update(["too late"])
            self.disturb()
            (job,) = self.ok("submit", "generate", "-m", "slow", "-p", "Who are you?").split()
            self.watch(self.random.uniform(0, 1))
            self.assertFalse(self.asked_since(since), "a model beside a program that has all")
        finally:
            os.kill(first.pid, signal.SIGCONT)
        self.assertEqual(first.wait(60), 0)
        self.seen["programs"] += 1
        return self.check(job, since)

    def test_nothing_stale_is_accepted(self):
        kinds = (self.job_with_a_stopped_worker, self.job_with_a_stopped_daemon,
                 self.program_that_is_stopped)
        for number in range(ROUNDS):
            kind = self.random.choices(kinds, (6, 2, 2))[0]
            before = dict(self.seen)
            try:
                kind()
                self.assertNotIn("overlap", [words[0] for words in self.log()])
            except AssertionError:
                print(f"round {number}, {kind.__name__}, before it {before}, now {self.seen}",
                      *self.log()[-12:], (self.state / "gantryd.log").read_text()[-3000:],
                      sep="\n", flush=True)
                raise
        print(f"{ROUNDS} rounds: {dict(self.seen)}", flush=True)
        states = {job["state"] for job in
                  json.loads(self.ok("jobs", "--json", "-n", "1000"))["data"]}
        self.assertEqual(states, {"done"})
        self.assertGreaterEqual(self.seen["jobs"], ROUNDS // 2)


if __name__ == "__main__":
    unittest.main()
