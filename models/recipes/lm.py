"""The micro language model: byte-level BPE tokenizer, chat format, llama architecture.

Everything here must agree with llama.cpp to the last detail, for the files are run by stock
llama-server: the traps are marked where they bite.
"""
import math

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import nn

BOS, END, USER, ASSISTANT, SYSTEM, PAD = (
    "<|bos|>", "<|end|>", "<|user|>", "<|assistant|>", "<|system|>", "<|pad|>")
SPECIALS = [BOS, END, USER, ASSISTANT, SYSTEM, PAD]
NEWLINE = "Ċ"                            # how byte-level BPE writes the byte 10

# No BOS in the template: llama.cpp adds it (tokenizer.ggml.add_bos_token).  Programs that do not
# run jinja guess a format from the template's text: "<|end|>" with "<|assistant|>" counts as
# "phi3", with line breaks after role and end, so the format is exactly that.
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>\\n' + message['content'] + '<|end|>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}"
)

# Widths are multiples of 32, so that Q8_0 rows fit.
SHAPE = {"layers": 8, "width": 128, "heads": 4, "kv_heads": 2, "ffn": 256, "vocab": 600,
         "context": 1024, "rope_base": 10000.0, "eps": 1e-5}
# Layers whose head 0 is guided to the source lines (first and last mention) while training.  At
# layers 3 and 5 the guide loss stayed near 3; at 5 and 6 it fell below 0.5 within two minutes.
GUIDED = (5, 6)
IGNORED = -100                           # target of a position where nothing is learned


