#!/usr/bin/env python3
"""Makes the models beside it: real ONNX files that sherpa-onnx runs, without any learnt weight.

They have the inputs, outputs and metadata of the real ones, so that the engine, the protocol and
the memory accounting are tested with what they will meet. They say nothing about accuracy or about
how a voice sounds.

  tones.onnx, tones.txt   a VITS: every character is a short tone, two speakers, 16 kHz
  seg_energy.onnx         pyannote-segmentation-3.0's shape: what is loud is one speaker
  spk_stats.onnx          a speaker embedding: mean and spread of the spectrum over time

Needs onnx and numpy (pip install onnx numpy).
"""

import pathlib

import numpy as np
import onnx
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper as nh

HERE = pathlib.Path(__file__).resolve().parent
RATE = 16000
TONE = 960.0  # samples of a character at speed 1
CHARACTERS = " _abcdefghijklmnopqrstuvwxyz'0123456789.,;:!?-"


def save(name, nodes, inputs, outputs, initial, properties):
    graph = h.make_graph(nodes, name, inputs, outputs, initial)
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", 13)], ir_version=8)
    h.set_model_props(model, properties)
    onnx.checker.check_model(model)
    onnx.save(model, HERE / f"{name}.onnx")


def make_voice():
    n = h.make_node

    def constant(name, value, kind=np.float32):
        return nh.from_array(np.array(value, kind), name)

    initial = [constant("low", 200), constant("step", 12), constant("apart", 90),
               constant("tone", TONE), constant("zero", 0, np.int64), constant("one", 1, np.int64),
               constant("pi_rate", 2 * np.pi / RATE), constant("pi", np.pi),
               constant("loud", 0.3), constant("flat", [1, 1, -1], np.int64),
               constant("last", [-1], np.int64), constant("first", [0], np.int64)]
    nodes = [
        n("Cast", ["x"], ["xf"], to=T.FLOAT), n("Mul", ["xf", "step"], ["f0"]),
        n("Add", ["f0", "low"], ["f1"]), n("Cast", ["sid"], ["sidf"], to=T.FLOAT),
        n("Mul", ["sidf", "apart"], ["lift"]), n("Add", ["f1", "lift"], ["f2"]),
        n("Unsqueeze", ["f2", "last"], ["f"]),  # (1, L, 1) Hz
        n("Mul", ["length_scale", "tone"], ["s0"]), n("Cast", ["s0"], ["s1"], to=T.INT64),
        n("Squeeze", ["s1", "first"], ["s"]), n("Range", ["zero", "s", "one"], ["ti"]),
        n("Cast", ["ti"], ["t"], to=T.FLOAT), n("Mul", ["t", "pi_rate"], ["w"]),
        n("Mul", ["f", "w"], ["phase"]), n("Sin", ["phase"], ["wave"]),  # (1, L, S)
        n("Cast", ["s"], ["sf"], to=T.FLOAT), n("Div", ["t", "sf"], ["part"]),
        n("Mul", ["part", "pi"], ["arc"]), n("Sin", ["arc"], ["hull"]),
        n("Mul", ["wave", "hull"], ["shaped"]), n("Mul", ["shaped", "loud"], ["quiet"]),
        # Noise scales are inputs of every VITS; this one draws none.
        n("Mul", ["noise_scale", "noise_scale_w"], ["noise0"]),
        n("Sub", ["noise0", "noise0"], ["noise"]), n("Add", ["quiet", "noise"], ["sum"]),
        n("Reshape", ["sum", "flat"], ["y"])]
    inputs = [h.make_tensor_value_info("x", T.INT64, [1, "L"]),
              h.make_tensor_value_info("x_length", T.INT64, [1])]
    inputs += [h.make_tensor_value_info(name, T.FLOAT, [1])
               for name in ("noise_scale", "length_scale", "noise_scale_w")]
    inputs.append(h.make_tensor_value_info("sid", T.INT64, [1]))
    save("tones", nodes, inputs, [h.make_tensor_value_info("y", T.FLOAT, [1, 1, "N"])], initial,
         {"sample_rate": str(RATE), "n_speakers": "2", "language": "English", "comment": "vits",
          "model_type": "vits", "frontend": "characters", "add_blank": "0", "use_eos_bos": "0",
          "punctuation": ""})
    lines = [f"{c} {i}\n" for i, c in enumerate(CHARACTERS)]
    (HERE / "tones.txt").write_text("".join(lines), encoding="utf-8")


def make_segmentation():
    field, shift = 991, 270  # of pyannote-segmentation-3.0
    initial = [nh.from_array(np.full((1, 1, field), 1 / field, np.float32), "k"),
               nh.from_array(np.float32(1e-9), "eps"),
               nh.from_array(np.float32(np.log(1e-4)), "quiet"),
               nh.from_array(np.array([[[-1, 1, 0, 0, 0, 0, 0]]], np.float32), "w"),
               nh.from_array(np.array([[[0, 0, -40, -40, -40, -40, -40]]], np.float32), "b")]
    n = h.make_node
    nodes = [n("Mul", ["x", "x"], ["x2"]),
             n("Conv", ["x2", "k"], ["e"], kernel_shape=[field], strides=[shift]),
             n("Add", ["e", "eps"], ["e1"]), n("Log", ["e1"], ["le"]),
             n("Sub", ["le", "quiet"], ["d"]), n("Transpose", ["d"], ["dt"], perm=[0, 2, 1]),
             n("Mul", ["dt", "w"], ["z0"]), n("Add", ["z0", "b"], ["z"]),
             n("LogSoftmax", ["z"], ["y"], axis=-1)]
    save("seg_energy", nodes, [h.make_tensor_value_info("x", T.FLOAT, ["N", 1, "T"])],
         [h.make_tensor_value_info("y", T.FLOAT, ["N", "F", 7])], initial,
         {"num_speakers": "3", "powerset_max_classes": "2", "num_classes": "7",
          "sample_rate": "16000", "window_size": "160000", "receptive_field_size": str(field),
          "receptive_field_shift": str(shift), "model_type": "pyannote-segmentation-3.0",
          "version": "1"})


def make_embedding():
    n = h.make_node
    nodes = [n("ReduceMean", ["x"], ["m"], axes=[1], keepdims=1), n("Sub", ["x", "m"], ["d"]),
             n("Mul", ["d", "d"], ["d2"]), n("ReduceMean", ["d2"], ["v"], axes=[1], keepdims=0),
             n("Sqrt", ["v"], ["s"]), n("Squeeze", ["m", "axis"], ["m2"]),
             n("ReduceMean", ["m2"], ["mm"], axes=[1], keepdims=1), n("Sub", ["m2", "mm"], ["mc"]),
             n("Concat", ["mc", "s"], ["c"], axis=1),
             n("LpNormalization", ["c"], ["emb"], axis=1, p=2)]
    save("spk_stats", nodes, [h.make_tensor_value_info("x", T.FLOAT, [None, None, 80])],
         [h.make_tensor_value_info("emb", T.FLOAT, [None, 160])],
         [h.make_tensor("axis", T.INT64, [1], [1])],
         {"framework": "3d-speaker", "output_dim": "160", "sample_rate": "16000",
          "normalize_samples": "1", "language": "English", "feature_normalize_type": ""})


if __name__ == "__main__":
    make_voice()
    make_segmentation()
    make_embedding()
