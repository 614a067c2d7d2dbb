"""Whisper's shape with random weights, as CTranslate2 keeps it: what faster-whisper loads. Run by a
Python that has faster-whisper. It shows that sound reaches the engine and what comes back; its
words ("w27992") mean nothing.

usage: make_faster_whisper.py FOLDER
"""

import pathlib
import sys

import numpy
from ctranslate2.specs import WhisperSpec
from tokenizers import Tokenizer, models

WIDTH, HEADS, LAYERS, MELS = 64, 2, 2, 80
FRAMES, POSITIONS = 1500, 448  # of 30 s, of text
WORDS = 50256
LANGUAGES = """en zh de es ru ko fr ja pt tr pl ca nl ar sv it id hi fi vi he uk el ms cs ro da hu
ta no th ur hr bg lt la mi ml cy sk te fa lv bn sr az sl kn et mk br eu is hy ne mn bs kk sq sw gl
mr pa si km sn yo so af oc ka be tg sd gu am yi lo uz fo ht ps tk nn mt sa lb my bo tl mg as tt haw
ln ha ba jw su""".split()
SPECIAL = (["<|endoftext|>", "<|startoftranscript|>"] + [f"<|{name}|>" for name in LANGUAGES] +
           ["<|translate|>", "<|transcribe|>", "<|startoflm|>", "<|startofprev|>",
            "<|nocaptions|>", "<|notimestamps|>"] + [f"<|{i / 50:.2f}|>" for i in range(1501)])

random = numpy.random.default_rng(7)


def weights(*shape):
    return (random.standard_normal(shape) * 0.05).astype(numpy.float32)


def norm(layer):
    layer.gamma = numpy.ones(WIDTH, numpy.float32)
    layer.beta = numpy.zeros(WIDTH, numpy.float32)


def linear(layer, out, into):
    layer.weight, layer.bias = weights(out, into), numpy.zeros(out, numpy.float32)


def attention(layer, itself):
    """Query, key and value in one matrix; across, key and value in a second one."""
    linear(layer.linear[0], 3 * WIDTH if itself else WIDTH, WIDTH)
    if not itself:
        linear(layer.linear[1], 2 * WIDTH, WIDTH)
    linear(layer.linear[-1], WIDTH, WIDTH)
    norm(layer.layer_norm)


def forward(layer):
    norm(layer.layer_norm)
    linear(layer.linear_0, 4 * WIDTH, WIDTH)
    linear(layer.linear_1, WIDTH, 4 * WIDTH)


def make(folder):
    folder.mkdir(parents=True, exist_ok=True)
    spec = WhisperSpec(LAYERS, HEADS, LAYERS, HEADS)
    encoder, decoder = spec.encoder, spec.decoder
    encoder.conv1.weight, encoder.conv1.bias = weights(WIDTH, MELS, 3), weights(WIDTH)
    encoder.conv2.weight, encoder.conv2.bias = weights(WIDTH, WIDTH, 3), weights(WIDTH)
    encoder.position_encodings.encodings = weights(FRAMES, WIDTH)
    norm(encoder.layer_norm)
    for layer in encoder.layer:
        attention(layer.self_attention, True)
        forward(layer.ffn)
    vocabulary = [f"w{i}" for i in range(WORDS)] + SPECIAL
    decoder.embeddings.weight = weights(len(vocabulary), WIDTH)
    decoder.projection.weight = decoder.embeddings.weight
    decoder.position_encodings.encodings = weights(POSITIONS, WIDTH)
    decoder.scale_embeddings = False
    norm(decoder.layer_norm)
    for layer in decoder.layer:
        attention(layer.self_attention, True)
        attention(layer.attention, False)
        forward(layer.ffn)
    spec.register_vocabulary(vocabulary)
    spec.config.suppress_ids = spec.config.suppress_ids_begin = []
    spec.config.lang_ids = [vocabulary.index(f"<|{name}|>") for name in LANGUAGES]
    spec.config.alignment_heads = [(LAYERS - 1, 0)]
    spec.validate()
    spec.save(str(folder))
    tokens = {word: i for i, word in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.WordLevel(tokens, unk_token="w0"))
    tokenizer.add_special_tokens(SPECIAL)
    tokenizer.save(str(folder / "tokenizer.json"))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    make(pathlib.Path(sys.argv[1]))