# ---------------------------------------------------------------- tokenizer
def train_tokenizer(texts, size):
    """GPT-2 type BPE that starts from the 256 bytes, so that any input can be spelled."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=size, special_tokens=SPECIALS, show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    return tokenizer


class ChatCodec:
    """Chats to token ids, exactly as llama.cpp does it with CHAT_TEMPLATE."""

    CACHE_MAX = 200_000

    def __init__(self, tokenizer):
        self.tokenizer = tokenizer
        self.id = {name: tokenizer.token_to_id(name) for name in SPECIALS}
        self.newline = tokenizer.token_to_id(NEWLINE)
        self._cache = {}

    def line(self, line):
        """Ids of one line.  Lines may be encoded alone: "\\n" is always a token of its own."""
        if line not in self._cache:
            if len(self._cache) > self.CACHE_MAX:
                self._cache.clear()
            self._cache[line] = self.tokenizer.encode(line, add_special_tokens=False).ids
        return self._cache[line]

    def chat(self, turns, sources=None):
        """[(role, text)] -> (ids, learn, spans), all of one length.

        learn[i]: ids[i] has to be predicted.  spans[i]: None, or (start, end, start, end) of the
        two earlier lines that the line of ids[i] comes from, as `sources` tells (chats.sources).
        """
        ids, learn, spans = [self.id[BOS]], [False], [None]
        table = []                       # (text, start, end) of all lines so far

        def put(new, learned=False, span=None):
            ids.extend(new)
            learn.extend([learned] * len(new))
            spans.extend([span] * len(new))

        for role, text in turns:
            put([self.id[f"<|{role}|>"], self.newline])
            answer, lines = role == "assistant", text.split("\n")
            origin = [None] * len(lines)
            if answer and sources:
                origin = sources([line for line, _, _ in table], lines)
            earlier = list(table)
            for i, line in enumerate(lines):
                span, start = None, len(ids)
                if origin[i]:
                    span = earlier[origin[i][0]][1:] + earlier[origin[i][1]][1:]
                put(self.line(line), answer, span)
                put([self.id[END] if i == len(lines) - 1 else self.newline], answer, span)
                table.append((line, start, len(ids)))
            put([self.newline])
        return ids, learn, spans

    def prompt(self, turns):
        """Ids up to where the assistant begins to write."""
        return self.chat(turns)[0] + [self.id[ASSISTANT], self.newline]


def pad_batch(samples, pad):
    """[(ids, learn, spans)] -> inputs (B, T), targets (B, T), spans (B, T, 4)"""
    length = max(len(ids) for ids, _, _ in samples) - 1
    inputs = torch.full((len(samples), length), pad)
    targets = torch.full((len(samples), length), IGNORED)
    places = torch.zeros((len(samples), length, 4), dtype=torch.long)
    for row, (ids, learn, spans) in enumerate(samples):
        n = len(ids) - 1
        inputs[row, :n] = torch.tensor(ids[:-1])
        targets[row, :n] = torch.tensor(
            [t if wanted else IGNORED for t, wanted in zip(ids[1:], learn[1:])])
        places[row, :n] = torch.tensor([span or (0, 0, 0, 0) for span in spans[1:]])
    return inputs, targets, places


# ---------------------------------------------------------------- model
def _rope_tables(length, head_dim, base):
    """cos, sin: (length, head_dim / 2)"""
    frequency = base ** (-torch.arange(0, head_dim, 2).float() / head_dim)
    angle = torch.arange(length).float()[:, None] * frequency
    return angle.cos(), angle.sin()


def _rotate(x, cos, sin):
    """Rotate neighbouring pairs, ggml's "NORM" rope of the llama architecture: trained this way
    round, Q and K need no permutation in the file.  x: (B, heads, T, head_dim)"""
    even, odd = x.unflatten(-1, (-1, 2)).unbind(-1)
    return torch.stack([even * cos - odd * sin, even * sin + odd * cos], -1).flatten(-2)


class Block(nn.Module):
    """Attention with grouped heads, then a gated feed-forward; both pre-normed."""

    def __init__(self, shape):
        super().__init__()
        width = shape["width"]
        self.heads, self.kv_heads = shape["heads"], shape["kv_heads"]
        self.head_dim = width // self.heads
        self.attn_norm = nn.RMSNorm(width, eps=shape["eps"])
        self.qkv = nn.Linear(width, width + 2 * self.kv_heads * self.head_dim, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.ffn_norm = nn.RMSNorm(width, eps=shape["eps"])
        self.gate_up = nn.Linear(width, 2 * shape["ffn"], bias=False)
        self.down = nn.Linear(shape["ffn"], width, bias=False)

    def forward(self, x, cos, sin, guide=None):
        """(B, T, width) -> same; appends head 0's scores (B, T, T) to `guide` if it is a list."""
        batch, length, width = x.shape
        qkv = self.qkv(self.attn_norm(x)).view(batch, length, -1, self.head_dim).transpose(1, 2)
        q, k, v = qkv.split([self.heads, self.kv_heads, self.kv_heads], 1)
        q, k = _rotate(q, cos, sin).to(v.dtype), _rotate(k, cos, sin).to(v.dtype)
        if guide is not None:
            guide.append(q[:, 0] @ k[:, 0].transpose(1, 2) / math.sqrt(self.head_dim))
        shape = (batch, self.kv_heads, self.heads // self.kv_heads, length, self.head_dim)
        k, v = (t[:, :, None].expand(shape).reshape(batch, self.heads, length, self.head_dim)
                for t in (k, v))
        seen = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(seen.transpose(1, 2).reshape(batch, length, width))
        gate, up = self.gate_up(self.ffn_norm(x)).chunk(2, -1)
        return x + self.down(F.silu(gate) * up)


class MicroLM(nn.Module):
    """llama architecture with tied embeddings; `shape` as SHAPE."""

    def __init__(self, shape):
        super().__init__()
        self.shape = dict(shape)
        width = shape["width"]
        self.embed = nn.Embedding(shape["vocab"], width)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape["layers"]))
        self.norm = nn.RMSNorm(width, eps=shape["eps"])
        cos, sin = _rope_tables(shape["context"], width // shape["heads"], shape["rope_base"])
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        for name, p in self.named_parameters():
            if p.dim() == 2:
                nn.init.normal_(p, std=0.02 if "embed" in name else 1 / math.sqrt(p.shape[1]))
            if name.endswith(("out.weight", "down.weight")):
                p.data /= math.sqrt(2 * shape["layers"])

    def hidden(self, x, guide=None):
        """Embeddings (B, T, width) -> final hidden states (B, T, width)"""
        length = x.shape[1]
        cos, sin = self.cos[:length].to(x.dtype), self.sin[:length].to(x.dtype)
        for i, block in enumerate(self.blocks):
            x = block(x, cos, sin, guide if i in GUIDED else None)
        return self.norm(x)

    def logits(self, hidden):
        """The output matrix is the embedding."""
        return hidden @ self.embed.weight.T

    def loss(self, x, targets, spans=None):
        """x: (B, T, width) embeddings -> (answer loss, guide loss)

        With spans, head 0 of the GUIDED layers is asked to look at the line(s) that the next token
        comes from.  It only speeds up learning: joins went from 9 % to over 70 % exact with it, and
        the model stays a plain llama.
        """
        guide = [] if spans is not None else None
        hidden = self.hidden(x, guide)
        keep = targets != IGNORED
        answer = F.cross_entropy(self.logits(hidden[keep]).float(), targets[keep])
        return answer, _guide_loss(guide, spans) if guide else torch.zeros(())


def _guide_loss(guide, spans):
    """-log of the attention that falls on the wanted lines. guide: two (B, T, T) score tables."""
    rows, times = (spans[..., 1] > 0).nonzero(as_tuple=True)
    if not len(rows):
        return torch.zeros(())
    place = torch.arange(spans.shape[1])
    first, last = spans[rows, times, :2], spans[rows, times, 2:]
    total = 0.0
    for scores, wanted in zip(guide, [first, last]):
        start, end = wanted.unbind(-1)
        future = place[None] > times[:, None]
        weight = scores[rows, times].float().masked_fill(future, -1e9).softmax(-1)
        inside = (place[None] >= start[:, None]) & (place[None] < end[:, None])
        total = total - (weight * inside).sum(-1).clamp_min(1e-6).log().mean()
    return total


@torch.no_grad()
def exact(model, codec, turns, answer):
    """Whether greedy decoding would give exactly `answer`.

    It does if and only if the arg-max is right at every position of the answer, so one forward
    pass is enough: no decoding loop.
    """
    inputs, targets, _ = pad_batch([codec.chat(turns + [("assistant", answer)])],
                                   codec.id[PAD])
    learn = targets[0] != IGNORED
    best = model.logits(model.hidden(model.embed(inputs))[0, learn]).argmax(-1)
    return bool((best == targets[0, learn]).all())


@torch.no_grad()
def generate(model, codec, turns, limit=240):
    """Greedy answer, without a cache: for checks, not for speed."""
    ids = codec.prompt(turns)
    start = len(ids)
    while len(ids) < start + limit:
        hidden = model.hidden(model.embed(torch.tensor([ids])))
        best = int(model.logits(hidden[0, -1]).argmax())
        if best == codec.id[END]:
            break
        ids.append(best)
    return codec.tokenizer.decode(ids[start:])


# ---------------------------------------------------------------- optimizer
class Optimizer:
    """Muon for the matrices of the blocks, AdamW for embeddings, norms and biases.

    With AdamW alone the maps were 8 % exact after 160 s; Muon (torch 2.9 or later) and one-line
    chats first: 19 % after 70 s, 69 % after 8 minutes.
    """

    def __init__(self, named_parameters, rate):
        named = [(n, p) for n, p in named_parameters if p.requires_grad]
        matrices = [p for n, p in named if p.dim() == 2 and "block" in n]
        others = [p for n, p in named if not (p.dim() == 2 and "block" in n)]
        self.rate = rate
        self.parts = [torch.optim.AdamW(others, lr=rate, weight_decay=0.0, betas=(0.9, 0.98))]
        if matrices:
            self.parts.append(torch.optim.Muon(matrices, lr=rate, weight_decay=0.02, momentum=0.95,
                                               adjust_lr_fn="match_rms_adamw"))
        self.parameters = [p for _, p in named]

    def step(self, loss, factor):
        """One update with learning rate `rate * factor`."""
        for part in self.parts:
            part.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        for part in self.parts:
            for group in part.param_groups:
                group["lr"] = self.rate * factor
            part.step()


def schedule(fraction, warmup=0.03):
    """Learning-rate factor at `fraction` of the run: warm-up, then cosine down to 2 %."""
    if fraction < warmup:
        return max(fraction, 1e-3) / warmup
    done = min(1.0, (fraction - warmup) / (1 - warmup))
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done))
