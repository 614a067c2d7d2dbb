"""`gantry convert DIR`: the real packages, a BERT of ours, and the NPU worker that serves it."""

import base64
import concurrent.futures
import json
import math
import os
import pathlib
import signal
import subprocess
import unittest

from household import ROOT, wait_until
from test_npu import Worker

CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
CACHE = CACHE / "gantry" / "convert"  # fetched once, not for every run of this test
TEXTS = ["open the door", "close the window and bring the light", "noon"]
ORIGINAL = """
import json, sys, numpy, onnxruntime, transformers
folder, texts = sys.argv[1], json.loads(sys.argv[2])
session = onnxruntime.InferenceSession(folder + "/onnx/model.onnx")
cut = transformers.AutoTokenizer.from_pretrained(folder)
out = []
for text in texts:
    rows = cut([text], return_tensors="np")
    feeds = {name: rows[name].astype("int64") for name in ("input_ids", "attention_mask")}
    mean = session.run(None, feeds)[0][0].mean(axis=0)
    out.append((mean / numpy.linalg.norm(mean)).tolist())
print(json.dumps(out))
"""


class Convert(Worker):
    def convert(self, *args, check=0):
        done = self.gantry("convert", "--cache-dir", CACHE, *args, timeout=900)
        self.assertEqual(done.returncode, check, done.stdout + done.stderr)
        return done

    def python(self, *args):
        """A program in the conversions' environment."""
        newest = max(CACHE.glob("python-*/.complete"), key=lambda path: path.stat().st_mtime)
        return subprocess.run([newest.parent / "bin" / "python", *map(str, args)], check=True,
                              capture_output=True, text=True, timeout=300).stdout

    def environment(self):
        broken = self.dir / "broken.onnx"
        broken.write_bytes(b"\x08\x08 this is no model" * 100)
        self.assertIn("broken.onnx cannot be read", self.convert(broken, check=1).stderr)
        self.assertEqual(sorted(self.dir.glob(".broken*")), [])

    def model(self):
        self.environment()
        self.python(ROOT / "lab/process/make_onnx_bert.py", self.dir / "bert")
        return self.dir / "bert"

    def pictures(self):
        """Waves and edges in several shapes, and what Pillow makes of them for each model."""
        from PIL import Image
        for name in ("pictures", "classify.rgb", "embed.rgb"):
            (self.dir / name).mkdir()
        for i, size in enumerate([(32, 32), (64, 48), (37, 90), (200, 150), (40, 40), (120, 33),
                                  (31, 31), (300, 200), (90, 91), (64, 64)]):
            width, height = size
            picture = Image.new("RGB", size)
            picture.putdata([tuple(
                (200, 30, 90)[c] if x < width / 2 and y < height / 3 else
                int(127 + 120 * math.sin(x / (3 + c + i) + y / (5 + 2 * c) + i))
                for c in range(3)) for y in range(height) for x in range(width)])
            if i == 3:
                picture = picture.convert("L")
            if i == 4:
                picture.putalpha(128)
            name = f"{i}.jpg" if i == 9 else f"{i}.png"
            picture.save(self.dir / "pictures" / name,
                         **({"quality": 100, "subsampling": 0} if i == 9 else {}))
            picture = Image.open(self.dir / "pictures" / name).convert("RGB")
            whole = picture.resize((32, 32), Image.BILINEAR)
            (self.dir / "classify.rgb" / name).write_bytes(whole.tobytes())
            longer = int(40 * max(size) / min(size))
            scaled = picture.resize((40, longer) if width <= height else (longer, 40),
                                    Image.BICUBIC)
            left, top = (scaled.size[0] - 32) // 2, (scaled.size[1] - 32) // 2
            middle = scaled.crop((left, top, left + 32, top + 32))
            (self.dir / "embed.rgb" / name).write_bytes(middle.tobytes())

    def test_picture_models_answer_as_numpy_does(self):
        self.environment()
        self.pictures()
        self.python(ROOT / "lab/process/make_onnx_eye.py", self.dir)
        answers = json.loads((self.dir / "answers.json").read_text())
        _, health = self.worker(f"eye={self.dir}/classify", f"look={self.dir}/embed")
        self.assertEqual([model["kind"] for model in health["models"]],
                         ["image-classification", "image-embedding"])
        names = sorted(answers["embed"])
        sent = [base64.b64encode((self.dir / "pictures" / name).read_bytes()).decode()
                for name in names]
        status, body = self.ask("/images/embeddings", {"images": sent})
        self.assertEqual(status, 200, body)
        self.assertEqual(body["model"], "look")
        for name, got in zip(names, body["embeddings"]):
            worst = max(abs(a - b) for a, b in zip(got, answers["embed"][name]))
            self.assertLess(worst, 1e-2 if name.endswith("jpg") else 1e-3, name)
        status, body = self.ask("/images/classify",
                                {"images": ["data:image/png;base64," + one for one in sent],
                                 "top": 6})
        self.assertEqual(status, 200, body)
        for name, got in zip(names, body["classes"]):
            want = answers["classify"][name]
            self.assertEqual([one["score"] for one in got],
                             sorted((one["score"] for one in got), reverse=True))
            for one in got:
                self.assertEqual(one["label"], f"thing {one['index']}")
                self.assertAlmostEqual(one["score"], want[one["index"]],
                                       delta=1e-2 if name.endswith("jpg") else 1e-3)
        # Several callers at once get what each gets alone.
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            for _, again in pool.map(lambda _: self.ask("/images/classify", {"images": sent[:3],
                                                                             "top": 6}), range(4)):
                self.assertEqual([[one["label"] for one in row] for row in again["classes"]],
                                 [[one["label"] for one in row] for row in body["classes"][:3]])
        self.wrong(404, "/images/classify", {"images": sent[:1], "model": "nobody"},
                   "installed: eye, look")
        self.wrong(400, "/images/classify", {"images": sent[:1], "model": "look"},
                   "no image classification model")
        bad = base64.b64encode(b"ffconcat version 1.0\nfile /etc/passwd\n").decode()
        self.wrong(400, "/images/embeddings", {"images": [sent[0], bad]}, "neither png nor jpeg")
        cut = base64.b64encode((self.dir / "pictures" / names[0]).read_bytes()[:60]).decode()
        self.wrong(400, "/images/embeddings", {"images": [cut]}, "damaged")
        self.wrong(400, "/images/embeddings", {"images": ["http://127.0.0.1/x.png"]},
                   "none is fetched")
        self.wrong(413, "/images/embeddings", {"images": sent[:1] * 33}, "more than 32")
        self.assertEqual(self.get("/health")["status"], "ok")

    def test_a_folder_is_converted_compared_and_served(self):
        bert = self.model()
        report = json.loads(self.convert(bert, "--json").stdout)
        self.assertEqual(report["out"], f"{bert}-openvino")
        self.assertGreaterEqual(report["cosine"], 0.99 if report["weights"] == "int8" else 0.9999)
        self.assertGreater(report["vectors"], 50)
        self.assertIn("is there already", self.convert(bert, check=1).stderr)
        small = json.loads(self.convert(bert, "--json", "--replace", "--weights", "int8").stdout)
        exact = json.loads(self.convert(bert, "--json", "--weights", "f32", "-o",
                                        self.dir / "exact").stdout)
        self.assertLess(small["bytes"], exact["bytes"] * 0.5)
        self.assertLess(exact["largest_difference"], 1e-4)
        self.assertEqual(sorted(p.name for p in self.dir.glob(".*partial*")), [])
        # The worker's vectors are those of another program on the original.
        self.worker(f"bert={self.dir / 'exact'}")
        status, body = self.ask("/embeddings", {"texts": TEXTS, "model": "bert"})
        self.assertEqual(status, 200, body)
        wanted = json.loads(self.python("-c", ORIGINAL, bert, json.dumps(TEXTS)))
        for ours, theirs in zip(body["embeddings"], wanted):
            self.assertLess(max(abs(a - b) for a, b in zip(ours, theirs)), 1e-3)

    def test_what_is_not_there_and_ctrl_c_leave_nothing(self):
        bert = self.model()
        (bert / "tokenizer.json").rename(bert / "tokenizer.away")
        self.assertIn("no tokenizer.json", self.convert(bert, check=1).stderr)
        (bert / "tokenizer.away").rename(bert / "tokenizer.json")
        self.assertIn("neither onnx/model.onnx", self.convert(self.dir, check=1).stderr)
        process = self.start("convert", "--cache-dir", CACHE, bert)
        wait_until(lambda: list(self.dir.glob(".bert-openvino.partial-*")), 120, "its beginning")
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(30), 130)
        self.assertEqual([p.name for p in self.dir.iterdir() if "openvino" in p.name], [])


if __name__ == "__main__":
    unittest.main()
