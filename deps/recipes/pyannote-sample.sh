#!/usr/bin/env bash
# Installs the recording of a conversation and its reference (MIT), for the tests. Called by
# deps/fetch; the variables are those of llama.cpp.sh.
set -euo pipefail

mkdir -p "$DESTDIR$PREFIX/share"
cp "$SRC"/pyannote/audio/sample/sample.{wav,rttm} "$DESTDIR$PREFIX/share/"
cp "$SRC"/pyannote_audio-*.dist-info/licenses/LICENSE "$DESTDIR$PREFIX/share/sample.LICENSE"
