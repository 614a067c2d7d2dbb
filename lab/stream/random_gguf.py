"""GGUF files with random weights from a fixed seed: what the makers beside this have in common.

Only Python's own library is needed. The same seed gives the same bytes everywhere.
"""

import math
import random
import struct

F32, F16 = 0, 1
U32, I32, FLOAT, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]


class Weights:
    """Random numbers, cut out of one pool: quick without any library."""

    def __init__(self, seed):
        rng = random.Random(seed)
        self.rng = rng
        self.pool = [rng.gauss(0, 1) for _ in range(1 << 15)]
        self.packed = {}

    def make(self, kind, count, scale):
        key = (kind, scale)
        if key not in self.packed:
            form = f"<{len(self.pool)}{'e' if kind == F16 else 'f'}"
            self.packed[key] = struct.pack(form, *(scale * x for x in self.pool))
        pool, size = self.packed[key], (2 if kind == F16 else 4)
        at = self.rng.randrange(len(self.pool)) * size
        out = pool[at:at + count * size]
        while len(out) < count * size:
            out += pool[:count * size - len(out)]
        return out


def text(value):
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def pair(key, kind, value):
    if kind == STRING:
        body = text(value)
    elif kind == ARRAY:
        of, items = value
        body = struct.pack("<IQ", of, len(items)) + b"".join(
            text(item) if of == STRING else struct.pack("<f" if of == FLOAT else "<i", item)
            for item in items)
    else:
        body = struct.pack({U32: "<I", FLOAT: "<f", BOOL: "<?"}[kind], value)
    return text(key) + struct.pack("<I", kind) + body


def write(path, pairs, tensors):
    """tensors: (name, dimensions as ggml counts them, type, bytes)."""
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(pairs))
    head += b"".join(pair(*p) for p in pairs)
    offset = 0
    for name, shape, kind, data in tensors:
        head += text(name) + struct.pack("<I", len(shape))
        head += struct.pack(f"<{len(shape)}Q", *shape) + struct.pack("<IQ", kind, offset)
        offset += -(-len(data) // 32) * 32
    with open(path, "wb") as out:
        out.write(head + b"\0" * (-len(head) % 32))
        for _, _, _, data in tensors:
            out.write(data + b"\0" * (-len(data) % 32))


class Tensors(list):
    def __init__(self, seed):
        super().__init__()
        self.weights = Weights(seed)

    def add(self, name, *shape, kind=F32, scale=None):
        count = math.prod(shape)
        if scale is None:
            scale = math.prod(shape[:-1]) ** -0.5
        self.append((name, shape, kind, self.weights.make(kind, count, scale)))

    def given(self, name, shape, numbers):
        self.append((name, shape, F32, struct.pack(f"<{len(numbers)}f", *numbers)))

    def fill(self, name, count, value):
        self.given(name, (count,), [value] * count)

    def linear(self, name, inside, outside, bias=True):
        self.add(f"{name}.weight", inside, outside, kind=F16)
        if bias:
            self.add(f"{name}.bias", outside, scale=0.01)

    def norm(self, name, size):
        self.fill(f"{name}.weight", size, 1)
        self.fill(f"{name}.bias", size, 0)

    def scale(self, name, size, value=1):
        self.fill(f"{name}.weight", size, value)

    def conv(self, name, kernel, inside, outside, turned=False):
        shape = (kernel, outside, inside) if turned else (kernel, inside, outside)
        self.add(f"{name}.weight", *shape, kind=F16, scale=(kernel * inside) ** -0.5)
        self.add(f"{name}.bias", outside, scale=0.01)

    def attention(self, prefix, width, heads_wide, bias=False):
        for part in ("attn_q", "attn_k", "attn_v"):
            self.linear(f"{prefix}.{part}", width, heads_wide, bias=bias)
        self.linear(f"{prefix}.attn_output", heads_wide, width, bias=bias)

    def qwen_layers(self, layers, width, inner, head):
        """Qwen3's, as its models that hear and speak have them."""
        for i in range(layers):
            self.scale(f"blk.{i}.attn_norm", width)
            self.scale(f"blk.{i}.ffn_norm", width)
            for part in ("attn_q_norm", "attn_k_norm"):
                self.scale(f"blk.{i}.{part}", head)
            self.attention(f"blk.{i}", width, width)
            self.linear(f"blk.{i}.ffn_gate", width, inner, bias=False)
            self.linear(f"blk.{i}.ffn_up", width, inner, bias=False)
            self.linear(f"blk.{i}.ffn_down", inner, width, bias=False)


def shape_pairs(architecture, context, width, layers, heads):
    """What every language model says of itself."""
    return [
        ("general.architecture", STRING, architecture),
        (f"{architecture}.context_length", U32, context),
        (f"{architecture}.embedding_length", U32, width),
        (f"{architecture}.block_count", U32, layers),
        (f"{architecture}.attention.head_count", U32, heads)]


def head_pairs(architecture, head):
    return [(f"{architecture}.attention.{part}_length", U32, head) for part in ("key", "value")]


def qwen_pairs(architecture, context, width, inner, layers, heads, head):
    return [
        *shape_pairs(architecture, context, width, layers, heads), *head_pairs(architecture, head),
        (f"{architecture}.feed_forward_length", U32, inner),
        (f"{architecture}.attention.head_count_kv", U32, heads),
        (f"{architecture}.attention.layer_norm_rms_epsilon", FLOAT, 1e-6),
        (f"{architecture}.rope.freq_base", FLOAT, 1e6),
        (f"{architecture}.rope.dimension_sections", ARRAY, (I32, [6, 5, 5, 0]))]


def vocabulary_pairs(tokens, kinds, scores, model="llama"):
    """kinds: 1 normal, 2 unknown, 3 control, 6 byte."""
    return [
        ("tokenizer.ggml.model", STRING, model), ("tokenizer.ggml.pre", STRING, "default"),
        ("tokenizer.ggml.tokens", ARRAY, (STRING, tokens)),
        ("tokenizer.ggml.scores", ARRAY, (FLOAT, scores)),
        ("tokenizer.ggml.token_type", ARRAY, (I32, kinds)),
        ("tokenizer.ggml.add_bos_token", BOOL, False)]


def encoder_pairs(part, width, inner, layers, heads, out, eps=1e-5):
    """Of what a projector's file holds: "audio", "vision" or "gen.audio"."""
    return [
        (f"clip.{part}.projection_dim", U32, out),
        (f"clip.{part}.embedding_length", U32, width),
        (f"clip.{part}.feed_forward_length", U32, inner),
        (f"clip.{part}.block_count", U32, layers),
        (f"clip.{part}.attention.head_count", U32, heads),
        (f"clip.{part}.attention.layer_norm_epsilon", FLOAT, eps)]


PROJECTOR = [("general.architecture", STRING, "clip"), ("clip.has_audio_encoder", BOOL, True)]
