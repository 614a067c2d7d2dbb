"""whisper.cpp's ggml files: reading vocabulary and filters, writing and re-reading models.

Layout, all little-endian: 12 x int32 (magic, vocabulary, audio context, width, heads, layers, the
same four for text, mel bands, type); the mel filters (2 x int32 shape, F32 values); the vocabulary
(int32 count; uint32 length and bytes of each); then tensors until the end of the file: dimensions,
name length, type, the shape innermost first, name, data.
"""
import os
import struct

import gguf
import numpy as np
import torch

MAGIC = 0x67676D6C
HEAD_VARIABLE = "WHISPER_HEAD"
HEADER = "<12i"
F32, F16, Q5_0 = 0, 1, 6                 # ggml's tensor types
FILE_F16, FILE_Q5_0 = 1, 2008            # 2008: ggml's quantisation version 2, file type 8
# whisper.cpp keeps these in full precision.
NEVER_QUANTISED = ("conv1", "conv2", "positional_embedding")


def head_path(path):
    """The file with the English vocabulary, from the argument or the environment."""
    path = path or os.environ.get(HEAD_VARIABLE)
    if not path or not os.path.isfile(path):
        raise SystemExit(
            f"whisper's English vocabulary not found at {path or '(no path given)'} "
            f"(give --whisper-head or {HEAD_VARIABLE}: the file for-tests-ggml-tiny.en.bin of "
            "whisper.cpp's sources, in share/whisper of its installed prefix)")
    return path


class Head:
    """Mel filters and vocabulary, and their bytes to write again."""

    def __init__(self, path):
        with open(path, "rb") as file:
            data = file.read()
        at = struct.calcsize(HEADER)
        self.header = struct.unpack_from(HEADER, data)
        if self.header[0] != MAGIC:
            raise SystemExit(f"{path} is no whisper ggml file (give for-tests-ggml-tiny.en.bin)")
        bands, bins = struct.unpack_from("<2i", data, at)
        at += 8
        self.filters = np.frombuffer(data, "<f4", bands * bins, at).reshape(bands, bins)
        at += 4 * bands * bins
        count, = struct.unpack_from("<i", data, at)
        at += 4
        self.vocabulary = {}
        for i in range(count):
            length, = struct.unpack_from("<I", data, at)
            self.vocabulary[data[at + 4:at + 4 + length]] = i
            at += 4 + length
        self.raw = data[struct.calcsize(HEADER):at]
        self.tensors_at = at


def write(path, head, header, tensors, quantised=False):
    """tensors: {name: torch tensor}; matrices are written as F16, or Q5_0 where `quantised`."""
    header = [MAGIC, *header, FILE_Q5_0 if quantised else FILE_F16]
    with open(path, "wb") as file:
        file.write(struct.pack(HEADER, *header) + head.raw)
        for name, tensor in tensors.items():
            kind, shape, data = _encoded(name, tensor.detach().float().numpy(), quantised)
            encoded = name.encode()
            file.write(struct.pack("<3i", len(shape), len(encoded), kind))
            file.write(struct.pack(f"<{len(shape)}i", *shape[::-1]))
            file.write(encoded + data)


def _encoded(name, array, quantised):
    """-> (type, shape, bytes) of one tensor"""
    if name in ("encoder.conv1.bias", "encoder.conv2.bias"):
        array = array.reshape(-1, 1)     # whisper.cpp wants them as columns
        return F32, array.shape, array.astype("<f4").tobytes()
    if array.ndim == 1 or "positional_embedding" in name:
        return F32, array.shape, array.astype("<f4").tobytes()
    if quantised and array.ndim == 2 and not any(part in name for part in NEVER_QUANTISED):
        packed = gguf.quants.quantize(array, gguf.GGMLQuantizationType.Q5_0)
        return Q5_0, array.shape, packed.tobytes()
    return F16, array.shape, array.astype("<f2").tobytes()


def read(path):
    """-> (Head, {name: torch tensor}) of an F16 file that write() wrote."""
    head = Head(path)
    with open(path, "rb") as file:
        file.seek(head.tensors_at)
        data = file.read()
    tensors, at = {}, 0
    while at < len(data):
        dimensions, length, kind = struct.unpack_from("<3i", data, at)
        shape = struct.unpack_from(f"<{dimensions}i", data, at + 12)[::-1]
        at += 12 + 4 * dimensions
        name = data[at:at + length].decode()
        at += length
        if kind not in (F32, F16):
            raise SystemExit(f"{path} is quantised (training goes on from an F16 file only)")
        count = int(np.prod(shape))
        values = np.frombuffer(data, "<f4" if kind == F32 else "<f2", count, at)
        tensors[name] = torch.from_numpy(values.astype(np.float32).reshape(shape))
        at += count * (4 if kind == F32 else 2)
    return head, tensors
