#!/usr/bin/python3 -B
"""What the benches compute, without measuring anything: units, intervals, summaries, padding."""

import importlib.machinery
import importlib.util
import pathlib
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import lookup  # noqa: E402
import machine  # noqa: E402
import padded  # noqa: E402


def script(name):
    loader = importlib.machinery.SourceFileLoader(name, str(HERE / name))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(name, loader))
    loader.exec_module(module)
    return module


class MachineTest(unittest.TestCase):
    def test_sizes(self):
        for text, size in [("512MiB", 512 << 20), ("1.5GiB", 3 << 29), ("6GB", 6 * 10 ** 9),
                           ("64kib", 65536), ("4096", 4096)]:
            self.assertEqual(machine.parse_size(text), size, text)
        with self.assertRaises(ValueError):
            machine.parse_size("much")

    def test_interval_of_few_values_is_their_range(self):
        got = machine.interval([3, 1, 2, 5, 4])
        self.assertEqual((got["median"], got["low"], got["high"], got["coverage"]),
                         (3, 1, 5, 0.9375))

    def test_interval_of_nine_leaves_one_out_at_each_end(self):
        got = machine.interval(range(1, 10))
        self.assertEqual((got["median"], got["low"], got["high"], got["coverage"]),
                         (5, 2, 8, 0.9609))

    def test_direct_bandwidth_reads_and_drop_cache_drops(self):
        with tempfile.NamedTemporaryFile(dir=HERE) as file:
            file.write(bytes(9 << 20))
            file.flush()
            try:
                self.assertGreater(machine.direct_bandwidth(file.name), 0)
            except OSError:
                self.skipTest("this file system has no direct reads")
            self.assertTrue(machine.drop_cache(file.name))
            self.assertEqual(machine.cached_bytes(file.name), 0)


def fake_run(name, number, speed, read, error=None, layers=None):
    out = {"contender": name, "round": number, "bandwidth": [{"x": 90.0}, {"x": 110.0}],
           "error": error}
    if not error:
        out["decode"] = {"tokens": 4, "tokens_per_second": speed, "read_bytes": 4 * read}
        out["done"] = {"statistics": {"per_layer": layers, "resident_bytes": 30}
                       if layers else None}
    return out


class DiskTest(unittest.TestCase):
    def test_summary_is_by_pairs_of_a_round(self):
        disk = script("disk")
        layers = [{"streamed_bytes": 20}, {"streamed_bytes": 30}]
        runs = []
        for number, drift in enumerate((1, 2, 4)):  # the machine gets faster
            runs.append(fake_run("llama.cpp mmap", number, 1.0 * drift, 100))
            runs.append(fake_run("gantry stream", number, 1.5 * drift, 50, layers=layers))
        runs.append(fake_run("Accelerate disk offload", 0, 0, 0, error="killed"))
        got = disk.summary(runs, weight_bytes=100, limit_bytes=40)
        ratio = got["llama.cpp mmap"]["stream_is_faster_by"]
        self.assertEqual((ratio["low"], ratio["median"], ratio["high"]), (1.5, 1.5, 1.5))
        ours = got["gantry stream"]
        self.assertAlmostEqual(ours["bound_tokens_per_second"]["median"], 2)  # 100 B/s, 50 B
        self.assertAlmostEqual(ours["share_of_bound"]["median"], 1.5)  # of the middle round
        self.assertAlmostEqual(got["llama.cpp mmap"]["share_of_bandwidth"]["median"], 2)
        self.assertEqual(got["Accelerate disk offload"], {"error": "killed"})


class LookupTest(unittest.TestCase):
    def test_loops_are_three_equal_lines_in_a_row(self):
        self.assertTrue(lookup.loops("a\nb\nb\nb\nc"))
        self.assertFalse(lookup.loops("a\nb\na\nb\nb"))

    def test_questions_are_always_the_same(self):
        self.assertEqual(lookup.questions(3), lookup.questions(5)[:3])


class PaddedTest(unittest.TestCase):
    def test_what_is_added_ends_in_zeros_and_the_rest_is_there(self):
        source = HERE.parent / "models" / "micro-minutes.gguf"
        if not source.exists():
            self.skipTest("the micro model is not there")
        with tempfile.TemporaryDirectory() as folder:
            target = pathlib.Path(folder) / "heavy.gguf"
            padded.pad(source, target, layers=1, width=320)
            old, new = padded.Reader(source.read_bytes()), padded.Reader(target.read_bytes())
            by_name = {tensor[0]: tensor for tensor in new.tensors}
            for tensor in old.tensors:
                was, now = old.bytes_of(tensor), new.bytes_of(by_name[tensor[0]])
                if tensor[0].endswith(("ffn_gate.weight", "ffn_up.weight")):
                    self.assertEqual(now[:len(was)], was, tensor[0])
                elif tensor[0].endswith("ffn_down.weight"):
                    row, wide = 2 * tensor[1][0], 2 * 320
                    self.assertEqual(now[:row], was[:row], tensor[0])
                    self.assertEqual(now[row:wide], bytes(wide - row), tensor[0])
                    self.assertEqual(now[wide:wide + row], was[row:2 * row], tensor[0])
                else:
                    self.assertEqual(now, was, tensor[0])
            for part in ("attn_output", "ffn_down"):
                self.assertFalse(any(new.bytes_of(by_name[f"blk.8.{part}.weight"])), part)
            self.assertTrue(any(new.bytes_of(by_name["blk.8.ffn_up.weight"])))


if __name__ == "__main__":
    unittest.main()
