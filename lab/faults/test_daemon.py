"""The real daemon with a small worker: kill -9 of it, of the worker and of both at the n-th
operation of a named step; and the k-th failure of its calls.

The shim's control block is a file that this test and the killed program map, so a program can be
told where to die while it runs. The history is kept here.
"""

import contextlib
import ctypes
import errno
import http.client
import json
import mmap
import os
import pathlib
import random
import shutil
import signal
import socket
import sqlite3
import struct
import subprocess
import tempfile
import time
import unittest

BIN = pathlib.Path(os.environ["GANTRY_BIN"])
SHIM = os.environ["GANTRY_FAULT_SHIM"]
FULL = bool(os.environ.get("GANTRY_TEST_FULL"))
SEED = int(os.environ.get("GANTRY_TEST_SEED", time.time_ns() % 1_000_000))
EACH = 50 if FULL else 5  # kills at each place
ENDED = ("done", "failed", "cancelled", "quarantined")

# FaultControl of shim.h: root; kill_step, kill_when, kill_at, kill_parent; fail_group, fail_at,
# fail_errno; seen, a count of each step; a count of each group; hit, failed.
KILL_AT, FAIL_AT, SEEN_AT = 256, 276, 304
GROUPS = ["none", "file", "allocate", "spawn", "talk"]
SHORT = -1
SIZE = 4096


def step_names():
    """The numbers of the shim's steps, by name."""
    library = ctypes.CDLL(SHIM)
    library.fault_step_name.restype = ctypes.c_char_p
    names = {}
    for number in range(1, 64):
        name = library.fault_step_name(number).decode()
        if name == "unknown":
            break
        names[name] = number
    return names


STEPS = step_names()
GROUPS_AT = SEEN_AT + 8 * (len(STEPS) + 1)
HIT_AT = GROUPS_AT + 8 * len(GROUPS)


class Control:
    """A control block in a file."""

    def __init__(self, path, root):
        path.write_bytes(str(root).encode().ljust(SIZE, b"\0"))
        self.path = path
        with open(path, "r+b") as file:
            self.map = mmap.mmap(file.fileno(), SIZE)

    def seen(self, step):
        """How often the step was met."""
        return struct.unpack_from("Q", self.map, SEEN_AT + 8 * STEPS[step])[0]

    def hit(self):
        """The number of the step at which the program was killed; 0: it was not."""
        return struct.unpack_from("I", self.map, HIT_AT)[0]

    def arm(self, step, ahead, when, parent=False):
        """Kills at the step, so many times from now."""
        self.disarm()
        struct.pack_into("I", self.map, HIT_AT, 0)
        struct.pack_into("=IQI", self.map, KILL_AT + 4, when, self.seen(step) + ahead, int(parent))
        struct.pack_into("I", self.map, KILL_AT, STEPS[step])

    def disarm(self):
        """Kills no more, fails no more."""
        struct.pack_into("I", self.map, KILL_AT, 0)
        struct.pack_into("I", self.map, FAIL_AT, 0)

    def fail(self, group, at, error):
        """Lets the n-th call of the group fail, counted anew; the program must not run."""
        self.map[SEEN_AT:SIZE] = bytes(SIZE - SEEN_AT)
        struct.pack_into("=IQi", self.map, FAIL_AT, GROUPS.index(group), at, error)

    def met(self, group):
        """How many calls of the group there were."""
        return struct.unpack_from("Q", self.map, GROUPS_AT + 8 * GROUPS.index(group))[0]

    def failed(self):
        """How many calls were made to fail."""
        return struct.unpack_from("I", self.map, HIT_AT + 4)[0]


class Socket(http.client.HTTPConnection):
    """HTTP over the daemon's unix socket."""

    def __init__(self, path):
        super().__init__("localhost", timeout=20)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(20)
        self.sock.connect(str(self.path))


