"""The estimators: fetched by name, pinned by version and hash, asked row by row."""

import json
import os
import pathlib
import select
import shutil
import subprocess

import engine

HERE = pathlib.Path(__file__).resolve().parent
MIB = 1 << 20
ANSWER_S_MAX = 120


class Missing(Exception):
    """Why a tool cannot be measured."""


def prepare(command, folder, what):
    """Runs an installer or a compiler; its last line is the reason where it fails."""
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=900,
                              check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Missing(f"{what}: {error}") from error
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise Missing(f"{what}: {lines[-1][:200] if lines else 'no output'}")


class Lines:
    """A program that answers a line of JSON with a line of JSON."""

    def __init__(self, command, folder):
        self.process = subprocess.Popen([str(word) for word in command], cwd=folder, text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL)

    def ask(self, row):
        try:
            self.process.stdin.write(json.dumps(row) + "\n")
            self.process.stdin.flush()
        except OSError:
            return {"error": "the program has ended"}
        while select.select([self.process.stdout], [], [], ANSWER_S_MAX)[0]:
            line = self.process.stdout.readline()
            if not line:
                return {"error": "the program has ended"}
            if line.startswith("{"):
                return json.loads(line)
        return {"error": f"no answer after {ANSWER_S_MAX} s"}

    def close(self):
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Formula:
    """Ours: the planner's formula, from the file's card alone."""

    name = "gantry formula"
    claims_process = True

    def __init__(self, options):
        program = options.programs / "bench-formula"
        if not program.exists():
            raise Missing("bench-formula is not built (ninja -C build bench-formula)")
        self.version = "this build"
        self.lines = Lines([program], HERE)

    def predict(self, row):
        got = self.lines.ask(row)
        if "error" in got:
            return got
        if row["gpu_layers"]:
            return {"device": sum(got["device"][part] for part in ("weights", "kv", "compute"))}
        total = got["weights"] + got["kv"] + got["compute"]
        return {"weights": got["weights"], "kv": got["kv"], "compute": got["compute"],
                "ggml": total, "process": total + got["overhead"]}

    def close(self):
        self.lines.close()


class DryRun:
    """Ours: the engine's dry run with the parameters that gantryd gives llama-server."""

    name = "gantry dry run"
    claims_process = False

    def __init__(self, options):
        self.program = options.programs / "gantry-worker"
        self.phantom = options.phantom
        asked = subprocess.run([self.program, "--help"], capture_output=True, text=True,
                               check=False) if self.program.exists() else None
        if asked is None or "dry-run" not in asked.stdout:
            raise Missing("gantry-worker has no dry run")
        self.version = "this build"

    def predict(self, row):
        command = [self.program, "dry-run", "-m", row["file"], "-c", str(row["context"]), "--np",
                   str(row["parallel"]), "--ub", str(row["ubatch"]), "--ctk", row["cache_k"],
                   "--ctv", row["cache_v"], "--fa", "on" if row["flash"] else "off"]
        command += ["--embeddings"] if row["embeddings"] else []
        command += ["--mmproj", row["mmproj"]] if row["mmproj"] else []
        command += (["--plugin", self.phantom, "--ngl", str(row["gpu_layers"])]
                    if row["gpu_layers"] else ["--devices", "none"])
        done = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_S_MAX,
                              check=False, env=engine.environment(row, self.phantom))
        line = next((one for one in done.stdout.splitlines() if one.startswith("{")), None)
        report = json.loads(line) if line else {}
        if "host" not in report:
            last = (done.stderr + done.stdout).strip().splitlines()[-1:] or ["no output"]
            return {"error": last[0][:200]}
        if row["gpu_layers"]:
            return {"device": sum(size for device in report["devices"]
                                  for size in device.values() if isinstance(size, int))}
        host = report["host"]
        weights = host["model"] + host.get("mmproj", 0)
        total = weights + host["context"] + host["compute"]
        return {"weights": weights, "kv": host["context"], "compute": host["compute"],
                "ggml": total, "process": total}

    def close(self):
        pass


class PlanCommand:
    """Ours: `gantry plan --json --machine FILE`, as a user asks it."""

    name = "gantry plan"
    claims_process = True

    def __init__(self, options):
        self.program = options.programs / "gantry"
        if not self.program.exists():
            raise Missing("gantry is not built (ninja -C build gantry)")
        self.version = "this build"
        self.machine = options.work / "machine.json"
        self.machine.write_text(json.dumps(MACHINE))

    def predict(self, row):
        special = row["embeddings"] or row["mmproj"] or row["gpu_layers"]
        if row["ubatch"] != 512 or not row["flash"] or special:
            return {"error": "no flag for this configuration"}
        done = subprocess.run(
            [self.program, "plan", row["file"], "--machine", self.machine, "--json", "--no-stream",
             "-c", str(row["context_each"]), "--np", str(row["parallel"]), "--ctk", row["cache_k"],
             "--ctv", row["cache_v"]], capture_output=True, text=True, timeout=60, check=False)
        if done.returncode not in (0, 3):
            return {"error": done.stderr.strip()[-200:]}
        plan = json.loads(done.stdout)
        host = next(device for device in plan["devices"] if device["name"] == "cpu")
        return {**{part: host[part] for part in ("weights", "kv", "compute")},
                "ggml": host["weights"] + host["kv"] + host["compute"], "process": host["total"]}

    def close(self):
        pass


