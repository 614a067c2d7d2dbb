"""Plans ask the engine for its own bytes, once, and do without it where it fails."""

import json
import shutil
import subprocess
import unittest

from household import BIN, MODELS, Household

PHANTOM = BIN.parent / "lib/libphantom.so"
MIB = 1 << 20
KINDS = ("weights", "kv", "compute")


class Engine(Household):
    """A household whose plans are looked at."""

    def plan(self, *args, gantry=BIN / "gantry"):
        """(the first model, the whole answer) of `gantry plan --json`."""
        done = subprocess.run([gantry, "plan", *map(str, args), "--json"], env=self.env,
                              capture_output=True, text=True, timeout=120, cwd=self.dir)
        self.assertEqual(done.returncode, 0, done.stderr)
        answer = json.loads(done.stdout)
        return answer["models"][0], answer

    def asked(self, answer):
        """(processes started, answers known, failures)"""
        return tuple(answer["engine"][key] for key in ("asked", "known", "failed"))

    def dry_run(self, *flags):
        """The engine's answer without anything of ours between."""
        done = subprocess.run([BIN / "gantry-worker", "dry-run", *map(str, flags)], env=self.env,
                              capture_output=True, text=True, timeout=120, check=True)
        return json.loads(done.stdout)

    def bytes_of(self, row):
        """(weights, kv, compute) of a row of the engine's answer."""
        return (row["model"] + row.get("mmproj", 0), row["context"],
                row["compute"] + row.get("mmproj_compute", 0))

    def kinds(self, need):
        """(weights, kv, compute) of a row of the plan."""
        return tuple(need[kind] for kind in KINDS)


