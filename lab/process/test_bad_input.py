"""Bad input of every kind: a clear error, the right status, nothing lost, nothing left behind."""

import json
import os
import socket
import struct
import subprocess
import unittest

from household import BIN, MODELS, Household, order, wait_until


def run_as_nobody():
    """Before exec: root may do anything, so permissions are tried as nobody."""
    os.setgid(65534)
    os.setuid(65534)


class Models(Household):
    def test_missing_empty_truncated_hostile_enormous(self):
        whole = (MODELS / "micro-minutes.gguf").read_bytes()
        files = {
            "empty.gguf": b"",
            "cut.gguf": whole[:len(whole) // 2],
            "head.gguf": whole[:20],
            "page.gguf": b"<!DOCTYPE html><html>" + b"x" * 1000,
            "counts.gguf": b"GGUF" + struct.pack("<IQQ", 3, 1 << 62, 1 << 62) + b"\0" * 64,
            "whisper.bin": (MODELS / "micro-asr.bin").read_bytes()[:100000],
        }
        for name, content in files.items():
            path = self.dir / name
            path.write_bytes(content)
            with self.subTest(name=name):
                self.refused(1, "inspect", path, says=name)
                self.refused(1, "run", path, "-p", "hello", says=name)
        self.refused(1, "inspect", self.dir / "none.gguf", says="none.gguf")
        self.refused(1, "run", self.dir / "none.gguf", "-p", "x", says="none.gguf")
        with open(self.dir / "huge.gguf", "wb") as huge:
            huge.write(b"GGUF" + struct.pack("<IQQ", 3, 0, 1 << 40))
            huge.truncate(1 << 40)
        self.refused(1, "inspect", self.dir / "huge.gguf", says="huge.gguf")

    def test_the_wrong_kind_of_model(self):
        self.refused(2, "run", "micro-asr", "-p", "hello", says="speech")
        self.refused(1, "run", "no-such-model", "-p", "hello", says="no-such-model")
        talk = self.speech()
        self.refused(1, "transcribe", "-m", "no-such-model", talk, says="no-such-model")


class Texts(Household):
    def test_a_text_longer_than_an_embedding_model_takes(self):
        """An encoder takes a text whole: its context, which is the worker's batch, is the limit."""
        limit = json.loads(self.ok("inspect", MODELS / "micro-embed-en.gguf", "--json"))[
            "context_trained"]
        self.serve()

        def embed(*texts):
            return self.post("/v1/embeddings", order(model="micro-embed-en", input=list(texts)))
        status, page = embed("a " * (limit - 2))  # two tokens stand around every text
        self.assertEqual((status, len(page.get("data", []))), (200, 1), page)
        pid = json.loads(self.ok("ps", "--json"))["running"][0]["pid"]
        for more in (1, 5_000):
            status, page = embed("a lamp", "a " * (limit - 2 + more))
            error = page["error"]
            self.assertEqual((status, error["code"], error["param"]), (400, "usage", "input"))
            self.assertIn(f"a text of {limit + more} tokens is too long, the model takes {limit} ",
                          error["message"])
        self.assertEqual(embed("a lamp")[0], 200)
        self.assertEqual(json.loads(self.ok("ps", "--json"))["running"][0]["pid"], pid)


class Audio(Household):
    def test_missing_empty_not_audio_truncated(self):
        self.refused(1, "transcribe", self.dir / "none.wav", says="none.wav")
        (self.dir / "empty.wav").write_bytes(b"")
        self.refused(1, "transcribe", self.dir / "empty.wav", says="empty.wav")
        (self.dir / "text.mp3").write_text("this is no sound " * 100)
        self.refused(1, "transcribe", self.dir / "text.mp3", says="text.mp3")
        screen = next(self.speech().parent.rglob("*.png"))
        self.refused(1, "transcribe", screen, says=screen.name)
        whole = self.speech().read_bytes()
        (self.dir / "cut.wav").write_bytes(whole[:len(whole) // 2])
        self.assertTrue(self.ok("transcribe", self.dir / "cut.wav").strip())  # what is there counts

    def test_playlists_are_not_followed(self):
        secret = self.speech("secret.wav")
        for name, text in (("a.m3u8", f"#EXTM3U\n#EXTINF:5,\nfile://{secret}\n"),
                           ("a.concat", f"ffconcat version 1.0\nfile '{secret}'\n"),
                           ("b.m3u8", f"#EXTM3U\n#EXTINF:5,\nhttp://127.0.0.1:{self.port}/x\n")):
            (self.dir / name).write_text(text)
            self.refused(1, "transcribe", self.dir / name, says=name)

    def test_one_bad_recording_among_good_ones(self):
        (self.dir / "bad.wav").write_text("no")
        done = self.gantry("transcribe", self.dir / "bad.wav", self.speech())
        self.assertEqual(done.returncode, 1)
        self.assertGreaterEqual(len(done.stdout.splitlines()), 5)

    def test_names_that_look_like_flags(self):
        talk = self.speech()
        odd = self.dir / "-i file:x.wav"
        odd.write_bytes(talk.read_bytes())
        self.assertTrue(self.ok("transcribe", "--", odd.name, cwd=self.dir).strip())


class Budgets(Household):
    def test_zero_negative_nonsense(self):
        for budget in ("0", "-1GiB", "0%", "101%", "many", ""):
            with self.subTest(budget=budget):
                args = (f"--ram-budget={budget}",)
                if budget:
                    self.refused(2, "plan", "micro-asr", *args)
                    self.refused(2, "run", "micro-minutes", "-p", "x", *args)
                daemon = self.start("--ram-budget=" + (budget or "x"), program="gantryd")
                self.assertEqual(daemon.wait(30), 2)

    def test_beyond_the_machine_is_what_the_machine_has(self):
        done = self.gantry("plan", "micro-asr", "--ram-budget", "900TiB", "--json")
        self.assertEqual(done.returncode, 0)
        self.assertLess(json.loads(done.stdout)["devices"][0]["budget"], 900 << 40)

    def test_too_small_for_anything_is_3(self):
        line = self.refused(3, "run", "micro-minutes", "-p", "x", "--ram-budget", "4MiB")
        self.assertIn("--ram-budget", line)
        self.assertEqual(self.pids("llama-server"), [])

    def test_another_budget_while_the_daemon_runs(self):
        self.ok("jobs", "--ram-budget", "500MiB")
        self.ok("jobs", "--ram-budget", "500MiB")
        self.refused(1, "jobs", "--ram-budget", "600MiB", says="gantry stop")


class Places(Household):
    def test_a_port_in_use(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", self.port))
            taken.listen()
            self.refused(4, "jobs", says=str(self.port))

    def test_a_second_daemon_on_one_state_directory(self):
        self.ok("jobs")
        second = self.start("--listen", "127.0.0.1:0", program="gantryd")
        _, words = second.communicate(timeout=30)
        self.assertEqual(second.returncode, 4, words)
        self.assertIn(str(self.state), words)
        self.ok("jobs")

    def test_two_first_commands_start_one_daemon(self):
        both = [self.start("jobs") for _ in range(4)]
        for process in both:
            _, words = process.communicate(timeout=60)
            self.assertEqual(process.returncode, 0, words)
        self.assertEqual(len(self.pids("gantryd")), 1)

    def test_off_loopback_without_a_key(self):
        daemon = self.start("--listen", f"0.0.0.0:{self.port}", program="gantryd")
        _, words = daemon.communicate(timeout=30)
        self.assertEqual(daemon.returncode, 2, words)
        self.assertIn("key", words)

    @unittest.skipUnless(os.geteuid() == 0, "becoming another user needs root")
    def test_no_permission(self):
        os.chmod(self.dir, 0o755)
        closed = self.dir / "closed"
        closed.mkdir(mode=0o700)
        env = dict(self.env, HOME=str(self.dir), XDG_RUNTIME_DIR="", TMPDIR="/tmp")
        done = subprocess.run([BIN / "gantry", "jobs", "--state-dir", closed / "state"], env=env,
                              preexec_fn=run_as_nobody, capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("ermission", done.stderr)
        secret = self.dir / "secret.wav"
        secret.write_bytes(self.speech().read_bytes())
        secret.chmod(0o600)
        done = subprocess.run([BIN / "gantry", "transcribe", secret], env=env,
                              preexec_fn=run_as_nobody, capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("secret.wav", done.stderr)

    @unittest.skipUnless(os.geteuid() == 0, "mounting a small disk needs root")
    def test_a_full_disk(self):
        disk = self.dir / "disk"
        disk.mkdir()
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", disk])
        if mounted.returncode != 0:
            self.skipTest("this machine does not let us mount a small disk")
        self.state = disk / "state"
        self.env["GANTRY_STATE_DIR"] = str(self.state)
        try:
            kept = self.ok("submit", "generate", "-p", "Hello.").strip()
            self.wait_for_job(kept)
            (disk / "ballast").write_bytes(b"")
            with open(disk / "ballast", "wb", buffering=0) as ballast:
                try:
                    while ballast.write(b"x" * 4096) == 4096:
                        pass
                except OSError:
                    pass
            accepted, refusal = [], None
            for _ in range(200):
                done = self.gantry("submit", "generate", "-p", "Hello. " * 2000)
                if done.returncode != 0:
                    refusal = done
                    break
                accepted.append(done.stdout.strip())
            self.assertIsNotNone(refusal, "a full disk refused nothing")
            self.assertEqual(refusal.returncode, 1, refusal.stderr)
            self.assertIn("space", refusal.stderr)
            (disk / "ballast").unlink()
            self.gantry("stop")
            for job in [kept, *accepted]:
                self.assertIn(self.wait_for_job(job)["state"], ("done", "failed"))
            self.assertEqual(self.job(kept)["state"], "done")
            again = self.ok("submit", "generate", "-p", "Hello.").strip()
            self.assertEqual(self.wait_for_job(again)["state"], "done")
        finally:
            self.gantry("stop")
            wait_until(lambda: not self.processes(), 20, "an empty household")
            subprocess.run(["umount", "-l", disk], check=True)


class ConfigFile(Household):
    def check(self, text):
        path = self.dir / "c.yaml"
        path.write_text(text)
        return self.gantry("config", "check", path)

    def test_line_and_column(self):
        done = self.check("ram_budget: 2GiB\nmodels:\n  a:\n    file: [1, 2\n")
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, r"^gantry: .*c\.yaml:\d+:\d+: ")
        done = self.check("ram_budgt: 2GiB\n")
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, r"c\.yaml:1:1: .*ram_budget")

    def test_a_llama_swap_file_loads(self):
        done = self.check("healthCheckTimeout: 60\nmodels:\n  qwen:\n    cmd: llama-server --port "
                          "${PORT} -m q.gguf\n    ttl: 60\n    aliases: [q]\ngroups:\n  one:\n"
                          "    swap: true\n    members: [qwen]\n")
        self.assertEqual(done.returncode, 0, done.stderr)


if __name__ == "__main__":
    unittest.main()
