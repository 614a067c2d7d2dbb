#!/usr/bin/env python3
"""Makes the two files of a speech model as llama.cpp runs it: make_speaker.py BACKBONE PROJECTOR

Pocket TTS's shape, small and with random weights: a backbone of 28 layers, and in the projector a
voice encoder, the flow network that turns each state of the backbone into a frame of sound, and the
decoder that makes samples of the frames. What it says is noise; that it is the same noise whatever
streams is what it is for.
"""

import sys

from random_gguf import (BOOL, F16, FLOAT, PROJECTOR, STRING, U32, Tensors, encoder_pairs,
                         shape_pairs, vocabulary_pairs, write)

LAYERS, WIDTH, INNER, HEADS = 28, 128, 512, 2
LATENT, FLOW, FLOW_BLOCKS = 8, 32, 2  # of a frame; of the flow network
MIMI, MIMI_INNER = 64, 128  # of voice encoder and decoder, one head
RATIOS, DOWN = (4, 5, 6), 16  # 24,000 samples a second to 12.5 frames
TOKENS = ["<pad>", "</s>", "<unk>", "\u2581", *"abcdefghijklmnopqrstuvwxyzHTSAB.,;:!?",
          "<|pad|>", "<|bos_before_voice|>", "<|audio_bos|>"]


class Speaker(Tensors):
    def transformer(self, prefix):
        for part in ("attn_q", "attn_k", "attn_v", "attn_out"):
            self.linear(f"{prefix}.blk.0.{part}", MIMI, MIMI, bias=False)
        self.norm(f"{prefix}.blk.0.ln1", MIMI)
        self.norm(f"{prefix}.blk.0.ln2", MIMI)
        self.fill(f"{prefix}.blk.0.ls1.weight", MIMI, 0.5)
        self.fill(f"{prefix}.blk.0.ls2.weight", MIMI, 0.5)
        self.linear(f"{prefix}.blk.0.ffn_up", MIMI, MIMI_INNER, bias=False)
        self.linear(f"{prefix}.blk.0.ffn_down", MIMI_INNER, MIMI, bias=False)


def backbone(path):
    tensors = Tensors(1)
    tensors.add("token_embd.weight", WIDTH, len(TOKENS), kind=F16, scale=1)
    tensors.norm("output_norm", WIDTH)
    for i in range(LAYERS):
        tensors.norm(f"blk.{i}.attn_norm", WIDTH)
        tensors.norm(f"blk.{i}.ffn_norm", WIDTH)
        tensors.attention(f"blk.{i}", WIDTH, WIDTH)
        tensors.linear(f"blk.{i}.ffn_up", WIDTH, INNER, bias=False)
        tensors.linear(f"blk.{i}.ffn_down", INNER, WIDTH, bias=False)
    kinds = [3 if t.startswith("<") else 1 for t in TOKENS]
    kinds[2] = 2
    write(path, [
        *shape_pairs("pockettts", 4096, WIDTH, LAYERS, HEADS),
        ("pockettts.feed_forward_length", U32, INNER),
        ("pockettts.attention.layer_norm_epsilon", FLOAT, 1e-5),
        ("pockettts.rope.freq_base", FLOAT, 10000.0),
        *vocabulary_pairs(TOKENS, kinds, [-float(i) for i in range(len(TOKENS))], model="t5"),
        ("tokenizer.ggml.add_space_prefix", BOOL, True),
        ("tokenizer.ggml.remove_extra_whitespaces", BOOL, True),
        ("tokenizer.ggml.add_eos_token", BOOL, False)], tensors)


