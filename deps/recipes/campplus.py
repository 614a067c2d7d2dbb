#!/usr/bin/python3
"""Writes the checkpoint of CAM++ as the ONNX file that sherpa-onnx runs: campplus.py IN.pt OUT.onnx

CAM++ (Wang et al. 2023, arXiv 2303.00332; 3D-Speaker, Apache-2.0) makes 192 numbers of what
somebody says: a small convolution over spectra, a time-delay network whose layers see all layers
before them, and mean and spread over time. Nothing is computed here and nothing of the checkpoint
is run: its tensors go into the file byte by byte, and the graph around them is written out below.
A tensor that the graph does not know, or that it misses, ends the script.

Compared once with PyTorch, which ran the same checkpoint over noise of 17 to 1,000 frames: the
largest difference of a number was 1.7e-5, of numbers up to 3.
"""

import pathlib
import pickle
import struct
import sys
import typing
import zipfile
from collections import OrderedDict

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "lab" / "voice"))
from add_properties import field, properties_of  # noqa: E402

FLOAT, INT64 = 1, 7               # onnx.TensorProto's names of types
OPSET, IR_VERSION = 13, 8         # the oldest that has what is used
FEATURES = 80                     # mel bands
SEGMENT = 100                     # frames that share a context
BLOCKS = ((12, 1), (24, 2), (16, 2))  # layers and dilation of each dense block
PROPERTIES = {"framework": "3d-speaker", "language": "Chinese, English", "sample_rate": "16000",
              "normalize_samples": "1", "feature_normalize_type": "global-mean",
              "url": "https://modelscope.cn/models/iic/"
                     "speech_campplus_sv_zh_en_16k-common_advanced",
              "comment": "CAM++ of 3D-Speaker, Apache-2.0"}


class Tensor(typing.NamedTuple):
    """Numbers as a file holds them, little-endian."""
    kind: int
    shape: tuple
    data: bytes


def tensor_of(storage, offset, shape, stride, *_):
    """What PyTorch would rebuild: a view of a storage, which must be all of it in order."""
    kind, width, data = storage
    wanted, size = [], 1
    for length in reversed(shape):
        wanted.insert(0, size)
        size *= length
    if offset != 0 or list(stride) != wanted or len(data) != size * width:
        raise pickle.UnpicklingError("a tensor that is not all of its storage")
    return Tensor(kind, tuple(shape), data)


class Checkpoint(pickle.Unpickler):
    """A pickle may name any function there is and have it called. These are all that this one may
    name, and none of them is PyTorch's."""
    KNOWN = {("collections", "OrderedDict"): OrderedDict,
             ("torch._utils", "_rebuild_tensor_v2"): tensor_of,
             ("torch", "FloatStorage"): (FLOAT, 4), ("torch", "LongStorage"): (INT64, 8)}

    def __init__(self, archive, entry):
        super().__init__(archive.open(entry))
        self.archive, self.folder = archive, entry.rsplit("/", 1)[0]

    def find_class(self, module, name):
        if (module, name) not in self.KNOWN:
            raise pickle.UnpicklingError(f"{module}.{name} is not of a checkpoint of tensors")
        return self.KNOWN[module, name]

    def persistent_load(self, pid):
        _, (kind, width), key, _, _ = pid
        return kind, width, self.archive.read(f"{self.folder}/data/{key}")


def tensors_of(path):
    """Name -> Tensor, without the counters that only training reads."""
    with zipfile.ZipFile(path) as archive:
        [entry] = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        tensors = Checkpoint(archive, entry).load()
    if not (isinstance(tensors, dict) and all(isinstance(t, Tensor) for t in tensors.values())):
        raise ValueError("it holds more than tensors with names")
    return {name: tensor for name, tensor in tensors.items()
            if not name.endswith("num_batches_tracked")}


def attribute(name, value):
    """An AttributeProto: a number, or a list of them."""
    if isinstance(value, int):
        return field(1, name) + field(3, value) + field(20, 2)
    return field(1, name) + b"".join(field(8, v) for v in value) + field(20, 7)


