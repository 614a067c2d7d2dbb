"""What goes wrong around the streamer, and what it does then: a typed error, and life goes on."""

import os
import pathlib
import shutil
import statistics
import struct
import unittest

import streams
from streams import FULL, LAYERS_OF_SHAPE, StreamTest

SHORT = "prompt=8 decode=2"
SIGNALLED = "ended by a signal"


def streamed(resident=0, **more):
    return {"RESIDENT": resident, **more}


class FaultTest(StreamTest):
    def copy(self, model):
        target = self.new_path(".gguf")
        shutil.copyfile(model, target)
        return target

    def shimmed(self, **settings):
        self.assertTrue(streams.SHIM.exists(), f"{streams.SHIM} is not built")
        return {"LD_PRELOAD": str(streams.SHIM)} | {f"SHIM_{k}": str(v)
                                                    for k, v in settings.items()}

    def assert_lives(self, run, what=""):
        self.assertEqual(0, run.status, f"{what}: {run.stderr[-3000:]}")

    def assert_told(self, run, *words):
        """One line of ours that names cause (and remedy)."""
        lines = [line for line in run.stderr.splitlines() if "gantry: " in line]
        self.assertTrue(any(all(word in line for word in words) for line in lines),
                        f"no line of gantry says {words}:\n{run.stderr[-3000:]}")


class Files(FaultTest):
    """The model's file changes while it is streamed."""

    def test_truncated(self):
        """The request fails, the process lives, and tells why."""
        for io in ("uring", "threads"):
            model = self.copy(self.model("llama"))
            live = self.live(model, f"{SHORT} wait prompt=8 wait clear prompt=8",
                             streamed(IO=io, RING="2MiB"))
            live.until_waiting()
            os.truncate(model, streams.tensors(model)["blk.1.attn_q.weight"][0])
            live.go_on()
            live.until_waiting()
            live.go_on()
            run = live.finish()
            self.assert_lives(run, io)
            statuses = run.statuses()
            self.assertEqual([0, 0], statuses[:2], io)
            self.assertNotEqual(0, statuses[2], f"{io}: a read past the end went unnoticed")
            self.assertNotEqual(0, statuses[3], f"{io}: nor did the next request")
            self.assertGreater(run.statistics()["errors"], 0, io)
            self.assert_told(run, model.name)
            streams.tensors.cache_clear()

    def test_changed_underneath(self):
        """Bytes of a streamed weight are written over: no answer from mixed weights."""
        for io in ("uring", "threads"):
            model = self.copy(self.model("llama"))
            live = self.live(model, f"{SHORT} wait prompt=8 decode=2", streamed(IO=io, RING="2MiB"))
            live.until_waiting()
            offset, size = streams.tensors(model)["blk.3.ffn_down.weight"]
            with open(model, "r+b") as file:
                file.seek(offset)
                file.write(bytes(size))
            live.go_on()
            run = live.finish()
            self.assert_lives(run, io)
            self.assertTrue(any(run.statuses()[2:]), f"{io}: the change went unnoticed")
            self.assert_told(run, model.name, "written to")

    def test_replaced(self):
        """A new file of the same name is another file: the old one is still ours."""
        model = self.copy(self.model("llama"))
        script = f"{SHORT} wait prompt=8 decode=2"
        wanted, rows = self.reference(self.model("llama"), script.replace(" wait", ""))
        live = self.live(model, script, streamed(RING="2MiB"))
        live.until_waiting()
        other = self.new_path()
        other.write_bytes(b"not a model")
        os.replace(other, model)
        live.go_on()
        run = live.finish()
        self.assert_ran(run, "replaced")
        self.assert_same(wanted, rows, run, "replaced")

    def test_read_error_and_recovery(self):
        """EIO fails the request; once reads work again, so does the model, bit by bit."""
        model = self.model("llama")
        flag = self.new_path()
        script = f"{SHORT} wait prompt=8 wait clear {SHORT}"
        wanted, rows = self.reference(model, f"{SHORT} clear {SHORT}")
        for load in ("mmap", "dio"):
            live = self.live(model, script, streamed(IO="threads", RING="2MiB"), load=load,
                             env=self.shimmed(READ_ERROR=flag))
            live.until_waiting()
            flag.touch()
            live.go_on()
            live.until_waiting()
            flag.unlink()
            live.go_on()
            run = live.finish()
            self.assert_lives(run, load)
            self.assertEqual([True, True, False, True, True], [s == 0 for s in run.statuses()],
                             f"{load}: {run.statuses()}\n{run.stderr[-2000:]}")
            self.assertGreater(run.statistics()["errors"], 0)
            self.assert_told(run, model.name)
            self.assertEqual(rows, run.rows(), load)

    def test_error_spares_the_other_model(self):
        models = [self.model("llama"), self.copy(self.model("llama", "Q4_K"))]
        _, rows = self.reference(models[0], f"{SHORT} prompt=8 decode=2")
        live = self.live(models, f"{SHORT} wait prompt=8 decode=2", streamed(RING="2MiB"))
        live.until_waiting()
        os.truncate(models[1], 1 << 20)
        live.go_on()
        run = live.finish()
        self.assert_lives(run)
        first = [a["status"] for a in run.actions() if a["context"] == 0]
        self.assertEqual([0] * 4, first, run.stderr[-2000:])
        self.assertEqual(rows[0], run.rows()[0])

    def test_without_uring(self):
        """Where io_uring is not permitted, as in most containers, threads read."""
        model = self.model("llama")
        wanted, rows = self.reference(model, SHORT)
        run = self.run_logits(model, SHORT, streamed(), env=self.shimmed(NO_URING=1))
        self.assert_ran(run, "auto")
        self.assert_same(wanted, rows, run, "auto")
        self.assertEqual("threads", run.statistics()["io"])
        run = self.run_logits(model, SHORT, streamed(IO="uring"), env=self.shimmed(NO_URING=1))
        self.assertGreaterEqual(run.status, 0, f"{SIGNALLED}: {run.stderr[-2000:]}")
        self.assert_told(run, "io_uring")

    def test_short_reads(self):
        """A read that brings less than asked is gone on with."""
        model = self.model("llama")
        wanted, rows = self.reference(model, SHORT)
        for most in (4096, 20480):
            run = self.run_logits(model, SHORT, streamed(IO="threads"),
                                  env=self.shimmed(READ_MOST=most))
            self.assert_ran(run, f"reads of {most}")
            self.assert_same(wanted, rows, run, f"reads of {most}")
            self.assert_streamed(run, f"reads of {most}")


