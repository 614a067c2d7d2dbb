"""Runs the real llama.cpp with the streaming plugin and without it, and compares what came out.

The programs' folder comes from GANTRY_BIN, llama.cpp's prefix from GANTRY_ENGINE; both default to
what the build folder of this checkout says. Models are made by `gantry synth` when first asked for.
"""

import array
import concurrent.futures
import functools
import json
import os
import pathlib
import re
import shutil
import socket
import struct
import subprocess
import tempfile
import threading
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("GANTRY_BIN", ROOT / "build" / "bin"))
ENGINE = pathlib.Path(os.environ.get("GANTRY_ENGINE", "."))
PLUGIN = pathlib.Path(os.environ.get("GANTRY_PLUGIN", BIN / "libggml-gantry.so"))
# ggml's RPC backend is part of the prefix where it was built with it.
RPC = pathlib.Path(os.environ.get("GANTRY_RPC_DIR", ENGINE / "bin"))
SHIM = pathlib.Path(os.environ.get("GANTRY_SHIM", BIN.parent / "lib" / "libshim.so"))
FULL = bool(os.environ.get("GANTRY_TEST_FULL"))
JOBS = max(1, min(4, len(os.sched_getaffinity(0))))
LAYERS_OF_SHAPE = 6
# Deep and wide enough that matrices of every type stream.
SHAPE = ("--layers", str(LAYERS_OF_SHAPE), "--embd", "512")


def environment(plugin=None, library=None):
    """The environment of a run; plugin: GANTRY_STREAM_ settings by name, None: no plugin."""
    env = {key: value for key, value in os.environ.items()
           if not key.startswith(("GANTRY_STREAM_", "GGML_", "LLAMA_"))}
    env["OMP_WAIT_POLICY"] = "passive"
    if plugin is not None:
        env["GGML_BACKEND_PATH"] = str(library or PLUGIN)
        env["GANTRY_STREAM_SUMMARY"] = "0"
        env |= {f"GANTRY_STREAM_{key}": str(value) for key, value in plugin.items()}
    return env


class Run:
    """One run of `logits`: its events, its statistics, and the files of its rows."""

    def __init__(self, status, stdout, stderr, out):
        self.status, self.stderr, self.out = status, stderr, out
        self.events = [json.loads(line) for line in stdout.splitlines() if line.startswith("{")]

    def actions(self):
        return [event for event in self.events if event["event"] == "action"]

    def statuses(self):
        return [action["status"] for action in self.actions()]

    def loaded(self):
        found = [event["ok"] for event in self.events if event["event"] == "loaded"]
        return bool(found) and all(found)

    def statistics(self):
        """The last that the plugin gave; None without a plugin."""
        found = [e["statistics"] for e in self.events if e["event"] == "statistics"]
        return found[-1] if found else None

    def memory(self, key="anonymous_kib"):
        return [event[key] for event in self.events if event["event"] == "memory"]

    def checksums(self):
        """What each context had at its end: rows, hash of the rows, hash of watched tensors."""
        last = {a["context"]: (a["rows"], a["checksum"], a["watched"]) for a in self.actions()}
        return sorted(last.items())

    def rows(self):
        """The raw bytes of the rows of each context."""
        parts = sorted(self.out.parent.glob(self.out.name + ".*"))
        return [part.read_bytes() for part in parts]


def difference(wanted, got, width):
    """Where and by how much two lots of rows differ, in words; None: not by a single bit."""
    if len(wanted) != len(got):
        return f"{len(got) // (4 * width)} rows instead of {len(wanted) // (4 * width)}"
    if wanted == got:
        return None
    step = 4 * width
    first = next(at for at in range(0, len(wanted), step)
                 if wanted[at:at + step] != got[at:at + step])
    wanted_row = array.array("f", wanted[first:first + step])
    got_row = array.array("f", got[first:first + step])
    most = max(abs(a - b) if a == a and b == b else float("inf")
               for a, b in zip(wanted_row, got_row))
    count = sum(wanted[at:at + step] != got[at:at + step] for at in range(0, len(wanted), step))
    return (f"row {first // step} is the first of {count} rows of {len(wanted) // step} that "
            f"differ, there by up to {most:g}")