class Daemon(unittest.TestCase):
    """A state directory, a daemon with the shim, and what was said of its jobs."""

    endings = (-signal.SIGKILL,)  # how a daemon may end that was not asked to
    may_fail = False  # a job or a question, with a cause

    def setUp(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="gf"))
        self.state = self.dir / "state"
        self.daemon_control = Control(self.dir / "daemon.control", self.state)
        self.worker_control = Control(self.dir / "worker.control", self.state)
        config = self.dir / "config.yaml"
        config.write_text(json.dumps({"models": {"fault": {
            "cmd": f"{BIN / 'fault_worker'} ${{PORT}}", "memory": "8MiB",
            "env": [f"LD_PRELOAD={SHIM}", "FAULT_PROGRAM=fault_worker",
                    f"FAULT_CONTROL={self.worker_control.path}"]}}}))
        self.env = dict(os.environ, XDG_RUNTIME_DIR=str(self.dir),
                        XDG_CONFIG_HOME=str(self.dir / "none"), LD_PRELOAD=SHIM,
                        FAULT_PROGRAM="gantryd", FAULT_CONTROL=str(self.daemon_control.path))
        self.env.update(GANTRY_LEASE_DIR=str(self.dir / "leases"))
        self.env.pop("GANTRY_API_KEY", None)
        self.command = [BIN / "gantryd", "--state-dir", self.state, "--config", config,
                        "--listen", "127.0.0.1:0"]
        self.daemon = None
        print(f"seed {SEED} (GANTRY_TEST_SEED)", flush=True)
        self.random = random.Random(SEED)
        self.acknowledged, self.results, self.histogram = set(), {}, {}
        self.submitted = 0
        self.where = ""

    def tearDown(self):
        if self.daemon is not None and self.daemon.poll() is None:
            self.daemon.kill()
            self.daemon.wait()
        shutil.rmtree(self.dir, ignore_errors=True)

    def start(self):
        """A daemon that runs, or one that was killed while it began."""
        with open(self.dir / "words", "ab") as words:
            self.daemon = subprocess.Popen(list(map(str, self.command)), env=self.env,
                                           stdin=subprocess.DEVNULL, stdout=words, stderr=words)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and self.daemon.poll() is None:
            if self.ask("GET", "/health")[0] == 200:
                return
            time.sleep(0.01)
        self.assertIn(self.daemon.poll(), self.endings, self.words())

    def words(self):
        """Where the test is, and the end of what daemons said and logged."""
        log = self.state / "gantryd.log"
        logged = log.read_text(errors="replace")[-1500:] if log.exists() else ""
        step = struct.unpack_from("I", self.daemon_control.map, HIT_AT + 8)[0]
        failed = [name for name, number in STEPS.items() if number == step]
        words = (self.dir / "words").read_text(errors="replace")[-1500:]
        return f"{self.where}{failed}\n{words}{logged}"

    def ask(self, method, path, body=None):
        """Status and bytes of an answer; status 0 when the daemon is not there (any more)."""
        found = list(self.dir.glob("gantry/*/d.sock"))
        if not found:
            return 0, b""
        connection = Socket(found[0])
        try:
            connection.request(method, path, body and json.dumps(body),
                               {"Content-Type": "application/json"})
            answer = connection.getresponse()
            body = answer.read()
            # A head alone is no answer: the daemon was killed before the rest.
            return (answer.status, body) if body else (0, b"")
        except (OSError, http.client.HTTPException):
            return 0, b""
        finally:
            connection.close()

    def submit(self):
        """One more job; acknowledged only if the answer came."""
        status, body = self.post_job()
        if status not in (0, 202):
            self.fail(f"submit: {status} {body}")

    def post_job(self):
        self.submitted += 1
        status, body = self.ask("POST", "/v1/jobs", {
            "kind": "generate", "params": {"prompt": "Hello.", "model": "fault"},
            "idempotency_key": f"job {self.submitted}"})
        if status == 202:
            self.acknowledged.add(json.loads(body)["id"])
        return status, body

    def settle(self, seconds=120):
        """Waits until the daemon is dead or every acknowledged job has ended; their results.

        A worker that fell again and again rests for up to a minute before it is started.
        """
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.daemon.poll() is not None:
                self.assertIn(self.daemon.returncode, self.endings, self.words())
                return False
            open_jobs = [i for i in self.acknowledged if i not in self.results]
            for job_id in open_jobs:
                self.look(job_id)
            if not open_jobs:
                return True
            time.sleep(0.005)
        self.fail(f"jobs are stuck: {self.words()}")

    def look(self, job_id):
        """Notes the result of a job that is done."""
        status, body = self.ask("GET", f"/v1/jobs/{job_id}")
        if status == 0 or self.may_fail and status >= 500:
            return
        self.assertEqual(status, 200, f"{job_id} is lost: {body}")
        job = json.loads(body)
        if job["state"] not in ENDED:
            return
        if self.may_fail and job["state"] == "failed":
            self.assertTrue(job["error"]["message"])
            self.acknowledged.discard(job_id)
            return
        self.assertEqual(job["state"], "done", job)
        status, result = self.ask("GET", f"/v1/jobs/{job_id}/result")
        if status == 0 or self.may_fail and status >= 500:
            return
        self.assertEqual(status, 200, result)
        self.assertIn(b"always the same", result)
        self.results[job_id] = result

    @contextlib.contextmanager
    def store(self):
        """The store of a dead daemon, in a copy."""
        copy = self.dir / "copy"
        copy.mkdir()
        for name in ("gantry.db", "gantry.db-wal", "gantry.db-journal"):
            if (self.state / name).exists():
                shutil.copy(self.state / name, copy)
        with contextlib.closing(sqlite3.connect(copy / "gantry.db")) as database:
            yield database
        shutil.rmtree(copy)

    def check(self):
        """What was said stands in the store."""
        if not self.acknowledged:
            return
        with self.store() as database:
            self.assertEqual(database.execute("PRAGMA integrity_check").fetchall(), [("ok",)])
            rows = {row[0]: row[1:] for row in database.execute(
                "SELECT id, state, result_file FROM jobs")}
        for job_id in self.acknowledged:
            self.assertIn(job_id, rows, "lost")
        for job_id, result in self.results.items():
            state, name = rows[job_id]
            self.assertEqual(state, "done")
            kept = (self.state / "jobs" / job_id / name).read_bytes()
            self.assertEqual(kept, result, "a second result")

    def no_leftovers(self):
        """Workers end with their daemon."""
        deadline = time.monotonic() + 5
        while self.workers() and time.monotonic() < deadline:
            time.sleep(0.01)
        self.assertEqual(self.workers(), [])

    def rest(self):
        """A daemon that lives until all is done."""
        if self.daemon.poll() is not None:
            self.start()
        self.assertTrue(self.settle())
        self.daemon.terminate()
        self.assertEqual(self.daemon.wait(timeout=20), 0, self.words())
        self.check()

    def note(self, who, step, control):
        """One kill more, where it was meant to be."""
        self.assertEqual(control.hit(), STEPS[step])
        place = f"{who}: {step}"
        self.histogram[place] = self.histogram.get(place, 0) + 1

    def dead(self):
        """What holds whenever the daemon was killed."""
        self.daemon_control.disarm()
        self.worker_control.disarm()
        self.all_named(self.workers())
        self.no_leftovers()
        self.check()

    def workers(self):
        """Processes in which a worker's program has begun."""
        mark = str(self.worker_control.path).encode()
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and mark in (entry / "environ").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
        return found

    def all_named(self, pids):
        """No program of ours runs that a row does not name: the next daemon knows all of them."""
        if not pids:
            return
        with self.store() as database:
            rows = {row[0] for row in database.execute("SELECT pid FROM leases")}
        self.assertLessEqual(set(pids), rows)


