#!/usr/bin/python3 -B
"""What bench/predictions computes, without an engine: rows, the log's buffers, errors, the page."""

import json
import pathlib
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import engine  # noqa: E402
import rows  # noqa: E402
import table  # noqa: E402

MIB = 1 << 20
LOG = """
0.00.290.590 I load_tensors:     Phantom0 model buffer size =    85.30 MiB
0.00.290.592 I load_tensors: Phantom_Host model buffer size =    33.20 MiB
0.00.562.664 I llama_context: Phantom_Host  output buffer size =     0.12 MiB
0.00.562.734 I llama_kv_cache:   Phantom0 KV buffer size =    32.00 MiB
0.00.562.736 I llama_memory_recurrent:   Phantom0 RS buffer size =     1.50 MiB
0.00.562.742 I llama_kv_cache: size =   32.00 MiB (  2048 cells,   4 layers), K (f16):   16.00 MiB
0.00.574.505 I sched_reserve:   Phantom0 compute buffer size =    24.51 MiB
0.00.574.506 I sched_reserve: Phantom_Host compute buffer size =     6.01 MiB
0.00.180.107 I load_hparams: model size:         6.90 MiB
0.00.180.109 I load_hparams: metadata size:      0.03 MiB
"""


def row(name, measured, **predicted):
    return {"id": name, "model": name, "config": "2k", "measured": measured,
            "predicted": {tool.replace("_", " "): got for tool, got in predicted.items()}}


class RowsTest(unittest.TestCase):
    def test_every_row_has_a_name_of_its_own(self):
        card = {"layers": 12, "context_trained": 4096, "vocab": 100, "embd": 8}
        names = [rows.row_of(model, config, ("f", None), card)["id"]
                 for model in [*rows.MODELS, *rows.MICRO]
                 for config in rows.configs_of(model, True)]
        self.assertEqual(len(names), len(set(names)))
        self.assertGreaterEqual(len(rows.MODELS), 12)
        for model in rows.MODELS:
            self.assertGreaterEqual(len(rows.configs_of(model, False)), 4, model.name)

    def test_the_output_is_one_layer_more(self):
        self.assertEqual([rows.gpu_layers(share, 12) for share in (rows.NONE, rows.HALF, rows.ALL)],
                         [0, 7, 13])

    def test_an_encoder_sees_its_input_in_one_batch(self):
        model = next(one for one in rows.MODELS if one.embeddings)
        config = rows.Config("x", 256, 2, 512, "f16", False, 0)
        made = rows.row_of(model, config, ("f", None),
                            {"layers": 4, "context_trained": 512, "vocab": 100, "embd": 8})
        self.assertEqual((made["ubatch"], made["context"]), (256, 512))
        self.assertEqual(made["answers"], 4 * 108 * 254)

    def test_heads_that_are_no_whole_blocks_have_no_quantised_cache(self):
        for model in rows.MODELS:
            if model.f16:
                self.assertEqual({c.cache for c in rows.configs_of(model, True)}, {"f16"})


class EngineTest(unittest.TestCase):
    def test_buffers_by_kind_and_place(self):
        got = engine.buffers(LOG)
        for key, size in [("weights", 85.30 + 33.20 + 6.90), ("kv", 33.5),
                          ("compute", 0.12 + 24.51 + 6.01), ("device", 85.30 + 33.5 + 24.51)]:
            self.assertAlmostEqual(got[key] / MIB, size, places=4, msg=key)
        self.assertEqual(got["ggml"], got["weights"] + got["kv"] + got["compute"])

    def test_a_process_has_a_size(self):
        import os
        whole = engine.process_size(os.getpid(), "/nowhere")
        self.assertGreater(whole, MIB)
        self.assertGreaterEqual(engine.process_size(os.getpid(), "/"), whole)

    def test_the_picture_is_a_png(self):
        import base64
        data = base64.b64decode(engine.picture().split(",")[1])
        self.assertTrue(data.startswith(b"\x89PNG\r\n\x1a\n"))
        self.assertLess(len(data), MIB)


