"""`gantry convert DIR`: the real packages, a BERT of ours, and the NPU worker that serves it."""

import base64
import concurrent.futures
import json
import math
import os
import pathlib
import pickle
import shutil
import signal
import subprocess
import unittest
import zipfile

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
        self.assertIn("no weights (model.safetensors", self.convert(self.dir, check=1).stderr)
        process = self.start("convert", "--cache-dir", CACHE, bert)
        wait_until(lambda: list(self.dir.glob(".bert-openvino.partial-*")), 120, "its beginning")
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(30), 130)
        self.assertEqual([p.name for p in self.dir.iterdir() if "openvino" in p.name], [])

    def folder(self, family, *how):
        """A Hugging Face folder without an ONNX file, made in this test's directory."""
        place = self.dir / "-".join([family, *how])
        self.python(ROOT / "lab/process/make_hf_folder.py", place, family, *how)
        return place

    def test_sentencepieces_vocabulary(self):
        self.environment()
        folder = self.folder("xlm-roberta", "safetensors", "f32", "unigram")
        kept = json.loads((folder / "tokenizer.json").read_text())
        self.assertEqual(kept["model"]["type"], "Unigram")
        made = json.loads(self.convert(folder, "--weights", "f32", "--json").stdout)
        self.assertGreater(made["tokenizer_texts"], 4)
        self.assertGreater(made["cosine"], 0.99999)

    def test_weights_alone_are_served_as_another_program_computes_them(self):
        self.environment()
        expected = json.loads((ROOT / "lab/process/hf_expected.json").read_text())
        served = []
        for family in expected["vectors"]:
            made = json.loads(self.convert(self.folder(family), "--weights", "f32",
                                           "--json").stdout)
            self.assertTrue(made["source"].endswith("/model.safetensors"), made["source"])
            served.append(f"{family}={made['out']}")
        self.worker(*served)
        for family, vectors in expected["vectors"].items():
            for texts in [expected["texts"], *([text] for text in expected["texts"])]:
                status, body = self.ask("/embeddings", {"texts": texts, "model": family})
                self.assertEqual(status, 200, body)
                self.assertEqual(body.get("truncated"), [])
                for text, ours in zip(texts, body["embeddings"], strict=True):
                    theirs = vectors[expected["texts"].index(text)]
                    worst = max(abs(a - b) for a, b in zip(ours, theirs))
                    self.assertLess(worst, 1e-5, f"{family}: {text}")

    def test_the_same_weights_in_any_file_are_the_same_model(self):
        self.environment()
        made = {}
        for how, bits in [("safetensors", "f32"), ("sharded", "f32"), ("torch", "f32"),
                          ("torch-sharded", "f32"), ("safetensors", "f16"), ("torch", "f16"),
                          ("safetensors", "bf16"), ("torch", "bf16")]:
            folder = self.folder("mpnet", how, bits)
            source = folder / "model.safetensors" if how == "safetensors" else folder
            report = json.loads(self.convert(source, "--weights", "f32", "--json").stdout)
            made.setdefault(bits, {})[how] = (
                pathlib.Path(report["out"]) / "openvino_model.bin").read_bytes()
        for bits, files in made.items():
            self.assertEqual(len(set(files.values())), 1, bits)
        self.assertEqual(len({next(iter(files.values())) for files in made.values()}), 3)

    def refuses(self, folder, words, change):
        """A copy of a folder, changed, is refused with these words, and leaves nothing."""
        copy = self.dir / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(folder, copy)
        change(copy)
        said = self.convert(copy, check=1).stderr
        self.assertIn(words, said)
        self.assertIn("gantry: ", said)
        self.assertEqual([p.name for p in self.dir.iterdir() if "copy-openvino" in p.name], [])

    def test_configurations_that_lie_are_refused(self):
        self.environment()
        bert = self.folder("bert")

        def says(**keys):
            def change(copy):
                page = json.loads((copy / "config.json").read_text())
                page = {key: value for key, value in {**page, **keys}.items() if value != "gone"}
                (copy / "config.json").write_text(json.dumps(page))
            return change

        def other_words(copy):
            page = json.loads((copy / "tokenizer.json").read_text())
            page["model"]["vocab"]["open"] = 5000
            (copy / "tokenizer.json").write_text(json.dumps(page))

        for words, change in [
                ("the model cannot be computed", other_words),
                ("no graph is known for the model_type 'llama'", says(model_type="llama")),
                ("no graph is known for the model_type None", says(model_type="gone")),
                ("num_hidden_layers is 1000000000, not 1 to 512",
                 says(num_hidden_layers=10 ** 9)),
                ("num_hidden_layers is -1", says(num_hidden_layers=-1)),
                ("num_hidden_layers is True", says(num_hidden_layers=True)),
                ("hidden_size is None", says(hidden_size="gone")),
                ("5 heads do not divide 48", says(num_attention_heads=5)),
                ("is [160, 48], and config.json wants [160, 96]", says(hidden_size=96)),
                ("the weights have no bert.encoder.layer.3.", says(num_hidden_layers=4)),
                ("no graph is known for position_embedding_type relative_key",
                 says(position_embedding_type="relative_key")),
                ("no graph is known for hidden_act 'mish'", says(hidden_act="mish")),
                ("layer_norm_eps is nan", says(layer_norm_eps=float("nan"))),
                ("config.json is not JSON", lambda copy: (copy / "config.json").write_text("{")),
                ("config.json is not there", lambda copy: (copy / "config.json").unlink())]:
            with self.subTest(words):
                self.refuses(bert, words, change)
        pad = "pad_token_id is 200"
        self.refuses(self.folder("roberta"), pad, says(pad_token_id=200))

    def test_weights_that_lie_are_refused(self):
        self.environment()
        bert = self.folder("bert")

        def header(told):
            def change(copy):
                file = copy / "model.safetensors"
                data = file.read_bytes()
                length = int.from_bytes(data[:8], "little")
                page = json.loads(data[8:8 + length])
                kept = data[8 + length:][:told(page)]
                page = json.dumps(page).encode()
                file.write_bytes(len(page).to_bytes(8, "little") + page + kept)
            return change

        def bytes_of(made):
            def change(copy):
                file = copy / "model.safetensors"
                file.write_bytes(made(file.read_bytes()))
            return change

        word = "bert.embeddings.word_embeddings.weight"
        norm = "bert.embeddings.LayerNorm.gamma"

        def huge(page):
            page[word]["shape"] = [1 << 40, 1 << 40]

        def beyond(page):
            page[norm]["data_offsets"] = [1 << 40, (1 << 40) + 192]

        def whole_numbers(page):
            page[norm]["dtype"] = "I32"

        def all_one(page):  # few bytes, which many weights would share
            tensors = [told for name, told in page.items() if name != "__metadata__"]
            for told in tensors:
                begin, end = told["data_offsets"]
                told["data_offsets"] = [0, end - begin]
            return max(told["data_offsets"][1] for told in tensors)

        def nan(data):
            length = int.from_bytes(data[:8], "little")
            at = 8 + length + json.loads(data[8:8 + length])[word]["data_offsets"][0]
            return data[:at] + b"\xff\xff\xff\x7f" + data[at + 4:]

        for words, change in [
                ("its header would have 72057594037927935 bytes",
                 bytes_of(lambda data: b"\xff" * 7 + b"\0" + data[8:])),
                ("its bytes would be", bytes_of(lambda data: data[:-5000])),
                ("its header would have", bytes_of(lambda data: data[:5])),
                ("is empty", bytes_of(lambda data: b"")),
                ("its header is not JSON", bytes_of(lambda data: data[:9] + b"}" + data[10:])),
                ("Git LFS's pointer", bytes_of(
                    lambda data: b"version https://git-lfs.github.com/spec/v1\noid x\n")),
                ("is F32 [1099511627776, 1099511627776]", header(huge)),
                ("its bytes would be 1099511627776", header(beyond)),
                (f"{norm} is I32", header(whole_numbers)),
                (f"the weights have no {norm[:-6]}.weight",
                 header(lambda page: page.pop(norm) and None)),
                ("have 0 tensors of the name", header(lambda page: page.pop(word) and None)),
                (f"{word} has values that are no numbers", bytes_of(nan)),
                ("more than their files have", header(all_one))]:
            with self.subTest(words):
                self.refuses(bert, words, change)
        sharded = self.folder("bert", "sharded")

        def index(**files):
            def change(copy):
                file = copy / "model.safetensors.index.json"
                page = json.loads(file.read_text())
                page["weight_map"].update(files)
                file.write_text(json.dumps(page))
            return change

        for name in ["../bert/model.safetensors", "/etc/passwd", "..", ""]:
            with self.subTest(name):
                self.refuses(sharded, "which is no file of its folder", index(x=name))
        self.refuses(sharded, "none.safetensors is not there", index(x="none.safetensors"))

    def test_a_pickle_is_read_and_not_run(self):
        self.environment()
        place = self.folder("bert", "torch")
        mark = self.dir / "ran"

        class Run:
            def __reduce__(self):
                return os.system, (f"touch {mark}",)

        def pickled(made):
            def change(copy):
                file = copy / "pytorch_model.bin"
                with zipfile.ZipFile(file) as archive:
                    parts = {name: archive.read(name) for name in archive.namelist()}
                parts["archive/data.pkl"] = made(parts["archive/data.pkl"])
                with zipfile.ZipFile(file, "w") as archive:
                    for name, part in parts.items():
                        if part is not None:
                            archive.writestr(name, part)
            return change

        def packed(copy):
            with zipfile.ZipFile(copy / "pytorch_model.bin") as archive:
                parts = {name: archive.read(name) for name in archive.namelist()}
            with zipfile.ZipFile(copy / "pytorch_model.bin", "w", zipfile.ZIP_DEFLATED) as archive:
                for name, part in parts.items():
                    archive.writestr(name, part)

        def without(copy):
            pickled(lambda page: page)(copy)
            data = (copy / "pytorch_model.bin").read_bytes()
            data = data.replace(b"archive/data/5", b"archive/void/5")
            (copy / "pytorch_model.bin").write_bytes(data)

        def file_of(data):
            return lambda copy: (copy / "pytorch_model.bin").write_bytes(data)

        for words, change in [
                ("posix system called", pickled(lambda page: pickle.dumps({"x": Run()}, 2))),
                ("posix system called", pickled(lambda page: pickle.dumps({"x": Run()}, 4))),
                ("its pickle does", pickled(lambda page: pickle.dumps({"x": b"bytes"}, 4))),
                ("cannot be read", pickled(lambda page: page[:-100])),
                ("cannot be read", pickled(lambda page: b"\x80\x02R.")),
                ("not one data.pkl", pickled(lambda page: None)),
                ("has no storage 5", without),
                ("is packed", packed),
                ("lies beyond", pickled(lambda page: page.replace(b"K\x60K\x30\x86",
                                                                  b"M\xff\xffM\xff\xff\x86"))),
                ("no file of PyTorch 1.6 or later", file_of(pickle.dumps({"x": 1}, 2))),
                ("cannot be read", file_of(b"PK\3\4 and no more"))]:
            with self.subTest(words):
                self.refuses(place, words, change)
        self.assertFalse(mark.exists())


if __name__ == "__main__":
    unittest.main()
