"""Whisper's encoder by OpenVINO: converted, chosen by the configuration, and lost.

OpenVINO's CPU device stands in for an NPU and a GPU, and a second library of encoders fails when
told to: npu/testdata/encoder_faults.cc.
"""

import json
import os
import pathlib
import re
import shutil
import unittest

from household import BIN, MODELS, Household

ASR = MODELS / "micro-asr.bin"
FAULTS = pathlib.Path(os.environ.get("GANTRY_ENCODER_FAULTS_LIBRARY",
                                     BIN.parent / "lib" / "libgantry-encoder-faults.so"))
# One piece after the other, so that it is known which one meets the failure; a piece is encoded
# once or twice (docs/speech.md), so the fourth call is of the second to the fourth.
# name: where the encoder begins, and what the worker's environment says.
MODELS_OF_THE_TEST = {
    "ggml": ("none", {}),
    "openvino": ("cpu", {}),
    "nowhere": ("npu", {"GANTRY_ENCODER_LIBRARY": "/nowhere/libgantry-encoder.so"}),
    "loses-one": ("npu", {"GANTRY_ENCODER_LIBRARY": FAULTS,
                          "GANTRY_ENCODER_FAULTS": "NPU:4=throw"}),
    "loses-all": ("npu", {"GANTRY_ENCODER_LIBRARY": FAULTS,
                          "GANTRY_ENCODER_FAULTS": "NPU:0=absent,GPU:4=nan,CPU:1=throw"}),
}


class Encoder(Household):
    def setUp(self):
        super().setUp()
        self.model = self.dir / "ear.bin"
        shutil.copy(ASR, self.model)
        folder = self.dir / "cfg" / "gantry"
        folder.mkdir(parents=True)
        lines = ["models:"]
        for name, (encoder, env) in MODELS_OF_THE_TEST.items():
            words = ", ".join(f'"{key}={value}"' for key, value in env.items())
            lines.append(f"  {name}: {{file: {self.model}, encoder: {encoder}, parallel: 1, "
                         f"env: [{words}]}}")
        (folder / "config.yaml").write_text("\n".join(lines) + "\n")

    def heard(self, model):
        """The segments that a model hears, and what its step says of the encoder."""
        page = json.loads(self.ok("transcribe", "-m", model, "--format", "json", self.speech()))
        jobs = json.loads(self.ok("jobs", "--json"))["data"]
        job = self.job(max(job["id"] for job in jobs))
        (step,) = [step for step in job["result"]["steps"] if step["model"] == model]
        return page["segments"], step.get("encoder_changes", [])

    def words(self, segments):
        return [segment["text"] for segment in segments]

    def test_conversion_lies_where_whisper_cpp_looks(self):
        said = self.ok("convert", "whisper", self.model)
        xml = self.dir / "ear-encoder-openvino.xml"
        self.assertTrue(said.startswith(f"{xml}\n"), said)
        self.assertTrue(xml.read_bytes().startswith(b"<?xml"))
        self.assertGreater(xml.with_suffix(".bin").stat().st_size, 100_000)
        other = self.dir / "other.xml"
        report = json.loads(self.ok("convert", "whisper", self.model, "-o", other, "--json"))
        self.assertEqual(report["out"], str(other))
        self.assertEqual(report["bytes"], sum(other.with_suffix(end).stat().st_size
                                              for end in (".xml", ".bin")))
        self.assertGreater(report["logits"], 1000)
        self.assertLess(report["share"], 0.1)
        self.assertEqual(other.with_suffix(".bin").read_bytes(),
                         xml.with_suffix(".bin").read_bytes())
        segments, changes = self.heard("openvino")
        self.assertEqual({segment["encoder"] for segment in segments}, {"CPU"})
        self.assertEqual(changes, [])
        self.assertEqual(list((self.state / "encoders").glob("*.xml")), [])  # none was made

    def test_what_is_no_speech_model_is_refused_and_leaves_nothing(self):
        whole = ASR.read_bytes()
        for name, data, says in (("short.bin", whole[:len(whole) // 2], ""),
                                 ("head.bin", whole[:4] + b"\xff" * 44 + whole[48:], ""),
                                 ("text.bin", b"hello\n" * 100, ""),
                                 ("none.bin", b"", "")):
            (self.dir / name).write_bytes(data)
            before = set(self.dir.iterdir())
            self.refused(1, "convert", "whisper", self.dir / name, says=says)
            self.assertEqual(set(self.dir.iterdir()), before, name)
        self.refused(1, "convert", "whisper", MODELS / "micro-embed-en.gguf", says="whisper")
        self.refused(1, "convert", "whisper", self.dir / "absent.bin", says="absent.bin")
        self.refused(2, "convert", "whisper", self.model, "-o", self.dir / "x.bin", says=".xml")
        self.refused(2, "convert", "whisper", self.model, "-o", self.model / "x.xml")

    def test_openvino_hears_what_ggml_hears_with_an_encoder_made_on_demand(self):
        ggml, _ = self.heard("ggml")
        self.assertGreaterEqual(len(ggml), 6)
        self.assertNotIn("encoder", ggml[0])
        openvino, changes = self.heard("openvino")
        self.assertEqual(self.words(openvino), self.words(ggml))
        self.assertEqual({segment["encoder"] for segment in openvino}, {"CPU"})
        self.assertEqual(changes, [])
        (made,) = (self.state / "encoders").glob("ear-*.xml")
        self.assertTrue(made.with_suffix(".bin").exists())
        self.assertEqual(list(self.dir.glob("*.xml")), [])  # beside the model nothing is written

    @unittest.skipUnless(FAULTS.exists(), "the library that fails is not built")
    def test_lost_devices_cost_no_word_and_are_on_record(self):
        ggml, _ = self.heard("ggml")
        one, changes = self.heard("loses-one")
        self.assertEqual(self.words(one), self.words(ggml))
        who = [segment["encoder"] for segment in one]
        lost = who.index("GPU")
        self.assertIn(lost, (1, 2, 3))
        self.assertEqual(who, ["NPU"] * lost + ["GPU"] * (len(who) - lost))
        (change,) = changes
        self.assertEqual((change["from"], change["to"]), ("NPU", "GPU"))
        self.assertIn("device lost", change["cause"])
        self.assertLessEqual(change["at"], one[lost]["start"])

        everything, changes = self.heard("loses-all")
        self.assertEqual(self.words(everything), self.words(ggml))
        who = [segment["encoder"] for segment in everything]
        lost = who.index("ggml")
        self.assertIn(lost, (1, 2, 3))
        self.assertEqual(who, ["GPU"] * lost + ["ggml"] * (len(who) - lost))
        self.assertEqual([change["from"] for change in changes], ["NPU", "GPU", "CPU"])
        self.assertRegex(" ".join(change["cause"] for change in changes),
                         re.compile("no such device.*no number.*device lost"))

    def test_without_its_library_the_model_hears_as_ever(self):
        ggml, _ = self.heard("ggml")
        segments, (change,) = self.heard("nowhere")
        self.assertEqual(self.words(segments), self.words(ggml))
        self.assertEqual({segment["encoder"] for segment in segments}, {"ggml"})
        self.assertEqual((change["from"], change["to"]), ("npu", "ggml"))
        self.assertIn("/nowhere/", change["cause"])


if __name__ == "__main__":
    unittest.main()
