#!/usr/bin/env python3
"""Makes the two files of a recogniser as llama.cpp runs it: make_listener.py MODEL PROJECTOR [KIND]

KIND is qwen3a, which is Qwen3-ASR's shape, or parakeet: Nemotron Nano Omni's, a language model of
states, attention and experts with the Parakeet encoder and one of pictures in its projector. Small
and with random weights: the words, which are of one list, depend on the sound and mean nothing.
That they are the same wherever layers and encoder lie is what it is for.
"""

import math
import sys

from random_gguf import (ARRAY, BOOL, BYTES, F16, F32, FLOAT, I32, PROJECTOR, STRING, U32, Tensors,
                         encoder_pairs, head_pairs, qwen_pairs, shape_pairs, vocabulary_pairs,
                         write)

WIDTH, INNER, HEADS, HEAD, LAYERS, CONTEXT = 128, 256, 4, 32, 6, 2048
EARS, EARS_INNER, EARS_LAYERS, EARS_HEADS, CHANNELS, MELS = 64, 128, 2, 2, 16, 128
WORDS = ["turn", "on", "off", "the", "light", "radio", "open", "close", "door", "window", "stop",
         "play", "music", "kitchen", "bedroom", "red", "green", "blue", "please", "again"]
CONTROL = ["<|im_start|>", "<|im_end|>", "<|audio_start|>", "<|audio_end|>"]
TOKENS = ["<unk>", *CONTROL, *BYTES, *("\u2581" + word for word in WORDS)]
TEMPLATE = ("{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + "
            "message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}"
            "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}")
# Of the language model: M keeps states, * attends, E has experts.
PATTERN, GROUPS, STATE, STATE_HEADS, KERNEL = "MEM*ME", 2, 128, 8, 4
EXPERTS, EXPERTS_USED = 4, 2
RATE, FFT, WINDOW, TAPS = 16000, 512, 400, 9  # of the Parakeet encoder
EYES, EYES_LAYERS, PICTURE, PATCH, MERGE, REGISTERS = 64, 1, 64, 16, 2, 4