class FitParams:
    """llama-fit-params of the engine that is measured: its own dry run, in whole MiB."""

    name = "llama-fit-params"
    claims_process = False

    def __init__(self, options):
        self.program = options.engine / "llama-fit-params"
        if not self.program.exists():
            raise Missing(f"{self.program} is not there")
        self.version = "of the engine that is measured"
        self.phantom = options.phantom

    def predict(self, row):
        command = [self.program, *engine.parameters(row), "-fitp", "on"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_S_MAX,
                              check=False, env=engine.environment(row, self.phantom))
        place = engine.PHANTOM if row["gpu_layers"] else "Host"
        host = [line.split() for line in done.stdout.splitlines() if line.startswith(place + " ")]
        if done.returncode != 0 or not host:
            last = done.stderr.strip().splitlines()[-1:] or ["no output"]
            return {"error": f"status {done.returncode}: {last[0][:200]}"}
        weights, kv, compute = (int(word) * MIB for word in host[0][1:4])
        total = weights + kv + compute
        if row["gpu_layers"]:
            return {"device": total}
        return {"weights": weights, "kv": kv, "compute": compute, "ggml": total, "process": total}

    def close(self):
        pass


def pinned(name):
    lock = json.loads((HERE / "node" / "package-lock.json").read_text())
    return lock["packages"][f"node_modules/{name}"]["version"]


class Node:
    """node-llama-cpp: the formula it had before, and the dry run of the llama.cpp it carries."""

    claims_process = False

    def __init__(self, options, part):
        self.name = f"node-llama-cpp {part}"
        self.part = part
        self.version = pinned("node-llama-cpp")
        folder = options.work / "node"
        shutil.copytree(HERE / "node", folder, dirs_exist_ok=True)
        mark = folder / "node_modules" / ".complete"
        lock = (folder / "package-lock.json").read_text()
        if not mark.exists() or mark.read_text() != lock:
            # Not `npm ci`: that insists on entries for the binaries of every other platform.
            # Versions and hashes are the lock's all the same.
            prepare(["npm", "install", "--no-save", "--ignore-scripts", "--omit=optional",
                     "--no-audit", "--no-fund"], folder, "npm install")
            mark.write_text(lock)
        self.lines = Lines(["node", "estimate.mjs"], folder)

    def predict(self, row):
        got = self.lines.ask({**row, "part": self.part})
        if "error" in got:
            return {"error": got["error"]}
        total = got["weights"] + got["context"]
        if row["gpu_layers"]:
            return {"device": total}
        return {"weights": got["weights"], "ggml": total, "process": total}

    def close(self):
        self.lines.close()


class GgufParser:
    """gguf-parser-go's library: EstimateLLaMACppRun."""

    name = "gguf-parser-go"
    claims_process = True

    def __init__(self, options):
        self.version = next(line.split()[2] for line in (HERE / "go" / "go.mod").read_text()
                            .splitlines() if line.startswith("require github.com/gpustack"))
        program = options.work / "gguf-parser"
        # go verifies every module against go.sum.
        prepare(["go", "build", "-mod=readonly", "-o", program, "."], HERE / "go", "go build")
        self.lines = Lines([program], options.work)

    def predict(self, row):
        got = self.lines.ask(row)
        if got.get("error"):
            return {"error": got["error"]}
        if row["gpu_layers"]:
            return {"device": got["device"]}
        return {**{part: got[part] for part in ("weights", "kv", "compute")},
                "ggml": got["weights"] + got["kv"] + got["compute"], "process": got["process"]}

    def close(self):
        self.lines.close()


MACHINE = {
    "id": "bench", "cpu": {"model": "any", "threads": 2},
    "memory": {"total_bytes": 64 << 30, "available_bytes": 60 << 30},
    "devices": [{"name": "cpu", "kind": "cpu", "total_bytes": 64 << 30, "free_bytes": 60 << 30}]}

MAKERS = [Formula, DryRun, PlanCommand, FitParams, lambda options: Node(options, "formula"),
          lambda options: Node(options, "simulation"), GgufParser]
NAMES = ["gantry formula", "gantry dry run", "gantry plan", "llama-fit-params",
         "node-llama-cpp formula", "node-llama-cpp simulation", "gguf-parser-go"]


def open_all(options, missing):
    """The tools that can be had; why the others cannot goes to `missing`, by name."""
    os.makedirs(options.work, exist_ok=True)
    tools = []
    for name, make in zip(NAMES, MAKERS):
        try:
            tools.append(make(options))
        except Missing as reason:
            missing[name] = str(reason)
    return tools
