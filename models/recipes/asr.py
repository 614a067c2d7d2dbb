"""The micro speech model: whisper's architecture for a 40-word language, as whisper.cpp's ggml."""
import math
import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

import asr_data
import grammar
import lm
import whisper_file

WIDTH, HEADS, LAYERS = 96, 3, 4
BANDS, AUDIO_CONTEXT, TEXT_CONTEXT = 80, 200, 64
# The number of tokens decides in whisper.cpp that a model is English-only: it must stay.
VOCABULARY = 51864
END, START, NO_TIMES, TIME_ZERO = 50256, 50257, 50362, 50363
TIMES = 201                              # time tokens of 20 ms that the 4 s window needs
BATCH = 24
RATE, RATE_RESUMED = 1.5e-3, 6e-4
CTC_WEIGHT = 0.3
RENDERINGS, TEST_RENDERINGS = 5000, 200


class Attention(nn.Module):
    """whisper's: the key has no bias."""

    def __init__(self):
        super().__init__()
        self.query, self.value = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.key = nn.Linear(WIDTH, WIDTH, bias=False)
        self.out = nn.Linear(WIDTH, WIDTH)

    def forward(self, x, memory=None, causal=False):
        """x: (B, T, WIDTH); looks at `memory` (B, S, WIDTH) or at itself"""
        memory = x if memory is None else memory
        q, k, v = (t.view(*t.shape[:2], HEADS, -1).transpose(1, 2)
                   for t in (self.query(x), self.key(memory), self.value(memory)))
        seen = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
        return self.out(seen.transpose(1, 2).reshape(x.shape))


class Block(nn.Module):
    """Names of the parts are those of whisper's files."""

    def __init__(self, cross):
        super().__init__()
        self.cross = cross
        self.attn, self.attn_ln = Attention(), nn.LayerNorm(WIDTH)
        if cross:
            self.cross_attn, self.cross_attn_ln = Attention(), nn.LayerNorm(WIDTH)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(approximate="tanh"),
                                 nn.Linear(4 * WIDTH, WIDTH))
        self.mlp_ln = nn.LayerNorm(WIDTH)

    def forward(self, x, audio=None):
        x = x + self.attn(self.attn_ln(x), causal=self.cross)
        if self.cross:
            x = x + self.cross_attn(self.cross_attn_ln(x), audio)
        return x + self.mlp(self.mlp_ln(x))


