#!/usr/bin/env python3
"""Adds properties to an ONNX file: add_properties.py IN OUT KEY=VALUE...

sherpa-onnx wants to be told in the file what it is. GTCRN as its authors publish it has nothing of
the kind; GTCRN below is what belongs there: add_properties.py gtcrn_simple.onnx gtcrn.onnx gtcrn
"""

import pathlib
import sys

GTCRN = {"model_type": "gtcrn", "sample_rate": "16000", "version": "1", "n_fft": "512",
         "hop_length": "256", "window_length": "512", "window_type": "hann_sqrt",
         "conv_cache_shape": "2,1,16,16,33", "tra_cache_shape": "2,3,1,1,16",
         "inter_cache_shape": "2,1,33,16"}


def varint(value):
    """A number of a protobuf message: seven bits a byte, the low ones first."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes(out + bytes([value]))


def field(number, content):
    """A field of a protobuf message: of bytes or text, or a number that is not negative."""
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    content = content.encode() if isinstance(content, str) else content
    return varint(number << 3 | 2) + varint(len(content)) + content


def properties_of(properties):
    """As a ModelProto holds them: 14 is metadata_props."""
    return b"".join(field(14, field(1, key) + field(2, value)) for key, value in properties.items())


def add_properties(source, target, properties):
    """A message's fields may stand anywhere, so that these go to the end."""
    data = pathlib.Path(source).read_bytes()
    pathlib.Path(target).write_bytes(data + properties_of(properties))


if __name__ == "__main__":
    words = sys.argv[3:]
    add_properties(sys.argv[1], sys.argv[2],
                   GTCRN if words == ["gtcrn"] else dict(word.split("=", 1) for word in words))
