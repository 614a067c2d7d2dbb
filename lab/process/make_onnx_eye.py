#!/usr/bin/env python3
"""Two picture models with random weights, ONNX and OpenVINO's, and numpy's own answers.

    make_onnx_eye.py DIR

DIR/classify and DIR/embed get model.onnx, openvino_model.xml, preprocessor_config.json and
config.json. For each DIR/KIND.rgb/NAME (32 rows of 32 pixels of three bytes) DIR/answers.json gets
what numpy makes of it, by kind and name: the classes' scores, or a vector of length one. A
convolution, a ReLU, the mean over places and a matrix: the real operations. Runs in the environment
that `gantry convert` makes.
"""

import json
import pathlib
import sys

import numpy
import onnx
import openvino
from onnx import TensorProto, helper

SIDE, FILTERS, CLASSES = 32, 8, 6
MEAN, STD = [0.48, 0.45, 0.4], [0.27, 0.26, 0.28]
STEPS = {"classify": {"do_resize": True, "size": {"height": SIDE, "width": SIDE}, "resample": 2},
         "embed": {"do_resize": True, "size": {"shortest_edge": 40}, "resample": 3,
                   "do_center_crop": True, "crop_size": {"height": SIDE, "width": SIDE}}}
CONFIG = {"classify": {"architectures": ["TinyForImageClassification"],
                       "id2label": {str(i): f"thing {i}" for i in range(CLASSES)}},
          "embed": {"architectures": ["TinyModel"]}}


def weights():
    rng = numpy.random.default_rng(11)
    return (rng.normal(0, 0.4, (FILTERS, 3, 3, 3)).astype("float32"),
            rng.normal(0, 0.2, FILTERS).astype("float32"),
            rng.normal(0, 2, (FILTERS, CLASSES)).astype("float32"))


def model(kind):
    kernel, bias, matrix = weights()
    nodes = [helper.make_node("Conv", ["pixel_values", "kernel", "bias"], ["raw"], strides=[2, 2]),
             helper.make_node("Relu", ["raw"], ["states"])]
    given = [onnx.numpy_helper.from_array(kernel, "kernel"),
             onnx.numpy_helper.from_array(bias, "bias")]
    places = (SIDE - 3) // 2 + 1
    out = helper.make_tensor_value_info("states", TensorProto.FLOAT,
                                        ["batch", FILTERS, places, places])
    if kind == "classify":
        nodes += [helper.make_node("ReduceMean", ["states"], ["pooled"], axes=[2, 3], keepdims=0),
                  helper.make_node("MatMul", ["pooled", "matrix"], ["logits"])]
        given.append(onnx.numpy_helper.from_array(matrix, "matrix"))
        out = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", CLASSES])
    pixels = helper.make_tensor_value_info("pixel_values", TensorProto.FLOAT,
                                           ["batch", 3, SIDE, SIDE])
    graph = helper.make_graph(nodes, kind, [pixels], [out], given)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def answer(kind, rgb):
    values = numpy.frombuffer(rgb, "uint8").reshape(SIDE, SIDE, 3).astype("float32") / 255
    pixels = ((values - MEAN) / STD).astype("float32").transpose(2, 0, 1)
    kernel, bias, matrix = weights()
    patches = numpy.lib.stride_tricks.sliding_window_view(pixels, (3, 3), axis=(1, 2))[:, ::2, ::2]
    states = numpy.einsum("cyxij,fcij->fyx", patches, kernel) + bias[:, None, None]
    pooled = numpy.maximum(states, 0).mean(axis=(1, 2))
    if kind == "embed":
        return (pooled / numpy.linalg.norm(pooled)).tolist()
    logits = pooled @ matrix
    scores = numpy.exp(logits - logits.max())
    return (scores / scores.sum()).tolist()


def main(folder):
    answers = {}
    for kind in STEPS:
        home = folder / kind
        home.mkdir()
        onnx.save(model(kind), str(home / "model.onnx"))
        openvino.save_model(openvino.convert_model(str(home / "model.onnx")),
                            str(home / "openvino_model.xml"), compress_to_fp16=False)
        (home / "preprocessor_config.json").write_text(json.dumps(
            {**STEPS[kind], "do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True,
             "image_mean": MEAN, "image_std": STD}))
        (home / "config.json").write_text(json.dumps(CONFIG[kind]))
        answers[kind] = {file.name: answer(kind, file.read_bytes())
                         for file in sorted((folder / f"{kind}.rgb").iterdir())}
    (folder / "answers.json").write_text(json.dumps(answers))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