class Listener(Tensors):
    def words(self):
        """Nothing for what is no word, so that nothing else is ever written."""
        self.add("token_embd.weight", WIDTH, len(TOKENS), kind=F16, scale=1)
        self.scale("output_norm", WIDTH)
        self.add("written", WIDTH, len(WORDS), scale=1)
        name, _, kind, data = self.pop()
        silent = bytes(4 * WIDTH * (len(TOKENS) - len(WORDS)))
        self.append(("output.weight", (WIDTH, len(TOKENS)), kind, silent + data))

    def states(self, prefix, inside):
        """A layer of Mamba 2."""
        mixed = inside + 2 * GROUPS * STATE
        self.linear(f"{prefix}.ssm_in", WIDTH, inside + mixed + STATE_HEADS, bias=False)
        self.add(f"{prefix}.ssm_conv1d.weight", KERNEL, mixed, scale=KERNEL ** -0.5)
        self.add(f"{prefix}.ssm_conv1d.bias", mixed, scale=0.01)
        self.fill(f"{prefix}.ssm_dt.bias", STATE_HEADS, -3)  # steps of a twentieth
        heads = range(1, STATE_HEADS + 1)
        self.given(f"{prefix}.ssm_a", (1, STATE_HEADS), [-float(head) for head in heads])
        self.given(f"{prefix}.ssm_d", (1, STATE_HEADS), [1.0 for _ in heads])
        self.given(f"{prefix}.ssm_norm.weight", (inside // GROUPS, GROUPS), [1.0] * inside)
        self.linear(f"{prefix}.ssm_out", inside, WIDTH, bias=False)

    def experts(self, prefix):
        self.add(f"{prefix}.ffn_gate_inp.weight", WIDTH, EXPERTS, scale=WIDTH ** -0.5)
        self.fill(f"{prefix}.exp_probs_b.bias", EXPERTS, 0)
        for part, inside, outside in (("up", WIDTH, INNER), ("down", INNER, WIDTH)):
            self.add(f"{prefix}.ffn_{part}_exps.weight", inside, outside, EXPERTS, kind=F16,
                     scale=inside ** -0.5)
            self.linear(f"{prefix}.ffn_{part}_shexp", inside, outside, bias=False)

    def smaller(self, index, kernel, inside, outside):
        """A convolution of the Parakeet encoder's, which leave an eighth of time and pitch."""
        self.add(f"a.conv1d.{index}.weight", kernel, kernel, inside, outside,
                 scale=(kernel * kernel * inside) ** -0.5)
        self.add(f"a.conv1d.{index}.bias", 1, 1, outside, scale=0.01)

    def conformer(self, prefix):
        for norm in ("ffn_norm", "ffn_norm_1", "ln1", "ln2", "norm_conv", "conv_norm"):
            self.norm(f"{prefix}.{norm}", EARS)
        for half in ("", "_1"):
            self.linear(f"{prefix}.ffn_up{half}", EARS, EARS_INNER, bias=False)
            self.linear(f"{prefix}.ffn_down{half}", EARS_INNER, EARS, bias=False)
        for part in ("attn_q", "attn_k", "attn_v", "attn_out", "linear_pos"):
            self.linear(f"{prefix}.{part}", EARS, EARS, bias=False)
        for part in ("pos_bias_u", "pos_bias_v"):
            self.add(f"{prefix}.{part}", EARS // EARS_HEADS, EARS_HEADS, scale=0.1)
        self.linear(f"{prefix}.conv_pw1", EARS, 2 * EARS, bias=False)
        self.add(f"{prefix}.conv_dw.weight", TAPS, EARS, scale=TAPS ** -0.5)
        self.fill(f"{prefix}.conv_norm_mean", EARS, 0)
        self.fill(f"{prefix}.conv_norm_var", EARS, 1)
        self.linear(f"{prefix}.conv_pw2", EARS, EARS, bias=False)


    def eyes(self):
        """llama.cpp loads a Parakeet encoder only beside the projection of pictures."""
        patches, merged = (PICTURE // PATCH) ** 2, MERGE * MERGE * EYES
        self.add("v.class_embd", EYES, REGISTERS, scale=0.1)
        self.add("v.patch_embd.weight", PATCH, PATCH, 3, EYES, kind=F16)
        self.add("v.position_embd.weight", EYES, patches, scale=0.1)
        for i in range(EYES_LAYERS):
            self.norm(f"v.blk.{i}.ln1", EYES)
            self.norm(f"v.blk.{i}.ln2", EYES)
            self.linear(f"v.blk.{i}.attn_qkv", EYES, 3 * EYES)
            self.linear(f"v.blk.{i}.attn_out", EYES, EYES)
            self.linear(f"v.blk.{i}.ffn_up", EYES, 4 * EYES)
            self.linear(f"v.blk.{i}.ffn_down", 4 * EYES, EYES)
        self.scale("mm.model.mlp.0", merged)
        self.linear("mm.model.mlp.1", merged, merged, bias=False)
        self.linear("mm.model.mlp.3", merged, WIDTH, bias=False)


def word_pairs():
    kinds = [2] + [3] * len(CONTROL) + [6] * len(BYTES) + [1] * len(WORDS)
    end = TOKENS.index("<|im_end|>")
    return [
        *vocabulary_pairs(TOKENS, kinds, [-float(i) for i in range(len(TOKENS))]),
        ("tokenizer.ggml.bos_token_id", U32, end), ("tokenizer.ggml.eos_token_id", U32, end),
        ("tokenizer.ggml.unknown_token_id", U32, 0),
        ("tokenizer.chat_template", STRING, TEMPLATE)]


def qwen(path):
    tensors = Listener(1)
    tensors.words()
    tensors.qwen_layers(LAYERS, WIDTH, INNER, HEAD)
    write(path, [*qwen_pairs("qwen3vl", CONTEXT, WIDTH, INNER, LAYERS, HEADS, HEAD),
                 ("qwen3vl.n_deepstack_layers", U32, 0), *word_pairs()], tensors)


def nemotron(path):
    tensors, inside = Listener(1), 2 * WIDTH
    tensors.words()
    for i, kind in enumerate(PATTERN):
        tensors.scale(f"blk.{i}.attn_norm", WIDTH)
        if kind == "M":
            tensors.states(f"blk.{i}", inside)
        elif kind == "E":
            tensors.experts(f"blk.{i}")
        else:
            tensors.attention(f"blk.{i}", WIDTH, HEADS * HEAD)
    name = "nemotron_h_moe"
    write(path, [
        *shape_pairs(name, CONTEXT, WIDTH, len(PATTERN), HEADS), *head_pairs(name, HEAD),
        (f"{name}.attention.head_count_kv", ARRAY,
         (I32, [HEADS if kind == "*" else 0 for kind in PATTERN])),
        (f"{name}.feed_forward_length", ARRAY,
         (I32, [INNER if kind == "E" else 0 for kind in PATTERN])),
        (f"{name}.attention.layer_norm_epsilon", FLOAT, 1e-5),
        (f"{name}.attention.layer_norm_rms_epsilon", FLOAT, 1e-5),
        (f"{name}.ssm.conv_kernel", U32, KERNEL), (f"{name}.ssm.inner_size", U32, inside),
        (f"{name}.ssm.state_size", U32, STATE), (f"{name}.ssm.time_step_rank", U32, STATE_HEADS),
        (f"{name}.ssm.group_count", U32, GROUPS),
        (f"{name}.expert_count", U32, EXPERTS), (f"{name}.expert_used_count", U32, EXPERTS_USED),
        (f"{name}.expert_feed_forward_length", U32, INNER),
        (f"{name}.expert_shared_feed_forward_length", U32, INNER),
        (f"{name}.expert_shared_count", U32, 1), (f"{name}.expert_weights_norm", BOOL, True),
        (f"{name}.expert_weights_scale", FLOAT, 2.5), *word_pairs()], tensors)


def chunked_ears(path):
    tensors = Listener(2)
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
    write(path, [*ear_pairs(), ("clip.projector_type", STRING, "qwen3a")], tensors)


def parakeet_ears(path):
    tensors = Listener(2)
    tensors.given("a.mel_filters", (FFT // 2 + 1, MELS), mel_filters())
    tensors.given("a.window", (WINDOW,), [
        0.5 - 0.5 * math.cos(2 * math.pi * i / (WINDOW - 1)) for i in range(WINDOW)])
    for index, kernel, inside in ((0, 3, 1), (2, 3, 1), (3, 1, CHANNELS), (5, 3, 1),
                                  (6, 1, CHANNELS)):
        tensors.smaller(index, kernel, inside, CHANNELS)
    tensors.linear("a.pre_encode.out", MELS // 8 * CHANNELS, EARS)
    for i in range(EARS_LAYERS):
        tensors.conformer(f"a.blk.{i}")
    tensors.scale("mm.a.norm_pre", EARS)
    tensors.linear("mm.a.mlp.1", EARS, EARS_INNER, bias=False)
    tensors.linear("mm.a.mlp.2", EARS_INNER, WIDTH, bias=False)
    tensors.eyes()
    write(path, [
        *ear_pairs(), ("clip.audio.projector_type", STRING, "parakeet"),
        ("clip.audio.subsampling_factor", U32, 8), ("clip.audio.conv_kernel_size", U32, TAPS),
        *encoder_pairs("vision", EYES, 4 * EYES, EYES_LAYERS, EARS_HEADS, WIDTH, 1e-6),
        ("clip.has_vision_encoder", BOOL, True), ("clip.use_gelu", BOOL, True),
        ("clip.vision.projector_type", STRING, "nemotron_v2_vl"),
        ("clip.vision.image_size", U32, PICTURE), ("clip.vision.patch_size", U32, PATCH),
        ("clip.vision.projector.scale_factor", U32, MERGE),
        ("clip.vision.image_mean", ARRAY, (FLOAT, [0.485, 0.456, 0.406])),
        ("clip.vision.image_std", ARRAY, (FLOAT, [0.229, 0.224, 0.225]))], tensors)


def ear_pairs():
    return [*PROJECTOR,
            *encoder_pairs("audio", EARS, EARS_INNER, EARS_LAYERS, EARS_HEADS, WIDTH),
            ("clip.audio.num_mel_bins", U32, MELS)]


def mel_filters():
    """Triangles, equally far apart in mel; of each band a number for every frequency."""
    top = 2595 * math.log10(1 + RATE / 2 / 700)
    edges = [700 * (10 ** (top * i / (MELS + 1) / 2595) - 1) for i in range(MELS + 2)]
    out = []
    for low, middle, high in zip(edges, edges[1:], edges[2:]):
        for bin in range(FFT // 2 + 1):
            pitch = bin * RATE / FFT
            rise, fall = (pitch - low) / (middle - low), (high - pitch) / (high - middle)
            out.append(max(0.0, min(rise, fall)) * 2 / (high - low))
    return out


KINDS = {"qwen3a": (qwen, chunked_ears), "parakeet": (nemotron, parakeet_ears)}

if __name__ == "__main__":
    make_model, make_ears = KINDS[sys.argv[3] if len(sys.argv) > 3 else "qwen3a"]
    make_model(sys.argv[1])
    make_ears(sys.argv[2])