def _sinusoids(length, channels):
    step = torch.exp(-math.log(10000) / (channels // 2 - 1) * torch.arange(channels // 2))
    angle = torch.arange(length)[:, None] * step[None]
    return torch.cat([angle.sin(), angle.cos()], 1)


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv1d(BANDS, WIDTH, 3, padding=1)
        self.conv2 = nn.Conv1d(WIDTH, WIDTH, 3, stride=2, padding=1)
        self.register_buffer("positional_embedding", _sinusoids(AUDIO_CONTEXT, WIDTH))
        self.blocks = nn.ModuleList(Block(False) for _ in range(LAYERS))
        self.ln_post = nn.LayerNorm(WIDTH)

    def forward(self, mel):
        """(B, BANDS, 2 * AUDIO_CONTEXT) -> (B, AUDIO_CONTEXT, WIDTH)"""
        x = F.gelu(self.conv1(mel), approximate="tanh")
        x = F.gelu(self.conv2(x), approximate="tanh").transpose(1, 2) + self.positional_embedding
        for block in self.blocks:
            x = block(x)
        return self.ln_post(x)


class Decoder(nn.Module):
    """Trains the `used` tokens and one more row, which stands for all the other thousands."""

    def __init__(self, used):
        super().__init__()
        self.used = used
        self.emb = nn.Parameter(torch.randn(used + 1, WIDTH) * 0.05)
        self.positional_embedding = nn.Parameter(torch.randn(TEXT_CONTEXT, WIDTH) * 0.01)
        self.blocks = nn.ModuleList(Block(True) for _ in range(LAYERS))
        self.ln = nn.LayerNorm(WIDTH)

    def forward(self, tokens, audio):
        x = self.emb[tokens] + self.positional_embedding[:tokens.shape[1]]
        for block in self.blocks:
            x = block(x, audio)
        scores = self.ln(x) @ self.emb.T
        others = math.log(VOCABULARY - self.used)
        return torch.cat([scores[..., :-1], scores[..., -1:] + others], -1)


class Recogniser(nn.Module):
    """Encoder, decoder, and a head for the CTC loss that only helps the training."""

    def __init__(self, vocabulary):
        super().__init__()
        words = [vocabulary[f" {word}".encode()] for word in grammar.WORDS]
        self.tokens = words + [END, START, NO_TIMES] + list(range(TIME_ZERO, TIME_ZERO + TIMES))
        self.place = {token: i for i, token in enumerate(self.tokens)}
        self.encoder, self.decoder = Encoder(), Decoder(len(self.tokens))
        self.ctc = nn.Linear(WIDTH, len(grammar.WORDS) + 1)

    def targets(self, rng, words, seconds):
        """-> (tokens, what follows each): with time tokens in most cases, as whisper is asked."""
        body = [grammar.WORDS.index(word) for word in words]
        end = self.place[END]
        if rng.random() < 0.7:
            ticks = min(TIMES - 1, round(seconds * 10) * 5)
            tokens = [self.place[START], self.place[TIME_ZERO], *body,
                      self.place[TIME_ZERO + ticks], end]
            return tokens[:-1], tokens[1:]
        tokens = [self.place[START], self.place[NO_TIMES], *body, end]
        return tokens[:-1], [lm.IGNORED] + tokens[2:]

    def tensors(self):
        """{name in the file: tensor}"""
        table = self.decoder.emb[-1:].detach().repeat(VOCABULARY, 1)
        table[self.tokens] = self.decoder.emb[:-1].detach()
        named = {f"encoder.{name}": t for name, t in self.encoder.state_dict().items()}
        named.update({f"decoder.{name}": t for name, t in self.decoder.state_dict().items()
                      if name != "emb"})
        named["decoder.token_embedding.weight"] = table
        return named

    def load(self, tensors):
        """Take over the weights of a file (not the CTC head: it is not in there)."""
        table = tensors["decoder.token_embedding.weight"]
        unused = next(i for i in range(VOCABULARY) if i not in self.place)
        with torch.no_grad():
            self.decoder.emb.copy_(table[self.tokens + [unused]])
            for name, own in [*self.encoder.state_dict(prefix="encoder.").items(),
                              *self.decoder.state_dict(prefix="decoder.").items()]:
                if name != "decoder.emb":
                    own.copy_(tensors[name].reshape(own.shape))


def write(path, model, head, quantised):
    """The ggml file; 4.9 MB as Q5_0, 12.9 MB as F16, most of it rows of unused tokens."""
    shape = [VOCABULARY, AUDIO_CONTEXT, WIDTH, HEADS, LAYERS, TEXT_CONTEXT, WIDTH, HEADS, LAYERS,
             BANDS]
    whisper_file.write(path, head, shape, model.tensors(), quantised)


# ---------------------------------------------------------------- training
def _batch(rng, model, filters, data):
    """-> mel (B, BANDS, frames), inputs (B, T), targets (B, T), [word numbers of each]"""
    mels, pairs, words = [], [], []
    for i in rng.integers(0, len(data), BATCH):
        text, samples = data[i]
        heard = asr_data.disturbed(rng, samples)
        mels.append(asr_data.log_mel(heard, filters))
        pairs.append(model.targets(rng, text.split(), len(heard) / asr_data.speech.RATE))
        words.append(torch.tensor([grammar.WORDS.index(word) + 1 for word in text.split()]))
    mel = torch.from_numpy(np.stack(mels))
    first = int(rng.integers(0, 70))     # a light SpecAugment: some bands are silent
    mel[:, first:first + int(rng.integers(0, 10))] = mel.min()
    length = max(len(tokens) for tokens, _ in pairs)
    inputs = torch.full((BATCH, length), model.place[END])
    targets = torch.full((BATCH, length), lm.IGNORED)
    for row, (tokens, wanted) in enumerate(pairs):
        inputs[row, :len(tokens)] = torch.tensor(tokens)
        targets[row, :len(wanted)] = torch.tensor(wanted)
    return mel, inputs, targets, words


def _loss(model, mel, inputs, targets, words):
    audio = model.encoder(mel)
    answer = F.cross_entropy(model.decoder(inputs, audio).flatten(0, 1), targets.flatten())
    guess = model.ctc(audio).log_softmax(-1).transpose(0, 1)
    aligned = F.ctc_loss(guess, torch.cat(words), torch.full((len(words),), AUDIO_CONTEXT),
                         torch.tensor([len(word) for word in words]))
    return answer, aligned


@torch.no_grad()
def sentences_right(model, filters, data, seed=0):
    """Share of renderings whose every token is right (greedy, with time tokens left out)."""
    rng, right = np.random.default_rng(seed), 0
    for text, samples in data:
        mel = torch.from_numpy(asr_data.log_mel(asr_data.disturbed(rng, samples), filters))[None]
        body = [grammar.WORDS.index(word) for word in text.split()]
        tokens = [model.place[START], model.place[NO_TIMES], *body]
        best = model.decoder(torch.tensor([tokens]), model.encoder(mel))[0, 1:].argmax(-1).tolist()
        right += best == [*body, model.place[END]]
    return right / len(data)


def train(out, minutes, head, seed=1, resume=None, count=RENDERINGS):
    """Train for so many minutes; writes micro-asr-f16.bin and the quantised micro-asr.bin."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    head = whisper_file.Head(whisper_file.head_path(head))
    model = Recogniser(head.vocabulary)
    if resume:
        model.load(whisper_file.read(resume)[1])
    print(f"rendering {count} sentences with espeak-ng", flush=True)
    data = asr_data.renderings(count, seed)
    tests = asr_data.renderings(min(TEST_RENDERINGS, count), "test", held=True)
    parameters = list(model.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=RATE, weight_decay=0.01)
    begin, step, next_test = time.time(), 0, 0.1
    while (fraction := (time.time() - begin) / (60 * minutes)) < 1:
        answer, aligned = _loss(model, *_batch(rng, model, head.filters, data))
        optimizer.zero_grad()
        (answer + CTC_WEIGHT * aligned).backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        for group in optimizer.param_groups:
            group["lr"] = (RATE_RESUMED if resume else RATE) * lm.schedule(fraction)
        optimizer.step()
        step += 1
        if step % 50 == 0:
            print(f"{time.time() - begin:6.0f} s  step {step:5d}  loss {answer.item():.3f}  "
                  f"ctc {aligned.item():.3f}", flush=True)
        if fraction > next_test:
            next_test += 0.1
            print(f"  sentences right: {sentences_right(model, head.filters, tests):.3f}",
                  flush=True)
            write(f"{out}/micro-asr-f16.bin", model, head, quantised=False)
    result = sentences_right(model, head.filters, tests)
    print(f"held-out sentences right: {result:.3f}", flush=True)
    write(f"{out}/micro-asr-f16.bin", model, head, quantised=False)
    write(f"{out}/micro-asr.bin", model, head, quantised=True)
    return result
