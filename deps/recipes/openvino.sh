#!/usr/bin/env bash
# Installs OpenVINO's libraries, headers and CMake package out of the wheel; nothing is built.
# Called by deps/fetch; the variables are those of llama.cpp.sh. The CMake package looks for its
# files in a folder of that name.
set -euo pipefail

mkdir -p "$DESTDIR$PREFIX/openvino"
cp -a "$SRC/openvino/libs" "$SRC/openvino/include" "$SRC/openvino/cmake" \
  "$DESTDIR$PREFIX/openvino/"
