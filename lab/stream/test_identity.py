"""The streamer's output is that of the unstreamed model, bit by bit, whatever streams and how.

Every case also asserts, by the plugin's own statistics, that each layer that is not resident was
moved; and the last class shows that these tests can fail.
"""

import itertools
import os
import shutil
import subprocess
import tempfile
import unittest

import streams
from streams import FULL, ROOT, StreamTest

# Shapes of `gantry synth`; experts: only what a batch uses is moved.
ARCHITECTURES = ("llama", "qwen2", "qwen3", "gemma", "gemma2", "phi", "phi2", "granite", "mamba",
                 "mamba2", "jamba", "granitehybrid", "lfm2")
EXPERT_ARCHITECTURES = ("qwen3moe", "mixtral")
ENCODERS = ("bert",)
QUANTS = ("F16", "BF16", "Q8_0", "Q4_0", "Q4_K", "Q6_K", "IQ4_XS")
MORE_QUANTS = ("F32", "Q5_K_M", "Q4_K_M", "Q5_0", "IQ4_NL", "MXFP4", "NVFP4", "Q3_K", "Q2_K")
PRESETS = ("auto", "whole", "light", "moderate", "balanced", "aggressive", "extreme")
PLACEMENTS = ("tail", "interleave")
LAYERS = streams.LAYERS_OF_SHAPE

BATCHES = "prompt=512 decode=2 clear prompt=8 decode=2 clear prompt=1 decode=2"
FULL_SETUPS = [{"RESIDENT": k, "PLACEMENT": p} for k in range(LAYERS) for p in PLACEMENTS]


def streamed(resident=0, **more):
    """Settings of the plugin that keep so many layers on the device."""
    return {"RESIDENT": resident, **more}