class Room(FaultTest):
    """Too little memory of one kind or another."""

    def test_budget_too_small(self):
        """The refusal names the number that would do, and that number does."""
        model = self.model("llama")
        budget = 64 << 10
        for _ in range(3):
            run = self.run_logits(model, SHORT, {"DEVICE_BUDGET": budget})
            if run.status == 0 and not any(run.statuses()):
                break
            self.assertGreaterEqual(run.status, 0, f"{SIGNALLED}: {run.stderr[-3000:]}")
            self.assert_told(run, "budget")
            told = [line for line in run.stderr.splitlines() if "gantry: " in line]
            needed = streams.number_with_unit(told[0])
            self.assertIsNotNone(needed, told)
            self.assertGreater(needed, budget, told)
            budget = needed
        else:
            self.fail(f"what the refusals asked for does not do either: {run.stderr[-2000:]}")
        self.assertGreater(budget, 64 << 10, "64 KiB were enough for ten megabytes")
        self.assertEqual(budget, run.statistics()["budget_bytes"])
        wanted, rows = self.reference(model, SHORT)
        self.assert_same(wanted, rows, run, f"budget {budget}")

    def test_device_memory_runs_out(self):
        """The inner device has less than it says: fewer layers stay, and it says so."""
        model = self.model("llama")
        wanted, rows = self.reference(model, SHORT, context=256)
        run = self.run_logits(model, SHORT, {"PRESET": "light"}, context=256,
                              env=self.shimmed(MEMORY=12 << 20))
        self.assert_ran(run, "12 MiB")
        self.assert_same(wanted, rows, run, "12 MiB")
        facts = run.statistics()
        self.assertLessEqual(facts["resident_bytes"] + facts["ring_bytes"], 12 << 20)
        for room in (8 << 20, 4 << 20, 1 << 20):
            run = self.run_logits(model, SHORT, {"RESIDENT": 5}, context=256,
                                  env=self.shimmed(MEMORY=room))
            self.assertGreaterEqual(run.status, 0, f"{SIGNALLED}: {run.stderr[-3000:]}")
            if run.status == 0 and not any(run.statuses()):
                self.assert_same(wanted, rows, run, f"{room} bytes")
                self.assertGreater(run.statistics()["layers_streamed"], 0)
            else:
                self.assertIn("memory", run.stderr)

    def test_host_memory_pressure(self):
        """A control group with a third of the model's size: it streams, and is not killed."""
        group = ControlGroup("gantry-test")
        if not group.usable():
            self.skipTest("no control group can be made here (needs root and a memory controller)")
        self.addCleanup(group.remove)
        model = self.model("llama", "Q8_0", "--layers", "16", "--embd", "1024")
        script = "prompt=16 decode=3"
        wanted, rows = self.reference(model, script, context=256)
        size = model.stat().st_size
        for limit in (size // 3 + (24 << 20), size // 5 + (24 << 20)):
            group.limit(limit)
            live = self.live(model, script, streamed(1), before=group.enter, context=256)
            run = live.finish(300)
            self.assert_ran(run, f"limit {limit} of {size}")
            self.assert_same(wanted, rows, run, f"limit {limit} of {size}")
            self.assert_streamed(run, f"limit {limit} of {size}")


class ControlGroup:
    """A memory limit for a process: version 1 or 2, where root may make one."""

    def __init__(self, name):
        old = pathlib.Path("/sys/fs/cgroup/memory")
        self.old = old.is_dir()
        self.path = (old if self.old else pathlib.Path("/sys/fs/cgroup")) / f"{name}-{os.getpid()}"

    def usable(self):
        try:
            self.path.mkdir()
            self.limit(1 << 30)
        except OSError:
            self.remove()
            return False
        return True

    def limit(self, size):
        name = "memory.limit_in_bytes" if self.old else "memory.max"
        (self.path / name).write_text(str(size))

    def enter(self):
        (self.path / "cgroup.procs").write_text(str(os.getpid()))

    def remove(self):
        try:
            self.path.rmdir()
        except OSError:
            pass


class Settings(FaultTest):
    """Nonsense is refused by name, nothing crashes."""

    NONSENSE = {
        "PRESET": ("enormous", ""), "PLACEMENT": ("head",), "IO": ("telepathy",),
        "RESIDENT": ("-1", "two", "99999999999999999999"), "RING": ("lots", "-4MiB", "1e99"),
        "DEVICE_BUDGET": ("200%", "a few", "-1"), "HOST_BUDGET": ("x",), "EXPERTS": ("y",),
        "EXACT": ("perhaps",), "SUMMARY": ("2",), "INNER": ("CUDA7", "Gantry0"),
        "STATS": ("/nowhere/at/all",), "TRACE": ("/nowhere/at/all",),
        "CONFIG": ("/nowhere/at/all",),
    }

    def test_variables(self):
        model = self.model("llama")
        for name, values in self.NONSENSE.items():
            for value in values:
                run = self.run_logits(model, SHORT, {name: value})
                what = f"GANTRY_STREAM_{name}={value!r}"
                self.assertGreaterEqual(run.status, 0, f"{what}: {SIGNALLED}\n{run.stderr[-2000:]}")
                if value == "":  # as if it were not set
                    self.assert_ran(run, what)
                    continue
                lines = [line for line in run.stderr.splitlines() if "gantry" in line.lower()]
                self.assertTrue(any(name in line or value in line for line in lines),
                                f"{what} is not complained about:\n{run.stderr[-2000:]}")

    def test_file(self):
        model = self.model("llama")
        path = self.new_path(".conf")
        for text, says in (("preset balanced", "="), ("colour = red", "colour"),
                           ("resident = many", "many"), ("ring = 4MiB\nplacement = up\n", "up"),
                           ("\0\1\2\3", "line 1"), ("a" * (70 << 10), "64 KiB")):
            path.write_text(text)
            run = self.run_logits(model, SHORT, {"CONFIG": path})
            self.assertGreaterEqual(run.status, 0, f"{text[:20]!r}: {run.stderr[-2000:]}")
            lines = [line for line in run.stderr.splitlines() if "gantry" in line.lower()]
            self.assertTrue(any(says in line for line in lines), f"{text[:20]!r}: {run.stderr}")

    def test_another_ggml(self):
        """A plugin for another ggml says so and does not load."""
        run = self.run_logits(self.model("llama"), SHORT, streamed(),
                              env=self.shimmed(GGML_VERSION="0.0.1"))
        self.assertGreater(run.status, 0, f"{run.status}: {run.stderr[-2000:]}")
        self.assertFalse(run.loaded())
        self.assert_told(run, "0.0.1")
        plain = self.run_logits(self.model("llama"), SHORT, env=self.shimmed(GGML_VERSION="0.0.1"))
        self.assert_ran(plain, "the program by itself")


class Adapters(FaultTest):
    """LoRA on a streamed model is LoRA on the unstreamed one."""

    def adapter(self, model, layers, rank=8):
        """A GGUF of small random matrices for a few weights of each layer."""
        width, inner = self.width_of(model)
        parts = {"attn_q": (width, width), "attn_output": (width, width),
                 "ffn_up": (width, inner), "ffn_down": (inner, width)}
        weights, state = [], 1
        for layer in range(layers):
            for part, (columns, rows) in parts.items():
                for name, shape in (("lora_a", (columns, rank)), ("lora_b", (rank, rows))):
                    values = []
                    for _ in range(shape[0] * shape[1]):
                        state = (state * 1103515245 + 12345) % (1 << 31)
                        values.append((state / (1 << 31) - 0.5) * 0.2)
                    weights.append((f"blk.{layer}.{part}.weight.{name}", shape, values))
        path = self.new_path(".gguf")
        path.write_bytes(gguf({"general.architecture": "llama", "general.type": "adapter",
                               "adapter.type": "lora", "adapter.lora.alpha": 16.0}, weights))
        return path

    @staticmethod
    def width_of(model):
        sizes = streams.tensors(model)
        width = sizes["output_norm.weight"][1] // 4
        inner = sizes["blk.0.ffn_up.weight"][1] * 32 // 34 // width
        return width, inner

    def test_identity(self):
        model = self.model("llama")
        adapter = self.adapter(model, LAYERS_OF_SHAPE)
        script = "prompt=33 decode=3"
        _, bare = self.reference(model, script)
        wanted, rows = self.reference(model, script, lora=adapter)
        self.assertNotEqual(bare[0], rows[0], "the adapter does nothing")
        for plugin in (streamed(), streamed(3, PLACEMENT="tail"), {"PRESET": "whole"}):
            run = self.run_logits(model, script, plugin, lora=adapter)
            if run.status == 0 and not any(run.statuses()):
                self.assert_same(wanted, rows, run, f"LoRA, {plugin}")
            else:
                self.assert_told(run, "LoRA")


def gguf(pairs, weights):
    """The bytes of a GGUF: strings and floats as metadata, F32 weights."""
    def text(value):
        return struct.pack("<Q", len(value)) + value.encode()
    head = b"GGUF" + struct.pack("<IQQ", 3, len(weights), len(pairs))
    for key, value in pairs.items():
        kind = struct.pack("<I", 8) + text(value) if isinstance(value, str) else \
            struct.pack("<If", 6, value)
        head += text(key) + kind
    data = b""
    for name, shape, values in weights:
        head += text(name) + struct.pack("<I", len(shape))
        head += b"".join(struct.pack("<Q", size) for size in shape)
        head += struct.pack("<IQ", 0, len(data))
        data += struct.pack(f"<{len(values)}f", *values)
        data += bytes(-len(data) % 32)
    return head + bytes(-len(head) % 32) + data


class Ends(FaultTest):
    """Aborting, unloading, and going on for long."""

    def test_abort_in_mid_token(self):
        model = self.model("llama")
        for polls in (1, 7, 40, 90):
            script = f"{SHORT} clear abort={polls} prompt=64 clear {SHORT}"
            run = self.run_logits(model, script, streamed(1, RING="2MiB"))
            self.assert_lives(run, f"abort after {polls}")
            self.assertEqual([0, 0, 2, 0, 0], run.statuses(), run.stderr[-2000:])
            _, rows = self.reference(model, f"{SHORT} clear {SHORT}")
            self.assertEqual(rows, run.rows(), f"abort after {polls}")

    def test_unload_returns_everything(self):
        """Loaded, used and freed 20 times: memory, descriptors and threads stay."""
        for name, plugin in (("llama", streamed(2)), ("llama", streamed(IO="threads")),
                             ("qwen3moe", streamed(1)), ("llama", {"PRESET": "whole"})):
            run = self.run_logits(self.model(name), SHORT, plugin, loads=20)
            self.assert_lives(run, str(plugin))
            self.assert_flat(run.memory()[2:], 40, f"{name} {plugin}, private memory")
            for key in ("descriptors", "threads"):
                counts = run.memory(key)[1:]
                self.assertEqual(1, len(set(counts)), f"{name} {plugin}, {key}: {counts}")

    def assert_flat(self, kib, most, what):
        """The slope, by the medians of all pairs (Theil and Sen), in KiB a step."""
        slopes = [(b - a) / (j - i) for i, a in enumerate(kib) for j, b in enumerate(kib) if j > i]
        self.assertLess(statistics.median(slopes), most, f"{what} grows: {kib}")

    def test_saturation(self):
        """All processors busy, two contexts, both kinds of models: nothing grows."""
        models = [self.model("llama"), self.model("qwen3moe", "Q4_K")]
        seconds = 600 if FULL else 30
        run = self.run_logits(models, f"seconds={seconds}",
                              streamed(1, RING="2MiB", EXPERTS="4MiB"), contexts=2, context=256,
                              timeout=seconds + 120)
        self.assert_ran(run, "saturation")
        memory = run.memory()
        self.assertGreater(len(memory), 10)
        self.assert_flat(memory[4:], 24, "private memory")
        self.assertEqual(1, len(set(run.memory("descriptors")[2:])))
        self.assertEqual(0, run.statistics()["errors"])


if __name__ == "__main__":
    unittest.main()
