"""A household for tests: a state directory and a port of its own, and gantry's programs run in it.

The programs' folder comes from GANTRY_BIN (default: build/bin of this checkout).
"""

import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest
import urllib.error
import urllib.request
import wave

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("GANTRY_BIN", ROOT / "build" / "bin"))
MODELS = ROOT / "models"
FULL = bool(os.environ.get("GANTRY_TEST_FULL"))
PATIENCE = 4  # limits are for a quiet machine; on a busy one nothing is wrong before this many


def installed(name):
    """The folder of a dependency, as CMake is told it; None where it is not installed."""
    told = (ROOT / ".cache" / "deps.cmake").read_text(encoding="utf-8")
    found = re.search(rf"set\(GANTRY_{name}_PREFIX \[==\[(.*)\]==\]\)", told)
    return pathlib.Path(found[1]) if found else None


def free_port():
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(condition, seconds=30, what="condition"):
    """Polls until the condition holds; its value is returned."""
    seconds *= PATIENCE
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"{what} did not come true in {seconds} s")


def kill(pid):
    """kill -9; whether it was still there."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def form(file, **fields):
    """A multipart body and its type."""
    parts = [(name, value.encode()) for name, value in fields.items()]
    parts.append(('file"; filename="a.wav', file))
    body = b"".join(f'--XX\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'.encode()
                    + value + b"\r\n" for name, value in parts) + b"--XX--\r\n"
    return body, "multipart/form-data; boundary=XX"


def order(**fields):
    """A JSON body and its type."""
    return json.dumps(fields).encode(), "application/json"


def write_wav(path, frames):
    """Samples of 16 bits, 16,000 a second."""
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(16000)
        out.writeframes(frames)


class Household(unittest.TestCase):
    """Every test has its own daemon; whatever is left behind fails the test."""

    def setUp(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="gh"))
        self.state = self.dir / "state"
        self.port = free_port()
        self.env = dict(os.environ, GANTRY_STATE_DIR=str(self.state),
                        GANTRY_HOST=f"127.0.0.1:{self.port}", XDG_CONFIG_HOME=str(self.dir / "cfg"),
                        XDG_RUNTIME_DIR=str(self.dir), OMP_WAIT_POLICY="passive",
                        GANTRY_LEASE_DIR=str(self.dir / "leases"))
        self.env.pop("GANTRY_API_KEY", None)
        self.background = []

    def tearDown(self):
        try:
            for process in self.background:
                if process.poll() is None:
                    process.kill()
                process.communicate()
            self.gantry("stop")
            wait_until(lambda: not self.processes(), 5,
                       f"the end of {list(self.processes().values())}")
        finally:
            for pid in self.processes():
                kill(pid)
            shutil.rmtree(self.dir, ignore_errors=True)

    def gantry(self, *args, timeout=120, **options):
        """Runs `gantry ARGS` to its end."""
        return subprocess.run([BIN / "gantry", *map(str, args)], env=self.env, text=True,
                              timeout=timeout * PATIENCE, capture_output=True,
                              stdin=subprocess.DEVNULL, **options)

    def start(self, *args, program="gantry", **options):
        """Starts a program of ours in the background."""
        process = subprocess.Popen([BIN / program, *map(str, args)], env=self.env, text=True,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, **options)
        self.background.append(process)
        return process

    def configure(self, text):
        folder = self.dir / "cfg" / "gantry"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.yaml").write_text(text)

    def serve(self):
        """A daemon that answers at the port."""
        process = self.start("--listen", f"127.0.0.1:{self.port}", program="gantryd")
        wait_until(lambda: self.gantry("ps").returncode == 0, 20, "the daemon")
        return process

    def post(self, path, body, timeout=120):
        """Status and JSON of the daemon's answer; body: as form() and order() give it."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", body[0],
                                         {"Content-Type": body[1]})
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def heard_over_http(self, wav, model):
        """The texts of the segments that the daemon's endpoint gives."""
        status, page = self.post("/v1/audio/transcriptions",
                                 form(wav.read_bytes(), model=model,
                                      response_format="verbose_json"))
        self.assertEqual(status, 200, page)
        return [segment["text"] for segment in page["segments"]]

    def ok(self, *args, **options):
        """The standard output of a command that must succeed."""
        done = self.gantry(*args, **options)
        self.assertEqual(done.returncode, 0, f"gantry {args}: {done.stderr}")
        return done.stdout

    def refused(self, status, *args, says="", **options):
        """A command that must fail with this status and one line that names cause and remedy."""
        done = self.gantry(*args, **options)
        self.assertEqual(done.returncode, status, f"gantry {args}: {done.stdout}{done.stderr}")
        lines = [line for line in done.stderr.splitlines() if line.startswith("gantry: ")]
        self.assertEqual(len(lines), 1, f"gantry {args}: {done.stderr}")
        self.assertIn(says, lines[0])
        return lines[0]

    def processes(self):
        """Pid and command of everything that runs in this household: what has its environment, and
        workers, which get none of it but write their logs here."""
        mark = f"GANTRY_STATE_DIR={self.state}".encode()
        found = {}
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            try:
                ours = mark in (entry / "environ").read_bytes().split(b"\0") or any(
                    os.readlink(entry / "fd" / fd).startswith(f"{self.state}/")
                    for fd in ("1", "2"))
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                if ours and command:  # a zombie has none, and holds nothing
                    found[int(entry.name)] = command
            except OSError:
                pass
        return found

    def pids(self, word):
        """Processes of this household whose command holds the word."""
        return [pid for pid, command in self.processes().items() if word in command]

    def job(self, job_id):
        """A job as `gantry show --json` gives it."""
        return json.loads(self.ok("show", job_id, "--json"))

    def wait_for_job(self, job_id, seconds=120):
        """The job once it has ended."""
        ended = ("done", "failed", "cancelled", "quarantined")

        def look():
            job = self.job(job_id)
            return job if job["state"] in ended else None
        return wait_until(look, seconds, f"the end of job {job_id}")

    def speech(self, name="talk.wav", commands=6, seed=11):
        """A recording of a few spoken commands."""
        out = self.dir / f"meeting-{name}"
        if not out.exists():
            make_meeting(out, seed, commands, screens=1)
        target = self.dir / name
        if not target.exists():
            shutil.copy(out / "recording.wav", target)
        return target


def make_meeting(out, seed, commands, screens):
    """A meeting by the demo's generator."""
    subprocess.run(["/usr/bin/python3", "-B", ROOT / "demo/meeting/make_meeting.py", "--seed",
                    str(seed), "--out", out, "--commands", str(commands), "--screens",
                    str(screens)], check=True, capture_output=True)
