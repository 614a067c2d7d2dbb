"""The queue as its users have it: times, orders, pauses, copies, and programs under a lease."""

import datetime
import json
import os
import pathlib
import shutil
import signal
import time
import unittest
import urllib.request

from household import Household, kill, wait_until

HERE = pathlib.Path(__file__).resolve().parent
PYTHON = "/usr/bin/python3"


class Queue(Household):
    def submit(self, *args):
        return self.ok("submit", *args).split()

    def states(self):
        listed = json.loads(self.ok("jobs", "--json", "-n", "1000"))["data"]
        return {job["id"]: job["state"] for job in listed}

    def hello(self, *args):
        (job_id,) = self.submit("generate", "-p", "Hello.", *args)
        return job_id

    def test_a_folder_of_recordings_for_tonight(self):
        folder = self.dir / "recordings"
        folder.mkdir()
        for name in ("b.wav", "a.wav"):
            self.speech(name, commands=2).rename(folder / name)
        (folder / ".hidden").write_text("x")
        (folder / "empty.wav").touch()
        ids = self.submit("transcribe", "--each", folder, "--at", "+3600s", "--deadline", "+12h")
        self.assertEqual(len(ids), 2)
        first = self.job(ids[0])
        self.assertEqual(first["state"], "waiting")
        self.assertEqual(first["files"], [str(folder / "a.wav")])
        self.assertEqual(first["waits_for"], first["not_before"])
        self.assertIn("waits for", self.ok("jobs"))
        self.ok("cancel", *ids)
        (soon,) = self.submit("transcribe", "--at", "+1s", folder / "a.wav")
        self.assertEqual(self.job(soon)["state"], "waiting")
        self.assertEqual(self.wait_for_job(soon)["state"], "done")
        self.refused(2, "submit", "generate", "-p", "x", "--at", "noon", says="is no time")
        (self.dir / "nothing").mkdir()
        self.refused(2, "submit", "transcribe", "--each", self.dir / "nothing", says="no files")

    def test_kept_files_may_go_and_uploads_need_none(self):
        stick = self.dir / "stick"
        stick.mkdir()
        for name in ("a.wav", "b.wav"):
            self.speech(name, commands=2).rename(stick / name)
        ids = self.submit("transcribe", "--each", stick, "--keep", "--at", "+1s")
        shutil.rmtree(stick)  # pulled out
        job = self.job(ids[0])
        self.assertEqual(job["inputs"][0]["file"], str(stick / "a.wav"))
        kept = self.state / "inputs"
        self.assertEqual([path.name for path in kept.iterdir()],  # both are the same recording
                         [job["inputs"][0]["kept_sha256"]])
        for job_id in ids:
            self.assertEqual(self.wait_for_job(job_id)["state"], "done")
        wait_until(lambda: not list(kept.iterdir()), 5, "the end of the copy")

        talk = self.speech("c.wav", commands=2)
        head = b"--xx\r\nContent-Disposition: form-data; "
        body = b"".join(head + name + b"\r\n\r\n" + text + b"\r\n" for name, text in (
                            (b'name="job"', b'{"kind": "transcribe"}'),
                            (b'name="file"; filename="my talk.wav"', talk.read_bytes())))
        asked = urllib.request.Request(f"http://127.0.0.1:{self.port}/v1/jobs",
                                       body + b"--xx--\r\n",
                                       {"Content-Type": "multipart/form-data; boundary=xx"})
        with urllib.request.urlopen(asked) as answer:
            sent = json.load(answer)["id"]
        done = self.wait_for_job(sent)
        self.assertEqual(done["state"], "done")
        self.assertEqual(done["files"], ["my_talk.wav"])

    def test_damage_of_a_kept_file_is_told_by_name(self):
        talk = self.speech(commands=2)
        (job_id,) = self.submit("transcribe", talk, "--keep", "--at", "+2s")
        (copy,) = (self.state / "inputs").iterdir()
        copy.write_bytes(copy.read_bytes()[:-1])
        error = self.wait_for_job(job_id)["error"]
        self.assertEqual(error["code"], "corrupt")
        self.assertIn(str(copy), error["message"])
        (again,) = self.submit("transcribe", talk, "--keep")  # repairs it
        self.ok("retry", job_id)
        for each in (job_id, again):
            self.assertEqual(self.wait_for_job(each)["state"], "done")

    def test_devices_and_words_on_shortage(self):
        line = self.refused(2, "submit", "generate", "-p", "x", "--device", "gpu7", says="gpu7")
        self.assertIn("cpu", line)
        self.refused(2, "submit", "generate", "-p", "x", "--on-shortage", "wait,pray", says="pray")
        job_id = self.hello("--device", "cpu", "--on-shortage", "wait,refuse")
        job = self.wait_for_job(job_id)
        self.assertEqual((job["state"], job["device"], job["device_hint"], job["on_shortage"]),
                         ("done", "cpu", "cpu", ["wait", "refuse"]))

    def test_pruning(self):
        def done():  # one after another: pruning goes by their ends
            job_id = self.hello()
            self.wait_for_job(job_id)
            return job_id
        first, second = done(), done()
        waiting = self.hello("--at", "+3600s")
        after = self.hello("--after", waiting)
        self.ok("cancel", waiting)  # and the one after it fails
        self.assertEqual(self.ok("prune"), "")
        self.assertEqual(self.ok("prune", "--older", "1h"), "")
        self.refused(2, "prune", "--older", "soon", says="is no age")
        wait_until(lambda: self.ok("prune", "--state", "done", "--dry-run").split() ==
                   [first, second], 10, "two jobs to prune")
        self.assertEqual(self.ok("prune", "--state", "done").split(), [first, second])
        self.assertEqual(list((self.state / "jobs").iterdir()), [])
        self.refused(1, "show", first, says="no such job")
        self.assertEqual(self.ok("prune", "--state", "cancelled"), "", "another one needs it")
        self.assertEqual(self.ok("prune", "--older", "0s").split(), [after, waiting])
        self.assertEqual(self.states(), {})
        self.configure("keep_jobs: 1\n")
        self.ok("stop")
        jobs = [done() for _ in range(3)]
        self.ok("prune")
        self.assertEqual(list(self.states()), [jobs[2]])

    def test_jobs_after_jobs(self):
        first = self.hello("--at", "+2s")
        second = self.hello("--after", first)
        third = self.hello("--after", second, "--attempts", "5")
        self.assertEqual(self.job(third)["depends_on"], [second])
        self.assertEqual(self.job(second)["waits_for"], "1 job")
        self.assertEqual(self.wait_for_job(third)["state"], "done")
        lost = self.hello("--at", "+3600s")
        after = self.hello("--after", lost)
        self.ok("cancel", lost)
        job = self.job(after)
        self.assertEqual((job["state"], job["error"]["code"]), ("failed", "unavailable"))
        self.refused(1, "retry", after, says="depends on job " + lost)

    def test_pause_resume_retry(self):
        talk = self.speech(commands=12)
        ids = self.submit("transcribe", *[talk] * 3)
        self.ok("pause", ids[2], ids[1])
        self.assertEqual(self.wait_for_job(ids[0])["state"], "done")
        self.assertEqual(self.job(ids[1])["state"], "paused")
        for pid in self.pids("gantryd"):
            kill(pid)
        self.assertEqual(self.job(ids[1])["state"], "paused")
        self.refused(1, "pause", ids[0], says="done")
        self.refused(1, "retry", ids[1], says="has not ended")
        self.ok("resume", ids[1])
        self.assertEqual(self.wait_for_job(ids[1])["state"], "done")
        self.ok("cancel", ids[2])
        self.ok("retry", ids[2])
        self.assertEqual(self.wait_for_job(ids[2])["state"], "done")
        self.assertEqual(len(json.loads(self.ok("jobs", "--state", "done", "--json"))["data"]), 3)

    def test_a_job_that_kills_its_workers_is_put_aside_with_its_evidence(self):
        self.configure("models:\n  bomb:\n"
                       f'    cmd: "{PYTHON} -B {HERE}/bomb.py ${{PORT}}"\n    memory: 64MiB\n')
        poison = self.hello("-m", "bomb")
        fine = self.hello()
        job = self.wait_for_job(poison)
        self.assertEqual((job["state"], job["attempts"]), ("quarantined", 3))
        self.assertEqual(len(job["evidence"]), 3)
        for attempt in job["evidence"]:
            self.assertIn("killed by signal 11", attempt["message"])
            self.assertIn("my last words", attempt["message"])
        self.assertEqual(self.wait_for_job(fine)["state"], "done")
        self.refused(4, "watch", poison, says="bomb")
        self.ok("retry", poison)
        self.assertEqual(self.wait_for_job(poison)["state"], "quarantined")

    def test_a_hung_worker_is_told_by_doing_nothing(self):
        self.configure("hung_s: 6\n")
        (job,) = self.submit("transcribe", self.speech(commands=60))
        (pid,) = wait_until(lambda: self.pids("speech --model"), 20, "the worker")
        wait_until(lambda: self.job(job)["progress"] > 0.5, 20, "its first words")
        os.kill(pid, signal.SIGSTOP)
        done = self.wait_for_job(job, 60)
        self.assertEqual(done["state"], "done")
        self.assertEqual(done["attempts"], 2)
        self.assertIn("worker hangs", done["evidence"][0]["message"])

    def test_backup_restore_export(self):
        done = self.hello()
        self.wait_for_job(done)
        waiting = self.hello("--at", "+3600s")
        copy = self.dir / "copy"
        self.ok("backup", copy)
        self.refused(2, "backup", copy, says="there already")
        later = self.hello("--at", "+3600s")
        lines = [json.loads(line) for line in self.ok("export", "--results").splitlines()]
        self.assertEqual([job["id"] for job in lines], [later, waiting, done])
        self.assertIn("text", lines[2]["result"])
        self.refused(4, "restore", "--replace", copy, says="a daemon runs")
        self.ok("stop")
        self.refused(2, "restore", copy, says="has a queue already")
        said = self.ok("restore", "--replace", copy)
        self.assertIn("1 jobs to do, 1 done", said)
        self.assertEqual(self.states(), {done: "done", waiting: "waiting"})
        self.assertEqual(json.loads(self.ok("show", done, "--result")), lines[2]["result"])

    def test_models_that_are_never_beside_each_other(self):
        self.configure("exclusive: [[micro-minutes, speech]]\n")
        talk = self.speech(commands=2)
        self.ok("run", "micro-minutes", "-p", "Hello.")
        self.assertEqual(len(self.pids("llama-server")), 1)
        self.ok("transcribe", talk)
        self.assertFalse(self.pids("llama-server"), "it left for what is never beside it")
        self.ok("run", "micro-minutes", "-p", "Hello.")
        leases = json.loads(self.ok("leases", "--json"))["data"]
        self.assertEqual([lease["holder"] for lease in leases], ["micro-minutes"])


