#!/usr/bin/env bash
# Installs the one model that is used, with its licence (MIT), out of the wheel; its Python stays
# behind. Called by deps/fetch; the variables are those of llama.cpp.sh.
set -euo pipefail

mkdir -p "$DESTDIR$PREFIX/share"
cp "$SRC/silero_vad/data/silero_vad.onnx" "$DESTDIR$PREFIX/share/"
cp "$SRC"/silero_vad-*.dist-info/licenses/LICENSE "$DESTDIR$PREFIX/share/silero_vad.LICENSE"
