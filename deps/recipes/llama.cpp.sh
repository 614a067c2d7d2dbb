#!/usr/bin/env bash
# Builds llama.cpp with its ggml and installs the parts Gantry uses. Called by deps/fetch, which
# sets: SRC (the unpacked archive), BUILD (an empty folder), PREFIX (where the result will live),
# DESTDIR (install there instead, it is renamed to PREFIX when all went well), JOBS, and
# CPU_FEATURES (ggml's option names, such as "AVX AVX2", that this machine's processor has).
set -euo pipefail

src=$SRC/vendor/llama.cpp

# ggml refuses -march=native together with loadable backends, so each feature is named.
features=()
for feature in $CPU_FEATURES; do features+=("-DGGML_$feature=ON"); done

# A fixed commit and number keep the upstream build from asking git, and with it from depending on
# a repository that happens to lie around the cache. Each source of network access is off: curl is
# gone upstream, the web UI is neither built nor fetched, OpenSSL would serve only downloads.
# SUPPRESS_REGENERATION: the archive's future-dated files make ninja regenerate for ever.
# shellcheck disable=SC2016 # $ORIGIN is the loader's
cmake -S "$src" -B "$BUILD" -G Ninja -Wno-dev \
  -DCMAKE_BUILD_TYPE=Release \
  -DCMAKE_INSTALL_PREFIX="$PREFIX" -DCMAKE_INSTALL_LIBDIR=lib \
  -DCMAKE_INSTALL_RPATH='$ORIGIN;$ORIGIN/../lib' \
  -DCMAKE_SUPPRESS_REGENERATION=ON \
  -DBUILD_SHARED_LIBS=ON \
  -DGGML_BACKEND_DL=ON -DGGML_BACKEND_DIR="$PREFIX/bin" \
  -DGGML_NATIVE=OFF -DGGML_OPENMP=ON -DGGML_RPC=ON -DGGML_RPC_RDMA=OFF \
  "${features[@]}" \
  -DGGML_BUILD_TESTS=OFF -DGGML_BUILD_EXAMPLES=OFF \
  -DLLAMA_BUILD_NUMBER=0 -DLLAMA_BUILD_COMMIT=release \
  -DLLAMA_BUILD_TOOLS=ON -DLLAMA_BUILD_SERVER=ON \
  -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_APP=OFF \
  -DLLAMA_BUILD_UI=OFF -DLLAMA_USE_PREBUILT_UI=OFF -DLLAMA_OPENSSL=OFF

# ggml-rpc and its server stand in, in tests, for a device that has memory of its own.
ninja -C "$BUILD" -j "$JOBS" ggml ggml-cpu ggml-rpc ggml-rpc-server llama mtmd llama-server \
  llama-cli llama-quantize llama-bench llama-mtmd-cli llama-fit-params

# The tools that were not built would fail a plain install, so it goes folder by folder; LOCAL_ONLY
# keeps a folder's install script from descending.
install_folder() { DESTDIR="$DESTDIR" cmake "${@:2}" -P "$BUILD/$1/cmake_install.cmake"; }
install_folder ggml
for folder in . src common tools/mtmd tools/server tools/cli tools/quantize tools/llama-bench \
  tools/fit-params tools/rpc; do
  install_folder "$folder" -DCMAKE_INSTALL_LOCAL_ONLY=1
done

# What an out-of-tree ggml backend is compiled against, apart from the public headers because it
# changes with every ggml version.
private=$DESTDIR$PREFIX/include/ggml-private
mkdir -p "$private"
cp "$src"/ggml/src/ggml-impl.h "$src"/ggml/src/ggml-backend-impl.h "$private"

# What the dry run asks libllama beyond its public header, likewise.
private=$DESTDIR$PREFIX/include/llama-private
mkdir -p "$private"
cp "$src"/src/llama-ext.h "$private"
