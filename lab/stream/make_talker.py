#!/usr/bin/env python3
"""Makes the two files of a voice as llama.cpp runs it: make_talker.py BACKBONE PROJECTOR

Qwen3-TTS's shape, small and with random weights: a backbone that writes the first code of each
frame, and in the projector an encoder of voices, the predictor of the other fifteen codes and the
decoder that makes samples of them. What it says is noise; that it is the same noise whatever
streams is what it is for.
"""

import sys

from random_gguf import (BOOL, BYTES, F16, F32, PROJECTOR, STRING, U32, Tensors, encoder_pairs,
                         qwen_pairs, vocabulary_pairs, write)

WIDTH, INNER, HEADS, HEAD, LAYERS = 128, 256, 4, 32, 8
CODES, CONTROLS, BOOKS = 2048, 1024, 16
GUESS, GUESS_INNER, GUESS_HEADS, GUESS_LAYERS = 64, 128, 2, 2  # of the predictor
BOOK, QUANT, WAV, TFM, TFM_INNER, TFM_LAYERS = 16, 32, 64, 64, 96, 8  # 16 heads, as mtmd has it
MELS, EAR = 128, 16  # of the encoder of voices
STRIDES = (8, 5, 4, 3)  # 1,920 samples a frame with two doublings before
END = 2150
NAMES = {2148: "codec_pad", 2149: "codec_bos", END: "codec_eos_token", 2154: "codec_think",
         2156: "codec_think_bos", 2157: "codec_think_eos", 2050: "codec_language_english",
         2053: "codec_language_german"}
TEXT = ["<unk>", "<|im_start|>", "<|im_end|>", "<tts_pad>", "<tts_text_bos>", "<tts_text_eod>",
        *BYTES, "\u2581assistant", "assistant"]
CODEC = [f"<|{NAMES.get(i, f'codec_{i}')}|>" for i in range(CODES + CONTROLS)]


class Parts(Tensors):
    def block(self, prefix, width, inner, heads, head, scales=False):
        for part in ("attn_q", "attn_k", "attn_v"):
            self.linear(f"{prefix}.{part}", width, heads * head, bias=False)
        self.linear(f"{prefix}.attn_out", heads * head, width, bias=False)
        self.scale(f"{prefix}.ln1", width)
        self.scale(f"{prefix}.ln2", width)
        self.linear(f"{prefix}.ffn_gate", width, inner, bias=False)
        self.linear(f"{prefix}.ffn_up", width, inner, bias=False)
        self.linear(f"{prefix}.ffn_down", inner, width, bias=False)
        if scales:
            self.scale(f"{prefix}.ls1", width, 0.5)
            self.scale(f"{prefix}.ls2", width, 0.5)
        else:
            self.scale(f"{prefix}.attn_q_norm", head)
            self.scale(f"{prefix}.attn_k_norm", head)

    def turned(self, name, kernel, inside, outside):
        self.add(f"{name}.weight", kernel, outside, inside, kind=F32,
                 scale=(kernel * inside / 2) ** -0.5)
        self.add(f"{name}.bias", outside, scale=0.01)

    def codes(self, name):
        """A row for each code; that of the end is larger, so that it comes soon."""
        self.add(name, WIDTH, END, kind=F16, scale=0.3)
        _, _, kind, before = self.pop()
        self.add(name, WIDTH, 1, kind=F16, scale=0.7)
        _, _, _, end = self.pop()
        rest = bytes(2 * WIDTH * (len(CODEC) - END - 1))
        self.append((name, (WIDTH, len(CODEC)), kind, before + end + rest))

    def snake(self, name, size):
        self.fill(f"{name}.alpha", size, 1)
        self.fill(f"{name}.beta", size, 0.5)


def backbone(path):
    tokens = TEXT + CODEC
    tensors = Parts(1)
    tensors.add("token_embd.weight", WIDTH, len(tokens), kind=F16, scale=1)
    tensors.codes("output.weight")
    tensors.scale("output_norm", WIDTH)
    tensors.qwen_layers(LAYERS, WIDTH, INNER, HEAD)
    kinds = [2] + [3] * 5 + [6] * len(BYTES) + [1] * 2 + [3] * len(CODEC)
    write(path, [
        *qwen_pairs("qwen3tts", 4096, WIDTH, INNER, LAYERS, HEADS, HEAD),
        *vocabulary_pairs(tokens, kinds, [0.0] * len(tokens)),
        ("tokenizer.ggml.eos_token_id", U32, len(TEXT) + END),
        ("tokenizer.ggml.unknown_token_id", U32, 0),
        ("tokenizer.ggml.add_space_prefix", BOOL, False),
        ("tokenizer.ggml.add_eos_token", BOOL, False)], tensors)


