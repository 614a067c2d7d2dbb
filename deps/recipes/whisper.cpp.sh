#!/usr/bin/env bash
# Builds whisper.cpp as a shared library on the ggml that llama.cpp installed, so that one process
# may hold both. Called by deps/fetch; the variables are those of llama.cpp.sh, and NEEDS is the
# prefix of llama.cpp.
set -euo pipefail

src=$SRC/whisper.cpp

# Upstream fills keys up to a multiple of 256 with zeros for flash attention and gives no mask, so
# that encoder and decoder attend to the filling too and words are lost in noise. ggml's kernels
# take any number of keys.
padded='n_state_head, n_(audio_)?ctx_pad, n_head,'
if [ "$(grep -cE "$padded" "$src/src/whisper.cpp")" != 4 ]; then
  echo "whisper.cpp's views of padded keys are not those that this recipe knows" >&2
  exit 1
fi
sed -i -E "s/$padded/n_state_head, n_\\1ctx, n_head,/" "$src/src/whisper.cpp"

# WHISPER_USE_OPENVINO alone: whisper.cpp then calls whisper_openvino_init, _encode and _free, which
# stay undefined here and are worker/encoder_hook.cc's: upstream's own lose a failed encode.
cmake -S "$src" -B "$BUILD" -G Ninja -Wno-dev \
  -DCMAKE_BUILD_TYPE=Release \
  -DCMAKE_INSTALL_PREFIX="$PREFIX" -DCMAKE_INSTALL_LIBDIR=lib \
  -DCMAKE_INSTALL_RPATH="\$ORIGIN;$NEEDS/lib" \
  -DCMAKE_SUPPRESS_REGENERATION=ON \
  -DCMAKE_CXX_FLAGS=-DWHISPER_USE_OPENVINO \
  -DCMAKE_PREFIX_PATH="$NEEDS" \
  -DBUILD_SHARED_LIBS=ON -DWHISPER_USE_SYSTEM_GGML=ON \
  -DWHISPER_BUILD_TESTS=OFF -DWHISPER_BUILD_EXAMPLES=OFF -DWHISPER_BUILD_SERVER=OFF

ninja -C "$BUILD" -j "$JOBS"
DESTDIR="$DESTDIR" cmake --install "$BUILD"

# The package file insists on a bin folder although the library alone has no programs.
mkdir -p "$DESTDIR$PREFIX/bin" "$DESTDIR$PREFIX/share/whisper"
# A model without weights: the mel filters and the vocabulary that a model of our own is made with.
cp "$src/models/for-tests-ggml-tiny.en.bin" "$DESTDIR$PREFIX/share/whisper/"