class Live:
    """A run of `logits` that stops at each `wait` of its script, until told to go on."""

    def __init__(self, command, env, out, before=None):
        self.out, self.lines = out, []
        self.errors = tempfile.TemporaryFile("w+", errors="replace")
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=self.errors, text=True, env=env, preexec_fn=before)

    def until_waiting(self):
        for line in self.process.stdout:
            self.lines.append(line)
            if '"waiting"' in line:
                return
        raise AssertionError(f"ended before it waited: {self.finish().stderr[-3000:]}")

    def go_on(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def finish(self, timeout=120):
        """Goes on to the end."""
        rest, _ = self.process.communicate(timeout=timeout)
        self.errors.seek(0)
        run = Run(self.process.returncode, "".join(self.lines) + rest, self.errors.read(), self.out)
        self.errors.close()
        return run

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()


class RpcServer:
    """ggml's RPC server on loopback: a device with memory of its own, without a GPU."""

    def __init__(self, threads=1):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.address = f"127.0.0.1:{port}"
        self.process = subprocess.Popen(
            [RPC / "ggml-rpc-server", "-p", str(port), "-d", "CPU", "-t", str(threads)],
            env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise AssertionError("ggml-rpc-server does not listen")

    def stop(self):
        self.process.kill()
        self.process.wait()


class StreamTest(unittest.TestCase):
    """Models and runs in a folder of their own."""

    @classmethod
    def setUpClass(cls):
        if not PLUGIN.exists():
            raise AssertionError(f"{PLUGIN} is not built")
        cls.kept = os.environ.get("GANTRY_STREAM_MODELS")
        cls.dir = pathlib.Path(tempfile.mkdtemp(prefix="gs"))
        cls.models = pathlib.Path(cls.kept) if cls.kept else cls.dir
        cls.making = threading.Lock()
        cls.counter = 0
        cls.references = {}

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.dir, ignore_errors=True)

    @classmethod
    def model(cls, shape, quant="Q8_0", *more):
        """A model with random weights: more are further flags of `gantry synth`."""
        if os.path.exists(shape):
            return pathlib.Path(shape)
        size = more if "--layers" in more else SHAPE + more
        path = cls.models / ("-".join((shape, quant, *size)).replace("--", "") + ".gguf")
        with cls.making:
            if not path.exists():
                command = [BIN / "gantry", "synth", shape, *size, "--quant", quant, "-o", path]
                done = subprocess.run(command, capture_output=True, text=True, timeout=120)
                if done.returncode != 0:
                    raise AssertionError(f"{' '.join(map(str, command))}: {done.stderr}")
        return path

    @classmethod
    def new_path(cls, ending=""):
        with cls.making:
            cls.counter += 1
            return cls.dir / f"run{cls.counter}{ending}"

    @classmethod
    def command(cls, models, flags, script, out):
        words = [BIN / "logits"]
        for model in models if isinstance(models, (list, tuple)) else [models]:
            words += ["--model", model]
        for key, value in flags.items():
            words += ["--" + key.replace("_", "-"), value]
        if out:
            words += ["--out", out]
        return [str(word) for word in words + script.split()]

    @classmethod
    def run_logits(cls, models, script, plugin=None, env=None, timeout=300, **flags):
        """To the end. With a plugin the model is on Gantry0 unless the flags say otherwise."""
        if plugin is not None:
            flags = {"ngl": 99, "device": "Gantry0"} | flags
        flags = {key: value for key, value in flags.items() if value is not None}
        out = cls.new_path()
        done = subprocess.run(cls.command(models, flags, script, out), capture_output=True,
                              text=True, errors="replace", timeout=timeout,
                              stdin=subprocess.DEVNULL, env=environment(plugin) | (env or {}))
        return Run(done.returncode, done.stdout, done.stderr, out)

    def live(self, models, script, plugin=None, env=None, before=None, **flags):
        """As run_logits, but it stops at each `wait`."""
        if plugin is not None:
            flags = {"ngl": 99, "device": "Gantry0"} | flags
        out = self.new_path()
        run = Live(self.command(models, flags, script, out), environment(plugin) | (env or {}),
                   out, before)
        self.addCleanup(run.kill)
        return run

    def reference(self, models, script, **flags):
        """The same on the CPU, without the plugin; run once for all that compare with it."""
        key = (str(models), script, json.dumps(flags, sort_keys=True, default=str))
        with self.making:
            future = self.references.get(key)
            mine = future is None
            if mine:
                future = self.references[key] = concurrent.futures.Future()
        if mine:
            try:
                run = self.run_logits(models, script, **flags)
                self.assert_ran(run, "without the plugin")
                future.set_result((run, run.rows()))
            except BaseException as error:  # whoever waits for it must hear of it
                future.set_exception(error)
        return future.result()

    def assert_ran(self, run, what):
        if run.status != 0 or any(run.statuses()) or not run.loaded():
            self.fail(f"{what}: exit {run.status}, actions {run.statuses()}\n{run.stderr[-3000:]}")

    def assert_same(self, wanted, wanted_rows, run, what):
        """Bit by bit: the rows of every context, and tensors watched on the way."""
        width = wanted.actions()[0]["width"]
        rows = run.rows()
        self.assertEqual(len(wanted_rows), len(rows), what)
        for context, (a, b) in enumerate(zip(wanted_rows, rows)):
            self.assertTrue(a, f"{what}: no rows")
            told = difference(a, b, width)
            self.assertIsNone(told, f"{what}: context {context}: {told}")
        self.assertEqual(wanted.checksums(), run.checksums(), what)

    def assert_streamed(self, run, what, experts=False, resident=None, whole=False):
        """Every layer that is not resident was moved at least once, by the plugin's own account."""
        facts = run.statistics()
        self.assertIsNotNone(facts, f"{what}: no plugin was there\n{run.stderr[-2000:]}")
        layers = facts["layers"]
        streamed = [row for row in facts["per_layer"] if row["streamed_bytes"] > 0]
        self.assertEqual(facts["errors"], 0, what)
        if resident is not None:
            inside = [row for row in streamed if row["layer"] < layers]
            self.assertEqual(len(inside), layers - min(resident, layers), f"{what}: {facts}")
            # Experts of all layers share one cache, so that every layer streams.
            count = layers if experts else len(inside)
            self.assertEqual(facts["layers_streamed"], count, what)
        if whole:
            self.assertEqual(streamed, [], what)
            return
        self.assertTrue(streamed or experts, f"{what}: nothing streams: {facts}")
        for row in streamed:
            self.assertGreaterEqual(row["loaded_bytes"], row["streamed_bytes"], f"{what}: {row}")
        if experts:  # of these only what a batch uses is moved
            self.assertGreater(facts["expert_misses"], 0, what)
            self.assertGreaterEqual(facts["expert_used_bytes"], facts["expert_bytes"], what)
            for row in facts["per_layer"][:layers]:
                self.assertGreater(row["loaded_bytes"], 0, f"{what}: {row}")

    def check(self, cases):
        """Runs cases side by side; each is a dict for check_case. All failures are told."""
        failed = []
        with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
            futures = [pool.submit(self.check_case, **case) for case in cases]
            for future in futures:
                error = future.exception()
                if isinstance(error, AssertionError):
                    failed.append(str(error))
                elif error is not None:
                    raise error
        if failed:
            self.fail(f"{len(failed)} of {len(cases)} cases:\n" + "\n".join(failed))

    def check_case(self, model, plugin, script="prompt=33 decode=3", shared=None, only=None,
                   **expected):
        """Identical, and streamed. shared: flags of both runs; only: of the one with the plugin."""
        path = self.model(*model) if isinstance(model, tuple) else model
        shared = shared or {}
        what = f"{path.name if hasattr(path, 'name') else path} {plugin} {shared} {only} {script}"
        wanted, rows = self.reference(path, script, **shared)
        run = self.run_logits(path, script, plugin=plugin, **(shared | (only or {})))
        self.assert_ran(run, what)
        self.assert_same(wanted, rows, run, what)
        self.assert_streamed(run, what, **expected)
        for part in run.out.parent.glob(run.out.name + ".*"):
            part.unlink()


@functools.cache
def tensors(path):
    """{name: (offset in the file, bytes)} of a GGUF."""
    with open(path, "rb") as file:
        data = file.read(64 << 20)
    return read_tensors(data, os.path.getsize(path))


SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}