class Kills(Daemon):
    def kill_daemon(self, step):
        """One kill of the daemon at the step, in its begin or in its work."""
        when = self.random.randrange(3)
        if step in ("spawn", "pipe read"):  # a probe's, or the worker's
            self.daemon_control.arm(step, self.random.randint(1, 2), when)
            self.start()
        else:
            self.start()
            self.daemon_control.arm(step, self.random.randint(1, 6), when)
        for _ in range(12):
            if self.daemon.poll() is not None:
                break
            self.submit()
            self.settle()
        self.daemon.wait(timeout=20)
        self.note("daemon", step, self.daemon_control)
        self.dead()

    def test_no_worker_begins_before_its_lease_names_it(self):
        """Killed right after each fork, and around the row that comes next: the worker waits."""
        for turn in range(4 * EACH):
            self.daemon_control.arm("spawn", 1 + turn % 2, 2)
            self.start()
            if turn % 4 >= 2:
                self.daemon_control.disarm()
                self.daemon_control.arm("wal sync", self.random.randint(1, 4), turn % 3)
            for _ in range(12):
                if self.daemon.poll() is not None:
                    break
                self.submit()
                self.settle()
            self.assertEqual(self.daemon.wait(timeout=20), -signal.SIGKILL)
            self.dead()
            if turn % 5 == 4:
                self.rest()

    def kill_worker(self, step, both):
        """One kill of the worker while it is asked, with its daemon or alone."""
        if self.daemon is None or self.daemon.poll() is not None:
            self.start()
        if len(self.acknowledged) == len(self.results):
            self.submit()
            self.settle()
        self.worker_control.arm(step, self.random.randint(1, 3), self.random.randrange(3), both)
        for _ in range(12):
            if self.worker_control.hit() or self.daemon.poll() is not None:
                break
            self.submit()
            self.settle()
        self.note("both" if both else "worker", step, self.worker_control)
        if both:
            self.daemon.wait(timeout=20)
            self.dead()

    def test_kills_lose_nothing(self):
        for step in ("spawn", "pipe read", "socket accept", "socket read", "socket write",
                     "worker connect", "worker read", "worker write", "wal write", "wal sync",
                     "result write", "result rename"):
            for turn in range(EACH):
                self.kill_daemon(step)
                # A job that is lost with twenty daemons in a row is given up.
                if turn % 5 == 4:
                    self.rest()
        for both in (False, True):
            for step in ("socket accept", "socket read", "socket write"):
                for turn in range(EACH):
                    self.kill_worker(step, both)
                    # Workers that fall again and again are given rests, by one daemon; and a job
                    # that is lost with twenty daemons in a row is given up.
                    if turn % (5 if both else 2) == 1:
                        self.rest()
        self.rest()
        for place, count in sorted(self.histogram.items()):
            print(f"killed at {place}: {count}")
        print(f"{sum(self.histogram.values())} kills, {len(self.acknowledged)} jobs acknowledged")