class Asking(Engine):
    def test_the_plan_has_the_engines_bytes_and_asks_once(self):
        file = MODELS / "micro-minutes.gguf"
        model, answer = self.plan(file, "-c", 512)
        self.assertEqual((model["bytes"], self.asked(answer)), ("engine", (1, 0, 0)))
        host = self.dry_run("-m", file, "-c", 512, "-np", 1, "-b", 512,
                            "-ub", 512, "-fa", "on", "-ngl", 0, "--device", "none")["host"]
        self.assertEqual(self.kinds(model["needs"][0]), self.bytes_of(host))
        self.assertEqual(model["differs_bytes"],
                         model["needs"][0]["total"] - model["formula"][0]["total"])
        again, answer = self.plan(file, "-c", 512)
        self.assertEqual(self.asked(answer), (0, 1, 0))  # no process
        self.assertEqual(again["needs"], model["needs"])
        _, answer = self.plan(file, "-c", 1024)  # another question
        self.assertEqual(self.asked(answer), (1, 0, 0))
        self.assertIn("bytes: engine, ", self.ok("plan", file, "-c", 512))

    def test_the_encoder_and_its_graph(self):
        model, _ = self.plan("micro-vision", "-c", 512, "-np", 1)
        host = self.dry_run("-m", MODELS / "micro-vision.gguf", "--mmproj",
                            MODELS / "micro-vision-mmproj.gguf", "-c", 512, "-np", 1, "-b", 512,
                            "-ub", 512, "-fa", "on", "-ngl", 0, "--device", "none")["host"]
        self.assertGreater(host["mmproj_compute"], MIB // 4)
        self.assertEqual(self.kinds(model["needs"][0]), self.bytes_of(host))

    def test_without_the_probe_and_for_other_machines_it_is_the_formula(self):
        for flags in (["micro-minutes", "--no-probe"], ["micro-minutes", "--machine", "laptop-6g"],
                      ["llama3:8b@Q4_K_M"], ["micro-asr"]):
            model, answer = self.plan(*flags)
            self.assertEqual((model["bytes"], model["formula"], self.asked(answer)),
                             ("formula", None, (0, 0, 0)), flags)

    def test_what_streams_is_said_to_be_by_formula(self):
        model, answer = self.plan("micro-minutes", "--preset", "2")
        self.assertIsNotNone(model["stream"])
        self.assertEqual((model["bytes"], self.asked(answer)), ("formula", (0, 0, 0)))
        self.assertIn("bytes of micro-minutes by formula: it streams", answer["notes"])

    def test_a_file_that_was_replaced_is_asked_about_again(self):
        path = self.dir / "m.gguf"
        weights = []
        for layers in (2, 4):
            self.ok("synth", "llama", "--layers", layers, "--embd", "256", "-o", path)
            model, answer = self.plan(path, "-c", 512)
            self.assertEqual((model["bytes"], self.asked(answer)), ("engine", (1, 0, 0)))
            weights.append(model["needs"][0]["weights"])
        self.assertGreater(weights[1], weights[0])

    def test_a_cache_of_another_version_or_of_nothing_is_written_anew(self):
        self.plan("micro-minutes", "-c", 512)
        cache = self.state / "dry-runs.json"
        good = json.loads(cache.read_text())
        for text in ("", "{", "[]", json.dumps(dict(good, version=0)), "\0" * (2 * MIB)):
            cache.write_text(text)
            model, answer = self.plan("micro-minutes", "-c", 512)
            self.assertEqual((model["bytes"], self.asked(answer)), ("engine", (1, 0, 0)))
            self.assertEqual(json.loads(cache.read_text()), good)

    def test_what_the_daemon_asks_the_command_knows(self):
        self.ok("run", "micro-minutes", "-p", "Hello.", "-n", "2")
        (running,) = json.loads(self.ok("ps", "--json"))["running"]
        model, answer = self.plan("micro-minutes")
        self.assertEqual((model["bytes"], self.asked(answer)), ("engine", (0, 1, 0)))
        self.assertEqual(running["predicted_bytes"], model["needs"][0]["total"])


class Failing(Engine):
    def programs(self, on_dry_run):
        """Our programs, with a worker that does something else when it is asked for a dry run."""
        folder = self.dir / "bin"
        folder.mkdir(exist_ok=True)
        shutil.copy(BIN / "gantry", folder)
        worker = folder / "gantry-worker"
        worker.write_text(f'#!/bin/sh\ncase " $* " in *" dry-run "*) {on_dry_run};; esac\n'
                          f'exec {BIN}/gantry-worker "$@"\n')
        worker.chmod(0o755)
        return folder / "gantry"

    def test_the_formula_holds_and_a_note_says_so(self):
        file = MODELS / "micro-minutes.gguf"
        formula, _ = self.plan(file, "--no-probe")
        for script, note in (("kill -SEGV $$", "dry run ended: killed by signal 11"),
                             ("exit 7", "dry run ended: exit status 7"),
                             ("echo 'gantry: cannot load it' >&2; exit 1", "cannot load it"),
                             ("echo '{}'; exit 0", "is not understood: devices"),
                             ("echo nothing; exit 0", "is not understood: it is not JSON")):
            model, answer = self.plan(file, gantry=self.programs(script))
            self.assertEqual((model["bytes"], self.asked(answer)), ("formula", (1, 0, 1)), script)
            self.assertEqual(model["needs"], formula["needs"])
            (said,) = [line for line in answer["notes"] if "by formula" in line]
            self.assertIn(f"bytes of {file} by formula: ", said)
            self.assertIn(note, said)
        self.assertFalse((self.state / "dry-runs.json").exists())
        self.assertEqual(list(self.dir.glob("**/*.err")), [])


@unittest.skipUnless(PHANTOM.exists(), f"no {PHANTOM}")
class Cards(Engine):
    """Two cards that hold nothing, driven by what drives real ones."""

    def setUp(self):
        super().setUp()
        self.env["GGML_BACKEND_PATH"] = str(PHANTOM)
        self.env["GANTRY_PHANTOM"] = "880MiB,720MiB"
        self.model = self.dir / "m.gguf"
        self.ok("synth", "llama", "--layers", "24", "--embd", "2048", "--quant", "Q8_0",
                "--sparse", "-o", self.model)

    def test_each_card_has_what_the_engine_says(self):
        model, answer = self.plan(self.model, "-c", 2048, "--no-stream")
        self.assertEqual(model["bytes"], "engine", answer["notes"])
        splits = model["splits"]
        self.assertEqual(len(splits), 2, model["why"])
        self.assertEqual(sum(split["layers"] for split in splits), 24)
        shares = [split["layers"] for split in splits]
        shares[-1] += 1  # the output
        said = self.dry_run("--plugin", PHANTOM, "-m", self.model, "-c", 2048, "-b", 512, "-ub",
                            512, "-fa", "on", "-ngl", 25, "--device", "Phantom0,Phantom1",
                            "--tensor-split", ",".join(map(str, shares)))
        rows = [*said["devices"], said["host"]]
        self.assertEqual([self.kinds(need) for need in model["needs"]],
                         [self.bytes_of(row) for row in rows])
        for need, formula in zip(model["needs"], model["formula"]):
            self.assertEqual(need["device"], formula["device"])
            for kind in KINDS:
                self.assertLessEqual(abs(need[kind] - formula[kind]),
                                     max(2 * MIB, 0.01 * need[kind]), (need, formula, kind))
        shares = {share["name"]: share for share in answer["devices"]}
        for need in model["needs"]:
            self.assertEqual(shares[need["device"]]["peak"], need["total"])
        _, answer = self.plan(self.model, "-c", 2048, "--no-stream")
        self.assertEqual(self.asked(answer)[0], 0)


if __name__ == "__main__":
    unittest.main()