class TableTest(unittest.TestCase):
    ROWS = [row("a", {"ggml": 100 * MIB}, gantry_formula={"ggml": 101 * MIB},
                other={"ggml": 90 * MIB}),
            row("b", {"ggml": 200 * MIB, "process": 300 * MIB},
                gantry_formula={"ggml": 210 * MIB, "process": 303 * MIB},
                other={"ggml": 202 * MIB, "process": 150 * MIB}),
            row("c", {"error": "refused"}, gantry_formula={"ggml": 1}, other={"ggml": 1}),
            row("d", {"ggml": 100 * MIB}, gantry_formula={"error": "no flag"},
                other={"ggml": 101 * MIB})]

    def result(self):
        out = {"date": "2026-01-01", "rows": self.ROWS, "not_measured": {"gone": "no network"},
               "machine": {"cores": 2, "cpu": "x", "memory_bytes": 1 << 34},
               "tools": {name: {"version": "1", "claims_process": True}
                         for name in ("gantry formula", "other")}}
        return {**out, "summary": table.summary(out)}

    def test_errors_and_who_is_nearest(self):
        got = self.result()["summary"]
        self.assertEqual(got["gantry formula"]["ggml"],
                         {"rows": 2, "median_percent": 3.0, "worst_percent": 5.0,
                          "worst_row": "b", "nearest": 1})
        self.assertEqual(got["other"]["ggml"]["nearest"], 2)
        self.assertEqual(got["gantry formula"]["process"]["median_percent"], 1.0)
        self.assertNotIn("device", got["other"])

    def test_ours_is_best(self):
        a, b, c, d = self.ROWS
        self.assertTrue(table.ours_is_best(a, "ggml"))
        self.assertFalse(table.ours_is_best(b, "ggml"))
        self.assertTrue(table.ours_is_best(b, "process"))
        self.assertIsNone(table.ours_is_best(c, "ggml"))
        self.assertIsNone(table.ours_is_best(d, "ggml"))

    def test_why_ours_is_not_best(self):
        self.assertEqual(table.why_not(self.ROWS[1], "ggml"),
                         "b: other is off by 2.0 MiB, gantry formula by 10.0")
        one = row("e", {"weights": 50 * MIB, "kv": 10 * MIB, "ggml": 60 * MIB},
                  gantry_formula={"weights": 50 * MIB, "kv": 13 * MIB, "ggml": 63 * MIB},
                  other={"ggml": 60 * MIB})
        self.assertEqual(table.why_not(one, "ggml"), "e: other is off by 0.0 MiB, gantry formula "
                                                     "by 3.0 (kv +3.0 MiB)")

    def test_the_page_keeps_its_words_and_the_json_its_rows(self):
        result = self.result()
        text = table.figures(result)
        self.assertIn("| b | 2k | 200.0 * | +5.0 % | +1.0 % |", text)
        self.assertIn("| gone | not measured: no network |", text)
        self.assertEqual(json.loads(table.as_json(result)), result)
        with tempfile.TemporaryDirectory() as folder:
            page = pathlib.Path(folder) / "README.md"
            page.write_text(f"before\n{table.BEGIN}\nold\n{table.END}\nafter\n")
            table.write_page(page, text)
            self.assertEqual(page.read_text(), f"before\n{table.BEGIN}{text}{table.END}\nafter\n")


class PinsTest(unittest.TestCase):
    def test_the_lock_names_no_address(self):
        lock = json.loads((HERE / "node" / "package-lock.json").read_text())
        wanted = json.loads((HERE / "node" / "package.json").read_text())["dependencies"]
        for name, version in wanted.items():
            self.assertEqual(lock["packages"][f"node_modules/{name}"]["version"], version)
        for name, package in lock["packages"].items():
            self.assertNotIn("resolved", package)
            self.assertTrue(name == "" or package["integrity"].startswith("sha512-"), name)


if __name__ == "__main__":
    unittest.main()