class Failures(Daemon):
    endings = (1, 4)  # with a line that says why
    may_fail = True

    def run_once(self, submit=None):
        """One life with a job or two, as far as it gets; then its end is asked for."""
        self.start()
        for _ in range(2):
            if self.daemon.poll() is None:
                (submit or self.try_submit)()
                self.settle()
        if self.daemon.poll() is None:
            self.daemon.terminate()
            self.assertIn(self.daemon.wait(timeout=20), (0, *self.endings), self.words())
        if self.daemon.returncode != 0:
            self.assertIn("\ngantry: ", self.words())

    def try_submit(self):
        """A job that may be refused, by a status and a cause."""
        status, body = self.post_job()
        if status not in (0, 202):
            self.assertTrue(json.loads(body)["error"]["message"], body)

    def test_the_kth_failure_loses_nothing(self):
        self.daemon_control.fail("none", 0, 0)
        self.run_once(self.submit)
        self.assertEqual(len(self.results), 2)
        met = {group: self.daemon_control.met(group) for group in GROUPS}
        injected, exits = 0, 0
        for group, errors, most in (("spawn", (errno.EAGAIN,), 1000),
                                    ("talk", (errno.EINTR, errno.ECONNRESET, SHORT), 300),
                                    ("file", (errno.ENOSPC, errno.EIO, errno.EINTR, SHORT), 100),
                                    ("allocate", (errno.ENOMEM,), 400)):
            for error in errors:
                count = min(met[group], most if FULL else 6)
                for at in sorted(self.random.sample(range(1, met[group] + 1), count)):
                    self.where = f"{group} {at}, error {error}: "
                    self.daemon_control.fail(group, at, error)
                    self.run_once()
                    injected += self.daemon_control.failed()
                    exits += self.daemon.returncode != 0
                    self.dead()
                self.start()
                self.rest()
        print(f"met {met}; {injected} failures injected, {exits} clean exits, "
              f"{len(self.acknowledged)} jobs acknowledged")


if __name__ == "__main__":
    unittest.main()
