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


def field(number, content):
    """A length-delimited field of a protobuf message."""
    head, values = bytearray(), [number << 3 | 2, len(content)]
    for value in values:
        while value > 127:
            head.append(value & 127 | 128)
            value >>= 7
        head.append(value)
    return bytes(head) + content


def add_properties(source, target, properties):
    """A message's fields may stand anywhere, so that these go to the end: 14 is metadata_props."""
    data = pathlib.Path(source).read_bytes()
    for key, value in properties.items():
        data += field(14, field(1, key.encode()) + field(2, value.encode()))
    pathlib.Path(target).write_bytes(data)


if __name__ == "__main__":
    words = sys.argv[3:]
    add_properties(sys.argv[1], sys.argv[2],
                   GTCRN if words == ["gtcrn"] else dict(word.split("=", 1) for word in words))