def projector(path):
    tensors = Parts(2)
    # The encoder of voices: a spectrogram to one state of the backbone.
    tensors.conv("a.conv1d.0", 5, MELS, EAR)
    for i in range(1, 4):
        tensors.conv(f"a.blk.{i}.conv_pw1", 1, EAR, EAR)
        tensors.conv(f"a.blk.{i}.conv_pw2", 1, EAR, EAR)
        tensors.conv(f"a.blk.{i}.se_conv1", 1, EAR, EAR // 2)
        tensors.conv(f"a.blk.{i}.se_conv2", 1, EAR // 2, EAR)
        for j in range(7):
            tensors.conv(f"a.blk.{i}.res2.{j}", 3, EAR // 8, EAR // 8)
    tensors.conv("a.conv_out", 1, 3 * EAR, 3 * EAR)
    tensors.conv("a.asp_tdnn", 1, 9 * EAR, EAR)
    tensors.conv("a.asp_attn", 1, EAR, 3 * EAR)
    tensors.conv("mm.a.fc", 1, 6 * EAR, WIDTH)
    # The predictor: a state of the backbone and its code to the codes of the other books.
    tensors.linear("a.gen.code.proj_in", WIDTH, GUESS)
    tensors.add("a.gen.code.embd.weight", WIDTH, CODES, BOOKS - 1, kind=F16, scale=0.3)
    tensors.add("a.gen.code.head.weight", GUESS, CODES, BOOKS - 1, kind=F16, scale=0.3)
    tensors.add("a.gen.code.out_embd.weight", WIDTH, CODES + CONTROLS, kind=F16, scale=0.3)
    tensors.scale("a.gen.code.output_norm", GUESS)
    for i in range(GUESS_LAYERS):
        tensors.block(f"a.gen.code.blk.{i}", GUESS, GUESS_INNER, GUESS_HEADS, GUESS // GUESS_HEADS)
    # The decoder: codes to samples.
    for book, rows in (("first", (CODES,)), ("rest", (CODES, BOOKS - 1))):
        tensors.linear(f"a.gen.wav.quant.{book}.in_proj", QUANT, BOOK, bias=False)
        tensors.linear(f"a.gen.wav.quant.{book}.out_proj", BOOK, QUANT, bias=False)
        tensors.add(f"a.gen.wav.quant.{book}.codebook.weight", BOOK, *rows, kind=F32, scale=1)
    tensors.conv("a.gen.wav.pre_conv", 3, QUANT, WAV)
    tensors.linear("a.gen.wav.tfm.in_proj", WAV, TFM)
    tensors.linear("a.gen.wav.tfm.out_proj", TFM, WAV)
    tensors.scale("a.gen.wav.tfm.output_norm", TFM)
    for i in range(TFM_LAYERS):
        tensors.block(f"a.gen.wav.tfm.blk.{i}", TFM, TFM_INNER, 16, TFM // 16, scales=True)
    for i in range(2):
        up = f"a.gen.wav.up.blk.{i}"
        tensors.turned(f"{up}.conv", 2, WAV, WAV)
        tensors.add(f"{up}.dwconv.weight", 7, 1, WAV, kind=F16, scale=0.4)
        tensors.add(f"{up}.dwconv.bias", WAV, scale=0.01)
        tensors.norm(f"{up}.norm", WAV)
        tensors.linear(f"{up}.pw1", WAV, 2 * WAV)
        tensors.linear(f"{up}.pw2", 2 * WAV, WAV)
        tensors.fill(f"{up}.gamma", WAV, 0.5)
    size = WAV
    tensors.conv("a.gen.wav.dac.entry", 7, WAV, size)
    for i, stride in enumerate(STRIDES):
        block, size = f"a.gen.wav.dac.blk.{i}", size // 2
        tensors.snake(f"{block}.snake", 2 * size)
        tensors.turned(f"{block}.conv", 2 * stride, 2 * size, size)
        for j in range(3):
            tensors.snake(f"{block}.res.{j}.act1", size)
            tensors.conv(f"{block}.res.{j}.conv1", 7, size, size)
            tensors.snake(f"{block}.res.{j}.act2", size)
            tensors.conv(f"{block}.res.{j}.conv2", 1, size, size)
    tensors.snake("a.gen.wav.dac.post_snake", size)
    tensors.conv("a.gen.wav.dac.post_conv", 7, size, 1)
    write(path, [
        *PROJECTOR, ("clip.has_gen_audio_encoder", BOOL, True),
        *encoder_pairs("audio", EAR, EAR, 3, 1, WIDTH), ("clip.audio.num_mel_bins", U32, MELS),
        ("clip.audio.projector_type", STRING, "qwen3tts_spkenc"),
        *encoder_pairs("gen.audio", GUESS, GUESS_INNER, GUESS_LAYERS, GUESS_HEADS, WIDTH, 1e-6),
        ("clip.gen.audio.projector_type", STRING, "qwen3tts_gen")], tensors)


if __name__ == "__main__":
    backbone(sys.argv[1])
    projector(sys.argv[2])
