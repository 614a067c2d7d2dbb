#!/usr/bin/env bash
# Installs sherpa-onnx's C library and ONNX Runtime, which it needs; the C++ library has the old
# string ABI and stays behind. Called by deps/fetch; the variables are those of llama.cpp.sh.
set -euo pipefail

mkdir -p "$DESTDIR$PREFIX/lib" "$DESTDIR$PREFIX/include"
cp -a "$SRC"/sherpa_onnx/lib/libsherpa-onnx-c-api.so "$SRC"/sherpa_onnx/lib/libonnxruntime.so \
  "$DESTDIR$PREFIX/lib/"
cp -a "$SRC/sherpa_onnx/include/sherpa-onnx" "$DESTDIR$PREFIX/include/"
