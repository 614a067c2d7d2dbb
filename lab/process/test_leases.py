"""Two daemons of one machine, of two state directories: nothing is lent twice."""

import json
import os
import pathlib
import signal
import subprocess
import threading
import unittest

from household import BIN, Household, free_port, wait_until

PYTHON = "/usr/bin/python3"
ROUNDS = 12
# In the folder where only one may be at a time.
INSIDE = ("mkdir inside 2>/dev/null || echo two >> overlaps; sleep 0.02; rmdir inside; "
          "echo x >> went")


class TwoDaemons(Household):
    def setUp(self):
        super().setUp()
        self.second = dict(self.env, GANTRY_STATE_DIR=str(self.dir / "second"),
                           GANTRY_HOST=f"127.0.0.1:{free_port()}")
        self.ok("jobs")
        (cpu,) = [d for d in json.loads(self.ok("ps", "--json"))["devices"] if d["name"] == "cpu"]
        # Room for one of them: a daemon lends 80 % of what is free.
        self.need = cpu["budget_bytes"] * 9 // 10
        folder = self.dir / "cfg" / "gantry"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.yaml").write_text(json.dumps({"models": {"big": {
            "cmd": f"{PYTHON} -m http.server --bind 127.0.0.1 ${{PORT}}", "checkEndpoint": "/",
            "memory": f"{self.need}B"}}}))
        self.gantry("stop")

    def tearDown(self):
        self.there("stop")
        super().tearDown()

    def there(self, *args):
        """The same of the other daemon."""
        return subprocess.run([BIN / "gantry", *map(str, args)], env=self.second, timeout=120,
                              capture_output=True, text=True, stdin=subprocess.DEVNULL)

    def begin(self, env, *command):
        """A program with nearly all of the memory, or in line for it."""
        process = subprocess.Popen(
            [BIN / "gantry", "with-device", "cpu", "--need", f"{self.need}B", "--", *command],
            env=env, cwd=self.dir, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True)
        self.background.append(process)
        return process

    def holds(self, run):
        """What the daemon itself has lent."""
        told = run("leases", "--json").stdout
        leases = json.loads(told)["data"] if told else []  # it may not be there yet
        return [lease["holder"] for lease in leases if lease["uid"] is None]

    def daemon_of(self, state):
        """The process of the daemon of a state directory."""
        for pid in self.pids("gantryd"):
            words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if str(state).encode() in words:
                return pid
        return None

    def test_under_load(self):
        def play(env):
            for _ in range(ROUNDS):
                self.assertEqual(self.begin(env, "sh", "-c", INSIDE).wait(60), 0)

        other = threading.Thread(target=play, args=(self.second,))
        other.start()
        play(self.env)
        other.join()
        self.assertFalse((self.dir / "overlaps").exists())
        self.assertEqual((self.dir / "went").read_text().count("x"), 2 * ROUNDS)

    def test_a_program_holds_its_bytes_for_both_when_its_daemon_is_killed(self):
        held = self.begin(self.env, "sleep", "100")
        wait_until(lambda: self.holds(self.gantry) == ["sleep"], 10, "the first lease")
        waits = self.begin(self.second, "sleep", "100")
        self.assertIn("waiting for cpu", waits.stderr.readline())
        os.kill(self.daemon_of(self.state), signal.SIGKILL)
        self.assertIn("leased by other daemons", self.there("ps").stdout)
        self.assertEqual(self.holds(self.there), [])
        held.kill()
        wait_until(lambda: self.holds(self.there) == ["sleep"], 10, "the second lease")

    def test_a_killed_daemons_workers_give_theirs_back(self):
        self.ok("load", "big")
        self.assertEqual(self.holds(self.gantry), ["big"])
        waits = self.begin(self.second, "sleep", "100")
        self.assertIn("waiting for cpu", waits.stderr.readline())
        listed = json.loads(self.there("leases", "--json").stdout)["data"]
        self.assertEqual([(lease["holder"], lease["uid"]) for lease in listed],
                         [("big", os.geteuid())])
        os.kill(self.daemon_of(self.state), signal.SIGKILL)
        wait_until(lambda: self.holds(self.there) == ["sleep"], 10, "the second lease")

    def test_a_program_that_takes_part_by_hand(self):
        folder = self.dir / "leases"
        self.ok("jobs")
        sleeper = subprocess.Popen(["sleep", "100"])
        self.background.append(sleeper)
        stat = pathlib.Path(f"/proc/{sleeper.pid}/stat").read_text()
        boot = pathlib.Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        (folder / ".mine").write_text(json.dumps({
            "version": 1, "device": "host", "bytes": self.need, "pid": sleeper.pid,
            "start_ticks": int(stat.rpartition(")")[2].split()[19]), "boot_id": boot,
            "uid": os.geteuid(), "program": "by hand"}))
        (folder / ".mine").rename(folder / "mine.json")
        waits = self.begin(self.env, "sleep", "100")
        self.assertIn("waiting for cpu", waits.stderr.readline())
        sleeper.kill()
        sleeper.wait()
        wait_until(lambda: self.holds(self.gantry) == ["sleep"], 10, "the lease")
        self.assertFalse((folder / "mine.json").exists())


if __name__ == "__main__":
    unittest.main()
