#!/usr/bin/env bash
# Installs the one library of OpenVINO's operations on text. Called by deps/fetch; the variables are
# those of llama.cpp.sh.
set -euo pipefail

mkdir -p "$DESTDIR$PREFIX/lib"
cp "$SRC/openvino_tokenizers/lib/libopenvino_tokenizers.so" "$DESTDIR$PREFIX/lib/"
