#!/usr/bin/env bash
# Installs the recogniser with its licence (MIT), and the wheel's recordings, which tests hear; its
# library and its Python stay behind. sherpa-onnx wants the tokens as lines of base 64.
# Called by deps/fetch; the variables are those of llama.cpp.sh.
set -euo pipefail

share=$DESTDIR$PREFIX/share
mkdir -p "$share/moonshine-tiny-en"
cp "$SRC"/moonshine_voice/assets/tiny-en/*.ort "$share/moonshine-tiny-en/"
cp "$SRC"/moonshine_voice-*.dist-info/licenses/LICENSE "$share/moonshine-tiny-en/"
cp "$SRC"/moonshine_voice/assets/{two_cities,beckett}.wav "$share/"
/usr/bin/python3 - "$SRC/moonshine_voice/assets/tiny-en/tokenizer.bin" \
  >"$share/moonshine-tiny-en/tokens.txt" <<'END'
import base64
import sys

# Each token: its length, one byte below 128 or two (the low seven bits first), then its bytes.
with open(sys.argv[1], "rb") as file:
    data = file.read()
at = number = 0
while at < len(data):
    length = data[at]
    at += 1
    if length >= 128:
        length = data[at] * 128 + length - 128
        at += 1
    print(base64.b64encode(data[at:at + length]).decode(), number)
    at += length
    number += 1
assert at == len(data) and number == 32768, (at, len(data), number)
END