def projector(path):
    tensors = Speaker(2)
    # The voice encoder: samples to states of the backbone.
    tensors.conv("a.seanet.conv_in", 7, 1, 8)
    for i, ratio in enumerate(RATIOS):
        size = 8 << i
        tensors.conv(f"a.seanet.blk.{i}.res_conv1", 3, size, size // 2)
        tensors.conv(f"a.seanet.blk.{i}.res_conv2", 1, size // 2, size)
        tensors.conv(f"a.seanet.blk.{i}.scale_conv", 2 * ratio, size, 2 * size)
    tensors.conv("a.seanet.conv_out", 3, MIMI, MIMI)
    tensors.transformer("a")
    tensors.add("a.downsample.conv.weight", 2 * DOWN, MIMI, MIMI, kind=F16)
    tensors.linear("a.speaker_proj", MIMI, WIDTH, bias=False)
    # The flow network: a state of the backbone to a frame.
    tensors.linear("a.gen.flow.input_proj", LATENT, FLOW)
    tensors.linear("a.gen.flow.cond_embd", WIDTH, FLOW)
    tensors.linear("a.gen.flow.final.ada", FLOW, 2 * FLOW)
    tensors.linear("a.gen.flow.final.proj", FLOW, LATENT)
    for i in range(2):
        tensors.add(f"a.gen.flow.time.{i}.freqs", FLOW // 2, scale=1)
        tensors.linear(f"a.gen.flow.time.{i}.up", FLOW, FLOW)
        tensors.linear(f"a.gen.flow.time.{i}.down", FLOW, FLOW)
        tensors.fill(f"a.gen.flow.time.{i}.norm", FLOW, 1)
    for i in range(FLOW_BLOCKS):
        tensors.norm(f"a.gen.flow.blk.{i}.norm", FLOW)
        tensors.linear(f"a.gen.flow.blk.{i}.up", FLOW, FLOW)
        tensors.linear(f"a.gen.flow.blk.{i}.down", FLOW, FLOW)
        tensors.linear(f"a.gen.flow.blk.{i}.ada", FLOW, 3 * FLOW)
    # It never ends by itself: who asks for sound says how much.
    tensors.add("a.gen.out_eos.weight", WIDTH, 1, scale=0.0)
    tensors.fill("a.gen.out_eos.bias", 1, -100)
    tensors.linear("a.gen.input_linear", LATENT, WIDTH, bias=False)
    tensors.fill("a.gen.emb_mean", LATENT, 0)
    tensors.fill("a.gen.emb_std", LATENT, 1)
    # The decoder: frames to samples.
    tensors.linear("a.gen.wav.quant_out", LATENT, MIMI, bias=False)
    tensors.add("a.gen.wav.upsample.weight", 2 * DOWN, 1, MIMI, kind=F16, scale=0.3)
    tensors.transformer("a.gen.wav.tfm")
    tensors.conv("a.gen.wav.seanet.conv_in", 7, MIMI, MIMI)
    for i, ratio in enumerate(reversed(RATIOS)):
        size = MIMI >> i
        tensors.conv(f"a.gen.wav.seanet.blk.{i}.scale_conv", 2 * ratio, size, size // 2,
                     turned=True)
        tensors.conv(f"a.gen.wav.seanet.blk.{i}.res_conv1", 3, size // 2, size // 4)
        tensors.conv(f"a.gen.wav.seanet.blk.{i}.res_conv2", 1, size // 4, size // 2)
    tensors.conv("a.gen.wav.seanet.conv_out", 3, MIMI >> 3, 1)
    size = (MIMI, MIMI_INNER, 1, 1, WIDTH)
    write(path, [
        *PROJECTOR, ("clip.has_gen_audio_encoder", BOOL, True), ("clip.use_gelu", BOOL, True),
        *encoder_pairs("audio", *size), *encoder_pairs("gen.audio", *size),
        ("clip.audio.projector_type", STRING, "pockettts_spkenc"),
        ("clip.gen.audio.projector_type", STRING, "pockettts_gen"),
        ("clip.gen.audio.model_variant", STRING, "english"),
        ("clip.audio.num_mel_bins", U32, 1)], tensors)


if __name__ == "__main__":
    backbone(sys.argv[1])
    projector(sys.argv[2])