class Reader:
    """Little-endian numbers and strings of a GGUF's head."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def number(self, size):
        self.at += size
        return int.from_bytes(self.data[self.at - size:self.at], "little")

    def text(self):
        size = self.number(8)
        self.at += size
        return self.data[self.at - size:self.at].decode(errors="replace")

    def value(self, kind):
        if kind == 8:
            return self.text()
        if kind != 9:
            return self.number(SIZES[kind])
        kind, count = self.number(4), self.number(8)
        if kind != 8:
            self.at += SIZES[kind] * count
            return None
        for _ in range(count):
            self.text()
        return None


def read_tensors(data, file_size):
    reader = Reader(data)
    reader.at = 8
    count, pairs = reader.number(8), reader.number(8)
    alignment = 32
    for _ in range(pairs):
        key = reader.text()
        value = reader.value(reader.number(4))
        alignment = value if key == "general.alignment" else alignment
    found = []
    for _ in range(count):
        name = reader.text()
        for _ in range(reader.number(4)):
            reader.number(8)
        reader.number(4)
        found.append((reader.number(8), name))
    start = (reader.at + alignment - 1) // alignment * alignment
    found.sort()
    ends = [offset for offset, _ in found[1:]] + [file_size - start]
    return {name: (start + offset, end - offset) for (offset, name), end in zip(found, ends)}


def flipped(path, name, target, at=None, bit=0x40):
    """A copy of a model in which one byte of one weight differs."""
    offset, size = tensors(path)[name]
    shutil.copyfile(path, target)
    with open(target, "r+b") as file:
        file.seek(offset + (size // 2 + 7 if at is None else at))
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ bit]))
    return target


def split_in_two(path, folder):
    """The same model as llama.cpp's two-part files; the first part's path."""
    data = pathlib.Path(path).read_bytes()
    reader = Reader(data)
    reader.at = 8
    count, pairs = reader.number(8), reader.number(8)
    start = reader.at
    for _ in range(pairs):
        reader.text()
        reader.value(reader.number(4))
    metadata = data[start:reader.at]
    infos = []  # (name, the bytes between name and offset)
    for _ in range(count):
        name = reader.text()
        begin = reader.at
        for _ in range(reader.number(4)):
            reader.number(8)
        reader.number(4)
        infos.append((name, data[begin:reader.at]))
        reader.number(8)
    places, parts = tensors(path), []
    for number, names in enumerate((infos[:count // 2], infos[count // 2:])):
        keys = b""
        for key, kind, value in (("split.no", 2, struct.pack("<H", number)),
                                 ("split.count", 2, struct.pack("<H", 2)),
                                 ("split.tensors.count", 5, struct.pack("<i", count))):
            keys += struct.pack("<Q", len(key)) + key.encode() + struct.pack("<I", kind) + value
        head = data[:8] + struct.pack("<QQ", len(names), 3 + (pairs if number == 0 else 0))
        head += keys + (metadata if number == 0 else b"")
        body = b""
        for name, info in names:
            offset, size = places[name]
            head += struct.pack("<Q", len(name)) + name.encode() + info
            head += struct.pack("<Q", len(body))
            body += data[offset:offset + size]
            body += bytes(-len(body) % 32)
        parts.append(folder / f"part-{number + 1:05}-of-00002.gguf")
        parts[-1].write_bytes(head + bytes(-len(head) % 32) + body)
    return parts[0]


def number_with_unit(text):
    """The last byte count in a message, such as 12.5 MiB, in bytes rounded up; None: none."""
    units = {"B": 1, "bytes": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
    found = re.findall(r"([0-9]+(?:\.[0-9]+)?) ?(B|bytes|KiB|MiB|GiB)\b", text)
    if not found:
        return None
    number, unit = found[-1]
    return int((float(number) + (0.06 if "." in number else 0)) * units[unit])