def value_info(name, shape):
    """A ValueInfoProto; a dimension is a number or a name."""
    dims = b"".join(field(1, field(1 if isinstance(d, int) else 2, d)) for d in shape)
    return field(1, name) + field(2, field(1, field(1, FLOAT) + field(2, dims)))


class Graph:
    """Nodes in the order in which they were asked for, and the tensors that they took."""

    def __init__(self, tensors):
        self.tensors, self.taken = tensors, set()
        self.nodes, self.initializers = [], []

    def node(self, kind, *inputs, out=None, **attributes):
        out = out or f"n{len(self.nodes)}"
        self.nodes.append(field(1, b"".join(
            [field(1, name) for name in inputs] + [field(2, out), field(4, kind)]
            + [field(5, attribute(*item)) for item in attributes.items()])))
        return out

    def given(self, name, tensor):
        self.initializers.append(field(5, b"".join(field(1, d) for d in tensor.shape)
                                       + field(2, tensor.kind) + field(8, name)
                                       + field(9, tensor.data)))
        return name

    def weight(self, name):
        if name not in self.tensors:
            raise KeyError(f"the checkpoint has no {name}")
        self.taken.add(name)
        return self.given(name, self.tensors[name])

    def whole(self, *values, shape=None):
        """Whole numbers, as a list or, with shape (), as one."""
        shape = (len(values),) if shape is None else shape
        return self.given(f"c{len(self.initializers)}",
                          Tensor(INT64, shape, struct.pack(f"<{len(values)}q", *values)))

    def conv(self, x, name, **attributes):
        bias = f"{name}.bias"
        more = [self.weight(bias)] if bias in self.tensors else []
        return self.node("Conv", x, self.weight(f"{name}.weight"), *more, **attributes)

    def norm(self, x, name):
        """Batch normalisation with what training found; without weights it scales no further."""
        mean = self.weight(f"{name}.running_mean")
        width = self.tensors[mean].shape
        if f"{name}.weight" in self.tensors:
            scale, bias = self.weight(f"{name}.weight"), self.weight(f"{name}.bias")
        else:
            ones, zeros = struct.pack("<f", 1) * width[0], bytes(4 * width[0])
            scale = self.given(f"{name}.one", Tensor(FLOAT, width, ones))
            bias = self.given(f"{name}.zero", Tensor(FLOAT, width, zeros))
        return self.node("BatchNormalization", x, scale, bias, mean,
                         self.weight(f"{name}.running_var"))

    def norm_relu(self, x, name):
        return self.node("Relu", self.norm(x, name))


def residual(g, x, name, stride):
    """Two convolutions beside a short cut, which is one too where the bands are halved."""
    y = g.conv(x, f"{name}.conv1", strides=[stride, 1], pads=[1, 1, 1, 1])
    y = g.conv(g.norm_relu(y, f"{name}.bn1"), f"{name}.conv2", pads=[1, 1, 1, 1])
    y = g.norm(y, f"{name}.bn2")
    if stride != 1:
        x = g.norm(g.conv(x, f"{name}.shortcut.0", strides=[stride, 1]), f"{name}.shortcut.1")
    return g.node("Relu", g.node("Add", y, x))


