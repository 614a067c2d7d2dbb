#!/usr/bin/env python3
"""A BERT with random weights as an ONNX file with its tokenizer: make_onnx_bert.py DIR [WIDTH].

Two layers of the real operations (embeddings, attention with a mask, GELU), so that a conversion
has all of them to lose something in. Runs in the environment that `gantry convert` makes.
"""

import json
import pathlib
import sys

import numpy
import onnx
from onnx import TensorProto, helper
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

WORDS = "open close the door window light lights off is it meeting at noon and has to bring".split()
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
HEADS, LAYERS, POSITIONS = 4, 2, 128


class Graph:
    def __init__(self, seed):
        self.nodes, self.weights = [], []
        self.rng = numpy.random.default_rng(seed)

    def weight(self, *shape, scale=0.1, one=False):
        name = f"w{len(self.weights)}"
        values = numpy.ones(shape) if one else self.rng.normal(0, scale, shape)
        self.weights.append(onnx.numpy_helper.from_array(values.astype("float32"), name))
        return name

    def fixed(self, values, kind="int64"):
        name = f"w{len(self.weights)}"
        self.weights.append(onnx.numpy_helper.from_array(numpy.array(values, kind), name))
        return name

    def add(self, kind, *inputs, out=None, **attributes):
        out = out or f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [out], **attributes))
        return out

    def dense(self, x, rows, columns):
        return self.add("Add", self.add("MatMul", x, self.weight(rows, columns)),
                        self.weight(columns))

    def norm(self, x, width, out=None):
        return self.add("LayerNormalization", x, self.weight(width, one=True), self.weight(width),
                        axis=-1, epsilon=1e-12, out=out)


def attention(g, x, bias, width):
    split = g.fixed([0, 0, HEADS, width // HEADS])
    heads = [g.add("Transpose", g.add("Reshape", g.dense(x, width, width), split),
                   perm=[0, 2, 3, 1] if what == "key" else [0, 2, 1, 3])
             for what in ("query", "key", "value")]
    scores = g.add("Mul", g.add("MatMul", heads[0], heads[1]),
                   g.fixed((width // HEADS) ** -0.5, "float32"))
    mixed = g.add("MatMul", g.add("Softmax", g.add("Add", scores, bias), axis=-1), heads[2])
    joined = g.add("Reshape", g.add("Transpose", mixed, perm=[0, 2, 1, 3]),
                   g.fixed([0, 0, width]))
    return g.dense(joined, width, width)


def gelu(g, x):
    grown = g.add("Erf", g.add("Mul", x, g.fixed(0.5 ** 0.5, "float32")))
    return g.add("Mul", g.add("Mul", x, g.fixed(0.5, "float32")),
                 g.add("Add", grown, g.fixed(1, "float32")))


def bert(words, width):
    g = Graph(7)
    length = g.add("Slice", g.add("Shape", "input_ids"), g.fixed([1]), g.fixed([2]))
    places = g.add("Range", g.fixed(0), g.add("Squeeze", length), g.fixed(1))
    x = g.add("Add", g.add("Gather", g.weight(words, width, scale=1), "input_ids"),
              g.add("Gather", g.weight(POSITIONS, width, scale=1), places))
    x = g.norm(x, width)
    mask = g.add("Cast", g.add("Unsqueeze", "attention_mask", g.fixed([1, 2])),
                 to=TensorProto.FLOAT)
    bias = g.add("Mul", g.add("Sub", g.fixed(1, "float32"), mask), g.fixed(-1e4, "float32"))
    for layer in range(LAYERS):
        x = g.norm(g.add("Add", x, attention(g, x, bias, width)), width)
        inner = g.dense(gelu(g, g.dense(x, width, 4 * width)), 4 * width, width)
        x = g.norm(g.add("Add", x, inner), width,
                   "last_hidden_state" if layer == LAYERS - 1 else None)
    free = ["batch", "tokens"]
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, free)
              for name in ("input_ids", "attention_mask")]
    outputs = [helper.make_tensor_value_info(x, TensorProto.FLOAT, [*free, width])]
    graph = helper.make_graph(g.nodes, "bert", inputs, outputs, g.weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def tokenizer():
    letters = sorted(set("abcdefghijklmnopqrstuvwxyz0123456789.,:;%!?'"))
    pieces = [*SPECIAL, *letters, *("##" + letter for letter in letters), *WORDS]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    made = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return made, len(vocabulary)


def main():
    folder = pathlib.Path(sys.argv[1])
    width = int(sys.argv[2]) if len(sys.argv) > 2 else 64
    (folder / "onnx").mkdir(parents=True)
    made, words = tokenizer()
    made.save(str(folder / "tokenizer.json"))
    onnx.save(bert(words, width), str(folder / "onnx" / "model.onnx"))
    pages = {"config.json": {"model_type": "bert", "max_position_embeddings": POSITIONS},
             "tokenizer_config.json": {"tokenizer_class": "BertTokenizer",
                                       "model_max_length": POSITIONS}}
    for name, page in pages.items():
        (folder / name).write_text(json.dumps(page) + "\n", encoding="utf-8")


main()
