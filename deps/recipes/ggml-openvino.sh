#!/usr/bin/env bash
# Builds ggml's OpenVINO backend, which llama-server loads through GGML_BACKEND_PATH, out of
# llama.cpp's own archive. Apart from llama.cpp.sh, so that neither library's change builds the
# other. Called by deps/fetch; the variables are those of llama.cpp.sh, and NEEDS holds the prefixes
# of llama.cpp and OpenVINO.
set -euo pipefail

src=$SRC/vendor/llama.cpp
IFS=';' read -r llama openvino <<<"$NEEDS"

cmake -S "$src" -B "$BUILD" -G Ninja -Wno-dev \
  -DCMAKE_BUILD_TYPE=Release \
  -DCMAKE_BUILD_WITH_INSTALL_RPATH=ON \
  -DCMAKE_INSTALL_RPATH="$llama/lib;$openvino/openvino/libs" \
  -DCMAKE_SUPPRESS_REGENERATION=ON \
  -DBUILD_SHARED_LIBS=ON -DGGML_BACKEND_DL=ON -DGGML_NATIVE=OFF -DGGML_CPU=OFF \
  -DGGML_OPENVINO=ON -DOpenVINO_DIR="$openvino/openvino/cmake" \
  -DGGML_BUILD_TESTS=OFF -DGGML_BUILD_EXAMPLES=OFF \
  -DLLAMA_BUILD_NUMBER=0 -DLLAMA_BUILD_COMMIT=release \
  -DLLAMA_BUILD_COMMON=OFF -DLLAMA_BUILD_TOOLS=OFF -DLLAMA_BUILD_SERVER=OFF \
  -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_APP=OFF \
  -DLLAMA_BUILD_UI=OFF -DLLAMA_USE_PREBUILT_UI=OFF -DLLAMA_OPENSSL=OFF

ninja -C "$BUILD" -j "$JOBS" ggml-openvino

mkdir -p "$DESTDIR$PREFIX/lib"
cp "$BUILD/bin/libggml-openvino.so" "$DESTDIR$PREFIX/lib/"