class Architectures(StreamTest):
    """At least ten of them; those of the table must all be there."""

    def test_dense(self):
        self.check([dict(model=(name,), plugin=streamed(k), resident=k)
                    for name in ARCHITECTURES for k in ((0, 2) if not FULL else range(LAYERS))])

    def test_experts(self):
        self.check([dict(model=(name,), plugin=plugin, resident=k, experts=True)
                    for name in EXPERT_ARCHITECTURES for k in (0, 2)
                    for plugin in (streamed(k), streamed(k, EXPERTS="4MiB"))])

    def test_encoders(self):
        shared = {"embeddings": 1}
        self.check([dict(model=(name,), plugin=streamed(k), script=f"prompt={n}", shared=shared,
                         resident=k)
                    for name in ENCODERS for k in (0, 3) for n in (1, 8, 512)])

    def test_speech_backbone(self):
        """28 layers as in a speech synthesiser, at three lengths, by the presets made for it."""
        model = ("tts28", "Q8_0", "--layers", "28", "--scale", "0.125", "--vocab", "4096")
        presets = {"light": 20, "moderate": 16, "balanced": 12, "aggressive": 8, "extreme": 4}
        self.check([dict(model=model, plugin={"PRESET": preset}, resident=kept,
                         script=f"prompt=24 decode={length}")
                    for length in (10, 30, 90)
                    for preset, kept in presets.items() if FULL or kept in (20, 12, 4)])

    def test_speech(self):
        """Sound itself: Pocket TTS's and Qwen3-TTS's pipelines in llama.cpp, one, two and four
        speakers, three lengths, by every preset; not a sample differs."""
        presets = {"light": 20, "moderate": 16, "balanced": 12, "aggressive": 8, "extreme": 4}
        cases = []
        for maker, plugins in (
                ("make_speaker.py", [({"PRESET": name}, kept) for name, kept in presets.items()]),
                ("make_talker.py", [(streamed(kept), kept) for kept in (0, 3, 7)])):
            model, sound = self.dir / f"{maker}.gguf", self.dir / f"{maker}-sound.gguf"
            subprocess.run(["/usr/bin/python3", "-B", ROOT / "lab/stream" / maker, model, sound],
                           check=True)
            scripts = [" ".join([f"speak={frames}"] * speakers)
                       for speakers, frames in ((1, 4), (1, 10), (2, 10), (4, 10), (1, 30))]
            cases += [dict(model=model, plugin=plugin, resident=kept, script=script,
                           shared={"embeddings": 1, "projector": sound})
                      for script in scripts for plugin, kept in plugins]
        self.check(cases)

    def test_micro_models(self):
        """Ours are so small that all of their weights stay; nothing may change."""
        embed = dict(model=ROOT / "models" / "micro-embed-en.gguf", plugin=streamed(),
                     script="prompt=40", shared={"embeddings": 1}, whole=True)
        chat = dict(model=ROOT / "models" / "micro-minutes.gguf", plugin=streamed(),
                    script="prompt=40 decode=4", whole=True)
        for case in (embed, chat):
            facts = self.run_logits(case["model"], case["script"], plugin=case["plugin"],
                                    **case.get("shared", {})).statistics()
            case["whole"] = not any(row["streamed_bytes"] for row in facts["per_layer"])
        self.check([embed, chat])

    def test_vision(self):
        """A picture through mtmd: the projector and the text model on the plugin's device."""
        shared = {"projector": ROOT / "models" / "micro-vision-mmproj.gguf"}
        picture = self.picture()
        model = ROOT / "models" / "micro-vision.gguf"
        script = f"image={picture} decode=8"
        wanted, rows = self.reference(model, script, **shared)
        for plugin in (streamed(), streamed(1, RING="2MiB"), {"PRESET": "whole"}):
            run = self.run_logits(model, script, plugin=plugin, **shared)
            self.assert_ran(run, str(plugin))
            self.assert_same(wanted, rows, run, f"vision {plugin}")

    def picture(self):
        """A grey ramp with a few bars, as a PPM without compression."""
        side = 128
        path = self.dir / "picture.ppm"
        pixels = bytearray()
        for y, x in itertools.product(range(side), range(side)):
            bar = 255 if (x // 16) % 3 == 0 and 32 < y < 96 else 0
            pixels += bytes(((x + y) % 256, bar, 255 - y))
        path.write_bytes(b"P6\n%d %d\n255\n" % (side, side) + pixels)
        return path


class Quants(StreamTest):
    def test_types(self):
        self.check([dict(model=("llama", quant), plugin=streamed(k), resident=k)
                    for quant in QUANTS + (MORE_QUANTS if FULL else ("MXFP4", "NVFP4"))
                    for k in (0, 3)])

    def test_experts(self):
        self.check([dict(model=("qwen3moe", quant), plugin=streamed(1), resident=1, experts=True)
                    for quant in (QUANTS if FULL else ("Q4_K", "F16"))])

    def test_tied(self):
        """The embedding is the output matrix too."""
        self.check([dict(model=("llama", quant, "--tied"), plugin=streamed(k), resident=k)
                    for quant in ("Q8_0", "Q4_0") for k in (0, 3)])


class Placements(StreamTest):
    def test_resident_layers(self):
        self.check([dict(model=("llama",), plugin=streamed(k, PLACEMENT=placement), resident=k,
                         whole=k >= LAYERS)
                    for k in range(LAYERS + 1) for placement in PLACEMENTS])

    def test_presets(self):
        self.check([dict(model=("llama", "Q4_0"), plugin={"PRESET": preset, "PLACEMENT": place},
                         whole=preset in ("auto", "whole"))
                    for preset in PRESETS for place in (PLACEMENTS if FULL else ("interleave",))])

    def test_budgets(self):
        """The ledger's own: never more on the device than the budget."""
        model = self.model("llama")
        script = "prompt=33 decode=3"
        whole = self.run_logits(model, script, plugin={"PRESET": "whole"}).statistics()
        wanted, rows = self.reference(model, script)
        for share in (0.3, 0.5, 0.7, 0.9):
            budget = int(whole["kv_compute_bytes"] + share * whole["resident_bytes"])
            run = self.run_logits(model, script, plugin={"DEVICE_BUDGET": budget})
            self.assert_ran(run, f"budget {budget}")
            facts = run.statistics()
            kept = sum(facts[key] for key in ("resident_bytes", "ring_bytes", "expert_cache_bytes",
                                              "kv_compute_bytes"))
            self.assertEqual(facts["budget_bytes"], budget)
            self.assertLessEqual(kept, budget, facts)
            self.assert_same(wanted, rows, run, f"budget {budget}")
            self.assert_streamed(run, f"budget {budget}")

    def test_rings(self):
        """From the smallest, whose size the refusal of a smaller one names, to everything."""
        model = self.model("llama")
        run = self.run_logits(model, "prompt=8", plugin=streamed(RING="4KiB"))
        sizes = ["64MiB", "8MiB", "4MiB"]
        if not run.loaded() or any(run.statuses()):
            least = streams.number_with_unit(run.stderr)
            self.assertIsNotNone(least, run.stderr)
            sizes.append(str((least + 4095) // 4096 * 4096))
        else:
            sizes.append("4KiB")
        self.check([dict(model=("llama",), plugin=streamed(k, RING=ring), resident=k)
                    for ring in sizes for k in (0, 1, LAYERS - 1)])


class Batches(StreamTest):
    def test_sizes(self):
        self.check([dict(model=(name, quant), plugin=streamed(1), script=BATCHES, resident=1,
                         experts=name in EXPERT_ARCHITECTURES)
                    for name, quant in (("llama", "Q8_0"), ("llama", "Q4_K"), ("qwen3moe", "Q8_0"))
                    ])

    def test_flash_attention_and_threads(self):
        self.check([dict(model=("llama",), plugin=streamed(1), script="prompt=65 decode=3",
                         shared=shared, resident=1)
                    for shared in ({"flash": 1}, {"threads": 2}, {"ubatch": 16},
                                   {"flash": 1, "kv_type": "q8_0"})])

    def test_sequences(self):
        """Several in one batch."""
        shared = {"sequences": 4, "context": 1024, "rows": 2}
        self.check([dict(model=(name,), plugin=streamed(1), script="prompt=17 decode=4",
                         shared=shared, resident=1, experts=name == "qwen3moe")
                    for name in ("llama", "qwen3moe", "mamba")])

    def test_contexts(self):
        """Two, and three, at once, over one copy of the weights."""
        self.check([dict(model=("llama",), plugin=streamed(k), script="prompt=40 decode=6",
                         shared={"contexts": n, "context": 512}, resident=k)
                    for k in (0, 2) for n in (2, 3)])

    def test_contexts_come_and_go(self):
        """While others compute over the same weights."""
        script = "prompt=20 decode=2 context " * 4 + "prompt=9 decode=2"
        self.check([dict(model=(name,), plugin=streamed(1), script=script, resident=1,
                         shared={"contexts": 3, "context": 256}, experts=name == "qwen3moe")
                    for name in ("llama", "qwen3moe")])

    def test_models(self):
        """Several at once in one process, each with its own ring."""
        models = [self.model("llama"), self.model("qwen3moe"), self.model("llama", "Q4_K")]
        script = "prompt=40 decode=6"
        wanted, rows = self.reference(models, script, context=512)
        run = self.run_logits(models, script, plugin=streamed(1), context=512)
        self.assert_ran(run, "three models")
        self.assert_same(wanted, rows, run, "three models")


class Ways(StreamTest):
    """How bytes come in, and where graphs are cut."""

    def test_load_modes(self):
        self.check([dict(model=(name,), plugin=streamed(2), only={"load": load}, resident=2,
                         experts=name == "qwen3moe")
                    for load in ("mmap", "none", "dio") for name in ("llama", "qwen3moe")])

    def test_io(self):
        self.check([dict(model=(name,), plugin=streamed(1, IO=io), resident=1,
                         experts=name == "qwen3moe")
                    for io in ("auto", "uring", "threads") for name in ("llama", "qwen3moe")])

    def test_mid_layer(self):
        """Callbacks and splits in the middle of layers; watched tensors are compared too."""
        cases = [dict(model=(name,), plugin=streamed(2), shared={"callback": part}, resident=2,
                      experts=name == "qwen3moe")
                 for name in ("llama", "qwen3moe") for part in ("ffn_", "norm", "Qcur", "l_out")]
        cases += [dict(model=("llama",), plugin=streamed(2), only={"override": pattern})
                  for pattern in ("blk\\.[24]\\.ffn_up", "blk\\.1\\.attn_q")]
        self.check(cases)

    def test_some_layers_on_the_cpu(self):
        self.check([dict(model=("llama",), plugin=streamed(1), only={"ngl": n}) for n in (3, 5)])

    def test_files(self):
        """In two parts, under odd names, by a link, and where direct reads may not work."""
        model = self.model("llama")
        script = "prompt=33 decode=3"
        wanted, rows = self.reference(model, script)
        paths = [streams.split_in_two(model, self.dir)]
        for name in ("a b (deleted).gguf", "grün\t.gguf", "two\nlines.gguf", "100% %s.gguf"):
            paths.append(self.dir / name)
            shutil.copyfile(model, paths[-1])
        paths.append(self.dir / "link.gguf")
        paths[-1].symlink_to(paths[1].name)
        if os.access("/dev/shm", os.W_OK):
            memory = tempfile.NamedTemporaryFile(dir="/dev/shm", suffix=".gguf")
            self.addCleanup(memory.close)
            shutil.copyfile(model, memory.name)
            paths.append(memory.name)
        for path in paths:
            for load in ("mmap", "dio"):
                what = f"{str(path)!r} by {load}"
                run = self.run_logits(path, script, streamed(1), load=load)
                self.assert_ran(run, what)
                self.assert_same(wanted, rows, run, what)
                self.assert_streamed(run, what, resident=1)

    def test_settings_from_a_file(self):
        path = self.dir / "stream.conf"
        path.write_text("# kept small\nresident = 2\nplacement = tail\nio = threads\n")
        self.check([dict(model=("llama",), plugin={"CONFIG": path}, resident=2)])


@unittest.skipUnless((streams.RPC / "ggml-rpc-server").exists(), "ggml's RPC backend is not built")
class OwnMemory(StreamTest):
    """A device with memory of its own, without a GPU: ggml's RPC backend on loopback."""

    def setUp(self):
        self.server = streams.RpcServer()
        self.only = {"rpc": self.server.address, "rpc_library": streams.RPC / "libggml-rpc.so"}

    def tearDown(self):
        self.server.stop()

    def case(self, model, resident, **more):
        settings = more.pop("settings", {})
        return dict(model=model, plugin=streamed(resident, INNER="RPC0", **settings),
                    only=self.only, resident=resident, **more)

    def test_identity(self):
        self.check([self.case(("llama", quant), k) for quant in ("Q8_0", "Q4_K") for k in (0, 3)]
                   + [self.case(("qwen3moe",), 1, experts=True)])

    def test_host_tier(self):
        self.check([self.case(("llama",), 1, settings={"HOST_BUDGET": size})
                    for size in ("0", "4MiB", "64MiB")])

    def test_hybrid(self):
        """The CPU shares the products of small batches, unless everything is to be exact."""
        script = "prompt=33 decode=6 clear prompt=8 decode=3"
        for name, quant in (("llama", "Q8_0"), ("llama", "Q4_K"), ("llama", "F16"),
                            ("qwen2", "Q8_0"), ("qwen3moe", "Q8_0")):
            path = self.model(name, quant)
            wanted, rows = self.reference(path, script)
            for exact in (0, 1):
                what = f"{name} {quant} EXACT={exact}"
                plugin = streamed(0, INNER="RPC0", HOST_BUDGET="256MiB", EXACT=exact)
                run = self.run_logits(path, script, plugin, **self.only)
                self.assert_ran(run, what)
                self.assert_same(wanted, rows, run, what)
                self.assert_streamed(run, what, resident=0, experts=name == "qwen3moe")
                shared = run.statistics()["cpu_bytes"]
                (self.assertEqual if exact else self.assertGreater)(shared, 0, what)

    def test_cache_in_host_memory(self):
        """Whole layers of the KV cache rest beside the device, and move with their layer."""
        script = "prompt=65 decode=4 clear prompt=8 decode=3"
        names = ("llama", "jamba") if not FULL else ("llama", "gemma", "jamba", "qwen3moe")
        more = [("llama", {"flash": 1, "kv_type": "q8_0"}), ("llama", {"contexts": 2})]
        if FULL:
            more += [("llama", {"flash": 1}), ("llama", {"sequences": 3, "context": 1536})]
        for name, flags in [(name, {}) for name in names] + more:
            path = self.model(name)
            flags = {"context": 1024} | flags
            wanted, rows = self.reference(path, script, **flags)
            kept = {}
            for plugin in (streamed(2, KV="device"), streamed(0, KV="host"),
                           streamed(2, KV="host"), streamed(2, KV="host", HOST_BUDGET="256MiB"),
                           streamed(2, KV="host", EXACT=1, RING="4MiB")):
                what = f"{name} {flags} {plugin}"
                run = self.run_logits(path, script, plugin | {"INNER": "RPC0"},
                                      **(flags | self.only))
                self.assert_ran(run, what)
                self.assert_same(wanted, rows, run, what)
                kept[plugin["KV"]] = run.statistics()["kv_compute_bytes"]
            self.assertLess(kept["host"], kept["device"], f"{name} {flags}")

    def test_contexts(self):
        self.check([self.case(("llama",), 1, shared={"contexts": 2, "context": 512},
                              settings={"HOST_BUDGET": size}) for size in ("0", "64MiB")])


@unittest.skipUnless(FULL, "the whole matrix: GANTRY_TEST_FULL=1")
class Matrix(StreamTest):
    def test_all(self):
        names = [(name, False) for name in ARCHITECTURES]
        names += [(name, True) for name in EXPERT_ARCHITECTURES]
        for (name, experts), quant in itertools.product(names, QUANTS):
            self.check([dict(model=(name, quant), plugin=setup, script=script,
                             resident=setup["RESIDENT"], experts=experts)
                        for setup in FULL_SETUPS
                        for script in ("prompt=1 decode=2", "prompt=8 decode=2", BATCHES)])
            for path in self.models.glob(f"{name}-{quant}-*.gguf"):
                if not self.kept:
                    path.unlink()

    def test_ways(self):
        choices = itertools.product(("llama", "qwen3moe", "mamba"), ("uring", "threads"),
                                    ("mmap", "none", "dio"), PLACEMENTS, (0, 1, 4),
                                    ("2MiB", "4MiB", "256MiB"), (1, 2))
        self.check([dict(model=(name,), plugin=streamed(k, IO=io, PLACEMENT=place, RING=ring),
                         only={"load": load}, shared={"contexts": contexts, "context": 512},
                         resident=k, experts=name == "qwen3moe")
                    for name, io, load, place, k, ring, contexts in choices])


class AbleToFail(StreamTest):
    """One byte of one streamed weight, in a copy of the file, changes what comes out."""

    def test_flipped_byte(self):
        path = self.model("llama")
        script = "prompt=33 decode=3"
        _, rows = self.reference(path, script)
        names = [f"blk.{layer}.{part}.weight" for layer in (0, LAYERS - 1)
                 for part in ("attn_q", "attn_output", "ffn_up", "ffn_down")]
        for name in names:
            copy = streams.flipped(path, name, self.new_path(".gguf"))
            run = self.run_logits(copy, script, plugin=streamed())
            self.assert_ran(run, name)
            self.assertTrue(rows != run.rows(), f"a flipped bit of {name} changed nothing")
            wanted, flipped_rows = self.reference(copy, script)
            self.assert_same(wanted, flipped_rows, run, f"flipped {name}")
            copy.unlink()

    def test_difference_is_told(self):
        one = streams.array.array("f", [1, 2, 3, 4]).tobytes()
        two = streams.array.array("f", [1, 2, 3, 4.5]).tobytes()
        self.assertIsNone(streams.difference(one, one, 2))
        told = streams.difference(one, two, 2)
        self.assertIn("row 1 is the first of 1 rows of 2", told)
        self.assertIn("0.5", told)

    def test_unstreamed_is_seen(self):
        """A model that fits whole does not pass for a streamed one."""
        run = self.run_logits(self.model("llama"), "prompt=8", plugin={"PRESET": "whole"})
        with self.assertRaises(AssertionError):
            self.assert_streamed(run, "whole")


if __name__ == "__main__":
    unittest.main()