class WithDevice(Household):
    def setUp(self):
        super().setUp()
        self.ok("jobs")  # starts the daemon, which `ps` does not

    def ledger(self):
        """(booked, budget) bytes of host memory."""
        text = self.ok("ps", "--json")
        (cpu,) = [d for d in json.loads(text)["devices"] if d["name"] == "cpu"]
        return cpu["booked_bytes"], cpu["budget_bytes"]

    def booked(self):
        return self.ledger()[0]

    def test_a_program_has_its_bytes_as_long_as_it_lives(self):
        self.ok("run", "micro-minutes", "-p", "Hello.")
        self.assertGreater(self.booked(), 0)
        out = self.gantry("with-device", "cpu", "--whole", "--", "sh", "-c",
                          "echo $GANTRY_LEASE_DEVICE $GANTRY_LEASE_BYTES; exit 7")
        self.assertEqual(out.returncode, 7)
        self.assertEqual(out.stdout.split(), ["cpu", str(self.ledger()[1])])
        wait_until(lambda: self.booked() == 0, 5, "the lease's end")  # and the idle model had left
        held = self.start("with-device", "cpu", "--need", "1GiB", "--", "sleep", "100")
        wait_until(lambda: self.booked() == 1 << 30, 10, "the lease")
        held.send_signal(signal.SIGKILL)
        wait_until(lambda: self.booked() == 0, 5, "the lease's end")
        self.refused(3, "with-device", "cpu", "--need", "9TiB", "--", "true", says="more than")
        self.refused(1, "with-device", "gpu7", "--need", "1GiB", "--", "true", says="gpu7")
        self.refused(2, "with-device", "cpu", "--", "true", says="--need")
        self.refused(1, "with-device", "cpu", "--need", "1MiB", "--", "/no/such", says="/no/such")
        wait_until(lambda: self.booked() == 0, 5, "the lease's end")

    def test_models_and_programs_wait_for_each_other(self):
        held = self.start("with-device", "cpu", "--whole", "--", "sleep", "100")
        wait_until(self.booked, 10, "the lease")
        job = self.ok("submit", "generate", "-p", "Hello.").strip()
        wait_until(lambda: self.job(job)["state"] == "running", 10, "the job's start")
        for _ in range(10):
            self.assertFalse(self.pids("llama-server"), "a model beside a program that has all")
            time.sleep(0.05)
        waits = self.start("with-device", "cpu", "--whole", "--", "true")
        self.assertIn("waiting for cpu", waits.stderr.readline())
        waits.send_signal(signal.SIGINT)  # Ctrl-C in the line
        self.assertEqual(waits.wait(10), 130)
        held.send_signal(signal.SIGTERM)
        self.assertEqual(self.wait_for_job(job)["state"], "done")

    def leases(self):
        return json.loads(self.ok("leases", "--json"))["data"]

    def test_a_programs_time_is_over(self):
        held = self.start("with-device", "cpu", "--need", "1GiB", "--for", "5s", "--", "sleep",
                          "100")
        wait_until(lambda: self.booked() == 1 << 30, 10, "the lease")
        (lease,) = self.leases()
        self.assertEqual((lease["holder"], lease["kind"], lease["pid"], lease["device"]),
                         ("sleep", "program", held.pid, "cpu"))
        self.assertIn("sleep", self.ok("leases"))
        # The next daemon keeps to it.
        for pid in self.pids("gantryd"):
            kill(pid)
        self.ok("jobs")
        self.assertEqual(self.leases()[0]["pid"], held.pid)
        end, start = (datetime.datetime.fromisoformat(lease[at]) for at in ("deadline", "since"))
        self.assertEqual((end - start).total_seconds(), 5)
        kept = datetime.datetime.fromisoformat(self.leases()[0]["deadline"])
        self.assertLess(abs((kept - end).total_seconds()), 1)
        self.assertEqual(held.wait(20), -signal.SIGTERM)
        wait_until(lambda: self.booked() == 0, 5, "the lease's end")
        self.assertEqual(self.leases(), [])
        self.refused(2, "with-device", "cpu", "--need", "1MiB", "--for", "long", "--", "true",
                     says="--for long")

    def test_a_program_that_does_not_end_is_ended(self):
        held = self.start("with-device", "cpu", "--need", "1GiB", "--for", "1s", "--", "sh", "-c",
                          "trap '' TERM; while :; do sleep 1; done")
        wait_until(lambda: self.booked() == 1 << 30, 10, "the lease")
        self.assertEqual(held.wait(40), -signal.SIGKILL)
        wait_until(lambda: self.booked() == 0, 5, "the lease's end")

    def test_a_program_keeps_its_lease_when_the_daemon_dies(self):
        for how in (signal.SIGKILL, signal.SIGTERM):
            held = self.start("with-device", "cpu", "--need", "1GiB", "--", "sleep", "100")
            wait_until(lambda: "sleep 100 " in self.processes().values(), 10, "the program")
            self.assertEqual(self.booked(), 1 << 30)
            for pid in self.pids("gantryd"):
                os.kill(pid, how)
            wait_until(lambda: not self.pids("gantryd"), 20, "the daemon's end")
            self.assertIsNone(held.poll())
            self.ok("jobs")
            self.assertEqual(self.booked(), 1 << 30)
            held.kill()
            wait_until(lambda: self.booked() == 0, 5, "the lease's end")


if __name__ == "__main__":
    unittest.main()