def head(g, x):
    """(N, T, 80) to (N, 320, T): bands are halved three times over, time stays."""
    x = g.node("Unsqueeze", g.node("Transpose", x, perm=[0, 2, 1]), g.whole(1))
    x = g.norm_relu(g.conv(x, "head.conv1", pads=[1, 1, 1, 1]), "head.bn1")
    for layer in ("head.layer1", "head.layer2"):
        x = residual(g, residual(g, x, f"{layer}.0", 2), f"{layer}.1", 1)
    x = g.conv(x, "head.conv2", strides=[2, 1], pads=[1, 1, 1, 1])
    return g.node("Reshape", g.norm_relu(x, "head.bn2"), g.whole(0, 32 * FEATURES // 8, -1))


def masked(g, x, name, dilation, segments):
    """A convolution over time, times a gate that sees the whole and the segment around it.

    The gate is the same for all frames of a segment: it is made once for each, and spread then.
    """
    local = g.conv(x, f"{name}.linear_local", pads=[dilation, dilation], dilations=[dilation])
    context = g.node("Add", g.node("ReduceMean", x, axes=[2], keepdims=1),
                     g.node("AveragePool", x, kernel_shape=[SEGMENT], strides=[SEGMENT],
                            ceil_mode=1))
    gate = g.conv(g.node("Relu", g.conv(context, f"{name}.linear1")), f"{name}.linear2")
    gate = g.node("Gather", g.node("Sigmoid", gate), segments, axis=2)
    return g.node("Mul", local, gate)


def dense_block(g, x, name, layers, dilation, segments):
    """Each layer is given what all before it made."""
    for i in range(1, layers + 1):
        layer = f"{name}.tdnnd{i}"
        y = g.conv(g.norm_relu(x, f"{layer}.nonlinear1.batchnorm"), f"{layer}.linear1")
        y = g.norm_relu(y, f"{layer}.nonlinear2.batchnorm")
        x = g.node("Concat", x, masked(g, y, f"{layer}.cam_layer", dilation, segments), axis=1)
    return x


def spread(g, x, frames):
    """Mean and standard deviation over time, (N, C, T) to (N, 2C, 1); of one frame it is 0."""
    mean = g.node("ReduceMean", x, axes=[2], keepdims=1)
    squares = g.node("ReduceSumSquare", g.node("Sub", x, mean), axes=[2], keepdims=1)
    others = g.node("Max", g.node("Sub", frames, g.whole(1, shape=())), g.whole(1, shape=()))
    variance = g.node("Div", squares, g.node("Cast", others, to=FLOAT))
    return g.node("Concat", mean, g.node("Sqrt", variance), axis=1)


def campplus(g):
    x = g.conv(head(g, "x"), "xvector.tdnn.linear", strides=[2], pads=[2, 2])
    x = g.norm_relu(x, "xvector.tdnn.nonlinear.batchnorm")
    frames = g.node("Gather", g.node("Shape", x), g.whole(2, shape=()))
    zero, one = g.whole(0, shape=()), g.whole(1, shape=())
    segments = g.node("Div", g.node("Range", zero, frames, one), g.whole(SEGMENT, shape=()))
    for i, (layers, dilation) in enumerate(BLOCKS, 1):
        x = dense_block(g, x, f"xvector.block{i}", layers, dilation, segments)
        x = g.norm_relu(x, f"xvector.transit{i}.nonlinear.batchnorm")
        x = g.conv(x, f"xvector.transit{i}.linear")
    x = spread(g, g.norm_relu(x, "xvector.out_nonlinear.batchnorm"), frames)
    x = g.norm(g.conv(x, "xvector.dense.linear"), "xvector.dense.nonlinear.batchnorm")
    g.node("Squeeze", x, g.whole(2), out="embedding")


def onnx_of(tensors):
    """The file's bytes."""
    g = Graph(tensors)
    campplus(g)
    if left := sorted(set(tensors) - g.taken):
        raise KeyError(f"the checkpoint has more than CAM++: {left[0]}")
    width = tensors["xvector.dense.linear.weight"].shape[0]
    graph = b"".join([*g.nodes, field(2, "campplus"), *g.initializers,
                      field(11, value_info("x", ["N", "T", FEATURES])),
                      field(12, value_info("embedding", ["N", width]))])
    return (field(1, IR_VERSION) + field(7, graph) + field(8, field(2, OPSET))
            + properties_of(PROPERTIES | {"output_dim": str(width)}))


def main(arguments):
    if len(arguments) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        model = onnx_of(tensors_of(arguments[0]))
    except (OSError, zipfile.BadZipFile, pickle.UnpicklingError, KeyError, ValueError,
            EOFError, TypeError) as error:
        print(f"campplus.py: {arguments[0]} is not CAM++'s checkpoint: {error} "
              "(fetch the archive of deps/lock.json again)", file=sys.stderr)
        return 1
    pathlib.Path(arguments[1]).write_bytes(model)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
