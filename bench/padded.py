#!/usr/bin/python3 -B
"""A trained model made heavy without changing what it says.

    padded.py SMALL.gguf HEAVY.gguf [--layers 16] [--ff 40960]

Its feed-forward parts are widened and layers are appended, all of it random up to a last matrix
that is zero there: what is added has to be read and computed, and contributes nothing. That gives
real text, real acceptance of speculation, and the weight of a model that does not fit. For the
llama architecture with F16 matrices.
"""

import argparse
import pathlib
import random
import struct

SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
F32, F16 = 0, 1
STRING, ARRAY = 8, 9


class Reader:
    """GGUF version 3, little-endian: metadata as raw values, tensors as (name, shape, type, at)."""

    def __init__(self, data):
        self.data, self.at = data, 0
        magic, version = self.take("4sI")
        if magic != b"GGUF" or version != 3:
            raise ValueError("not a GGUF file of version 3")
        tensors, keys = self.take("QQ")
        self.keys = [self.key() for _ in range(keys)]
        self.tensors = [self.tensor() for _ in range(tensors)]
        self.alignment = next((struct.unpack("<I", raw)[0] for name, _, raw in self.keys
                               if name == b"general.alignment"), 32)
        self.start = (self.at + self.alignment - 1) // self.alignment * self.alignment

    def take(self, form):
        size = struct.calcsize("<" + form)
        out = struct.unpack_from("<" + form, self.data, self.at)
        self.at += size
        return out

    def string(self):
        size, = self.take("Q")
        self.at += size
        return self.data[self.at - size:self.at]

    def skip(self, kind):
        if kind == STRING:
            self.string()
        elif kind == ARRAY:
            inner, count = self.take("IQ")
            if inner in SIZES:
                self.at += SIZES[inner] * count
            else:
                for _ in range(count):
                    self.skip(inner)
        else:
            self.at += SIZES[kind]

    def key(self):
        name = self.string()
        kind, = self.take("I")
        start = self.at
        self.skip(kind)
        return name, kind, self.data[start:self.at]

    def tensor(self):
        name = self.string().decode()
        rank, = self.take("I")
        shape = self.take(f"{rank}Q")
        kind, offset = self.take("IQ")
        return name, shape, kind, offset

    def bytes_of(self, tensor):
        _, shape, kind, offset = tensor
        count = product(shape)
        if kind not in (F32, F16):
            raise ValueError(f"{tensor[0]} is neither F32 nor F16")
        at = self.start + offset
        return self.data[at:at + count * (4 if kind == F32 else 2)]


def filler(count, rng):
    """Random F16 values of about 0.01 to 0.06, of both signs: exponents 8 to 10 of 31."""
    raw = bytearray(rng.randbytes(2 * count))
    # The high byte is sign, five bits of exponent, two of mantissa.
    high = raw[1::2].translate(bytes((b & 0x83) | ((8 + (b >> 2) % 3) << 2) for b in range(256)))
    raw[1::2] = high
    return bytes(raw)


def product(shape):
    out = 1
    for one in shape:
        out *= one
    return out


def widened(name, shape, data, width, rng):
    """A feed-forward matrix of a trained layer: more rows of noise, or more columns of zeros."""
    part = name.split(".", 2)[2]
    if part in ("ffn_gate.weight", "ffn_up.weight"):
        return (shape[0], width), data + filler(shape[0] * (width - shape[1]), rng)
    if part == "ffn_down.weight":
        row, more = 2 * shape[0], bytes(2 * (width - shape[0]))
        rows = (data[at:at + row] + more for at in range(0, len(data), row))
        return (width, shape[1]), b"".join(rows)
    return shape, data


def new_layer(reader, layer, width, rng):
    """Tensors of one layer that adds nothing, like layer 0 but for the feed-forward's width."""
    for name, shape, kind, _ in reader.tensors:
        if not name.startswith("blk.0."):
            continue
        part = name.split(".", 2)[2]
        if part in ("ffn_gate.weight", "ffn_up.weight"):
            shape = (shape[0], width)
        elif part == "ffn_down.weight":
            shape = (width, shape[1])
        if kind == F32:
            data = struct.pack("<f", 1.0) * product(shape)
        elif part in ("attn_output.weight", "ffn_down.weight"):
            data = bytes(2 * product(shape))
        else:
            data = filler(product(shape), rng)
        yield f"blk.{layer}.{part}", shape, kind, data


def text(value):
    return struct.pack("<Q", len(value)) + value


def pad(source, target, layers, width):
    reader = Reader(source.read_bytes())
    facts = {name: raw for name, _, raw in reader.keys}
    depth, = struct.unpack("<I", facts[b"llama.block_count"])
    keys = b""
    for name, kind, raw in reader.keys:
        if name == b"llama.block_count":
            raw = struct.pack("<I", depth + layers)
        elif name == b"llama.feed_forward_length":
            raw = struct.pack("<I", width)
        keys += text(name) + struct.pack("<I", kind) + raw
    rng = random.Random(1)
    align = reader.alignment
    infos, offset, body = b"", 0, target.with_suffix(".body")
    with open(body, "wb") as out:
        def add(name, shape, kind, data):
            nonlocal infos, offset
            infos += text(name.encode()) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape,
                                                       kind, offset)
            out.write(data + bytes(-len(data) % align))
            offset += len(data) + -len(data) % align

        for tensor in reader.tensors:
            name, shape, kind, _ = tensor
            data = reader.bytes_of(tensor)
            if ".ffn_" in name and kind == F16:
                shape, data = widened(name, shape, data, width, rng)
            add(name, shape, kind, data)
        for layer in range(depth, depth + layers):
            for tensor in new_layer(reader, layer, width, rng):
                add(*tensor)
    count = len(reader.tensors) + layers * sum(t[0].startswith("blk.0.") for t in reader.tensors)
    head = b"GGUF" + struct.pack("<IQQ", 3, count, len(reader.keys)) + keys + infos
    with open(target, "wb") as out, open(body, "rb") as weights:
        out.write(head + bytes(-len(head) % align))
        while chunk := weights.read(16 << 20):
            out.write(chunk)
    body.unlink()


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=pathlib.Path)
    parser.add_argument("target", type=pathlib.Path)
    parser.add_argument("--layers", type=int, default=16)
    parser.add_argument("--ff", type=int, default=40960)
    args = parser.parse_args()
    pad(args.source, args.target, args.layers, args.ff)


if __name__ == "__main__":
    main()
