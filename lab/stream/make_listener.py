#!/usr/bin/env python3
"""Makes the two files of a recogniser as llama.cpp runs it: make_listener.py MODEL PROJECTOR

Qwen3-ASR's shape, small and with random weights: a language model that writes words of a list, and
in the projector an encoder that hears a spectrogram second by second. The words depend on the sound
and mean nothing: that they are the same wherever layers and encoder lie is what it is for.
"""

import sys

from make_speaker import ARRAY, BOOL, F16, F32, FLOAT, I32, STRING, U32, Tensors, write

WIDTH, INNER, HEADS, HEAD, LAYERS = 128, 256, 4, 32, 6
EARS, EARS_INNER, EARS_LAYERS, CHANNELS, MELS = 64, 128, 2, 16, 128
WORDS = ["turn", "on", "off", "the", "light", "radio", "open", "close", "door", "window", "stop",
         "play", "music", "kitchen", "bedroom", "red", "green", "blue", "please", "again"]
CONTROL = ["<|im_start|>", "<|im_end|>", "<|audio_start|>", "<|audio_end|>"]
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
TOKENS = ["<unk>", *CONTROL, *BYTES, *("\u2581" + word for word in WORDS)]
TEMPLATE = ("{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + "
            "message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}"
            "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}")


class Layers(Tensors):
    def scale(self, name, size):
        self.fill(f"{name}.weight", size, 1)

    def output(self, rows):
        """Nothing for what is no word, so that nothing else is ever written."""
        self.add("written", WIDTH, rows, scale=1)
        name, _, kind, data = self.pop()
        silent = bytes(4 * WIDTH * (len(TOKENS) - rows))
        self.append(("output.weight", (WIDTH, len(TOKENS)), kind, silent + data))


def model(path):
    tensors = Layers(1)
    tensors.add("token_embd.weight", WIDTH, len(TOKENS), kind=F16, scale=1)
    tensors.scale("output_norm", WIDTH)
    tensors.output(len(WORDS))
    for i in range(LAYERS):
        tensors.scale(f"blk.{i}.attn_norm", WIDTH)
        tensors.scale(f"blk.{i}.ffn_norm", WIDTH)
        for part in ("attn_q_norm", "attn_k_norm"):
            tensors.scale(f"blk.{i}.{part}", HEAD)
        for part in ("attn_q", "attn_k", "attn_v", "attn_output"):
            tensors.linear(f"blk.{i}.{part}", WIDTH, WIDTH, bias=False)
        tensors.linear(f"blk.{i}.ffn_gate", WIDTH, INNER, bias=False)
        tensors.linear(f"blk.{i}.ffn_up", WIDTH, INNER, bias=False)
        tensors.linear(f"blk.{i}.ffn_down", INNER, WIDTH, bias=False)
    kinds = [2] + [3] * len(CONTROL) + [6] * len(BYTES) + [1] * len(WORDS)
    write(path, [
        ("general.architecture", STRING, "qwen3vl"), ("qwen3vl.context_length", U32, 2048),
        ("qwen3vl.embedding_length", U32, WIDTH), ("qwen3vl.block_count", U32, LAYERS),
        ("qwen3vl.feed_forward_length", U32, INNER), ("qwen3vl.attention.head_count", U32, HEADS),
        ("qwen3vl.attention.head_count_kv", U32, HEADS),
        ("qwen3vl.attention.key_length", U32, HEAD),
        ("qwen3vl.attention.value_length", U32, HEAD),
        ("qwen3vl.attention.layer_norm_rms_epsilon", FLOAT, 1e-6),
        ("qwen3vl.rope.freq_base", FLOAT, 1e6),
        ("qwen3vl.rope.dimension_sections", ARRAY, (I32, [6, 5, 5, 0])),
        ("qwen3vl.n_deepstack_layers", U32, 0),
        ("tokenizer.ggml.model", STRING, "llama"), ("tokenizer.ggml.pre", STRING, "default"),
        ("tokenizer.ggml.tokens", ARRAY, (STRING, TOKENS)),
        ("tokenizer.ggml.scores", ARRAY, (FLOAT, [-float(i) for i in range(len(TOKENS))])),
        ("tokenizer.ggml.token_type", ARRAY, (I32, kinds)),
        ("tokenizer.ggml.bos_token_id", U32, TOKENS.index("<|im_end|>")),
        ("tokenizer.ggml.eos_token_id", U32, TOKENS.index("<|im_end|>")),
        ("tokenizer.ggml.unknown_token_id", U32, 0),
        ("tokenizer.ggml.add_bos_token", BOOL, False),
        ("tokenizer.chat_template", STRING, TEMPLATE)], tensors)


def projector(path):
    tensors = Layers(2)
    for i, inside in enumerate((1, CHANNELS, CHANNELS), 1):
        tensors.add(f"a.conv2d.{i}.weight", 3, 3, inside, CHANNELS, kind=F16,
                    scale=(9 * inside) ** -0.5)
        tensors.add(f"a.conv2d.{i}.bias", 1, 1, CHANNELS, scale=0.01)
    tensors.linear("a.conv_out", MELS // 8 * CHANNELS, EARS, bias=False)
    tensors.add("a.position_embd.weight", EARS, 1500, kind=F32, scale=0.1)
    for i in range(EARS_LAYERS):
        tensors.norm(f"a.blk.{i}.ln1", EARS)
        tensors.norm(f"a.blk.{i}.ln2", EARS)
        for part in ("attn_q", "attn_k", "attn_v", "attn_out"):
            tensors.linear(f"a.blk.{i}.{part}", EARS, EARS)
        tensors.linear(f"a.blk.{i}.ffn_up", EARS, EARS_INNER)
        tensors.linear(f"a.blk.{i}.ffn_down", EARS_INNER, EARS)
    tensors.norm("a.post_ln", EARS)
    tensors.linear("mm.a.mlp.1", EARS, EARS)
    tensors.linear("mm.a.mlp.2", EARS, WIDTH)
    write(path, [
        ("general.architecture", STRING, "clip"), ("clip.has_audio_encoder", BOOL, True),
        ("clip.projector_type", STRING, "qwen3a"), ("clip.audio.num_mel_bins", U32, MELS),
        ("clip.audio.projection_dim", U32, WIDTH), ("clip.audio.embedding_length", U32, EARS),
        ("clip.audio.feed_forward_length", U32, EARS_INNER),
        ("clip.audio.block_count", U32, EARS_LAYERS),
        ("clip.audio.attention.head_count", U32, 2),
        ("clip.audio.attention.layer_norm_epsilon", FLOAT, 1e-5)], tensors)


if __name__ == "__main__":
    model(sys.argv[1])
    projector(sys.argv[2])
