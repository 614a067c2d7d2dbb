"""The micro sentence-embedding model: llama.cpp's architecture `bert`, trained by contrast.

Two texts of one command are pulled together, texts of other commands in the batch (many of them
chosen to be easily confused) are pushed away.
"""
import math
import random
import string
import time

import gguf
import torch
import torch.nn.functional as F
from torch import nn

import gguf_files
import grammar
import lm
import paraphrases

SHAPE = {"layers": 3, "width": 96, "heads": 3, "ffn": 256, "context": 128, "eps": 1e-12}
PAD, UNKNOWN, CLS, SEP, MASK = "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"
SPECIALS = [PAD, UNKNOWN, CLS, SEP, MASK]
WORD_START = "\u2581"                    # llama.cpp's mark of a word's first piece (not "##")
GROUPS, GROUP = 24, 4                    # a batch: so many meanings, each with near neighbours
TEMPERATURE = 0.05
RATE = 2e-3
TEST_QUERIES, TEST_CALLS = 500, 200


# ---------------------------------------------------------------- vocabulary
def build_vocabulary():
    """Whole words of the paraphrases, then letters, so that any English word has a spelling."""
    rng = random.Random("embed vocabulary")
    words = set(grammar.WORDS)
    for _ in range(20000):
        text = paraphrases.random_text(rng, *paraphrases.random_meaning(rng))
        words |= {word for word in split_words(text) if word.isalnum()}
    letters = string.ascii_lowercase + string.digits
    pieces = SPECIALS + [WORD_START + c for c in letters + string.punctuation] + list(letters)
    pieces += [WORD_START + word for word in sorted(words) if len(word) > 1]
    return pieces + ["ing", "ed", "er", "ly"]


def split_words(text):
    """As llama.cpp's WPM: lower case, blanks separate, punctuation stands alone."""
    for mark in string.punctuation:
        text = text.replace(mark, f" {mark} ")
    return text.lower().split()


class WordPieces:
    """Longest-match tokenizer, exactly llama.cpp's for plain ASCII text."""

    def __init__(self, pieces):
        self.pieces = pieces
        self.id = {piece: i for i, piece in enumerate(pieces)}
        self.longest = max(map(len, pieces))

    def _word(self, word):
        marked, ids, at = WORD_START + word, [], 0
        while at < len(marked):
            for end in range(min(len(marked), at + self.longest), at, -1):
                if marked[at:end] in self.id:
                    ids.append(self.id[marked[at:end]])
                    at = end
                    break
            else:
                return [self.id[UNKNOWN]]
        return ids

    def encode(self, text):
        ids = [i for word in split_words(text) for i in self._word(word)]
        return [self.id[CLS]] + ids[:SHAPE["context"] - 2] + [self.id[SEP]]

    def batch(self, texts):
        """-> ids (B, T), mask (B, T) that is true where there is a token"""
        rows = [self.encode(text) for text in texts]
        ids = torch.full((len(rows), max(map(len, rows))), self.id[PAD])
        for i, row in enumerate(rows):
            ids[i, :len(row)] = torch.tensor(row)
        return ids, ids != self.id[PAD]


# ---------------------------------------------------------------- model
class Block(nn.Module):
    """BERT's block: the norm comes after each addition."""

    def __init__(self, shape):
        super().__init__()
        width = shape["width"]
        self.heads = shape["heads"]
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.attn_norm = nn.LayerNorm(width, eps=shape["eps"])
        self.up, self.down = nn.Linear(width, shape["ffn"]), nn.Linear(shape["ffn"], width)
        self.out_norm = nn.LayerNorm(width, eps=shape["eps"])

    def forward(self, x, mask):
        """x: (B, T, width), mask: (B, T)"""
        batch, length, width = x.shape
        q, k, v = self.qkv(x).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(q, k, v, attn_mask=mask[:, None, None, :])
        x = self.attn_norm(x + self.out(seen.transpose(1, 2).reshape(batch, length, width)))
        # ggml's GELU is the tanh form
        return self.out_norm(x + self.down(F.gelu(self.up(x), approximate="tanh")))


def _sinusoids(length, width):
    """Fixed positions: those beyond the training's lengths are not noise."""
    step = torch.exp(-math.log(10000) * torch.arange(0, width, 2) / width)
    angle = torch.arange(length)[:, None] * step
    return 0.3 * torch.cat([angle.sin(), angle.cos()], 1)


class Embedder(nn.Module):
    """Texts to unit vectors: mean over all tokens, [CLS] and [SEP] included, as llama.cpp does."""

    def __init__(self, shape, words):
        super().__init__()
        self.shape = dict(shape)
        self.embed = nn.Embedding(words, shape["width"])
        nn.init.normal_(self.embed.weight, std=0.3)
        self.register_buffer("position", _sinusoids(shape["context"], shape["width"]))
        self.norm = nn.LayerNorm(shape["width"], eps=shape["eps"])
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape["layers"]))

    def forward(self, ids, mask):
        x = self.norm(self.embed(ids) + self.position[:ids.shape[1]])
        for block in self.blocks:
            x = block(x, mask)
        keep = mask[..., None].float()
        return F.normalize((x * keep).sum(1) / keep.sum(1), dim=-1)


def write(path, model, vocabulary):
    """The GGUF file."""
    shape = model.shape
    writer = gguf.GGUFWriter(path, "bert")
    writer.add_name("micro-embed-en")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_context_length(shape["context"])
    writer.add_embedding_length(shape["width"])
    writer.add_block_count(shape["layers"])
    writer.add_feed_forward_length(shape["ffn"])
    writer.add_head_count(shape["heads"])
    writer.add_layer_norm_eps(shape["eps"])
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType.MEAN)
    writer.add_vocab_size(len(vocabulary.pieces))
    writer.add_tokenizer_model("bert")
    writer.add_token_list(vocabulary.pieces)
    writer.add_token_types([gguf.TokenType.CONTROL if piece in SPECIALS else gguf.TokenType.NORMAL
                            for piece in vocabulary.pieces])
    writer.add_token_type_count(1)       # llama.cpp refuses a bert without token types
    for add, piece in [(writer.add_bos_token_id, CLS), (writer.add_sep_token_id, SEP),
                       (writer.add_eos_token_id, SEP), (writer.add_unk_token_id, UNKNOWN),
                       (writer.add_pad_token_id, PAD), (writer.add_mask_token_id, MASK)]:
        add(vocabulary.id[piece])
    gguf_files.add_tensor(writer, "token_embd.weight", model.embed.weight)
    gguf_files.add_tensor(writer, "position_embd.weight", model.position, half=False)
    gguf_files.add_tensor(writer, "token_types.weight", torch.zeros(1, shape["width"]), half=False)
    _add_module(writer, "token_embd_norm", model.norm)
    for i, block in enumerate(model.blocks):
        for name, part in [("attn_output", block.out), ("attn_output_norm", block.attn_norm),
                           ("ffn_up", block.up), ("ffn_down", block.down),
                           ("layer_output_norm", block.out_norm)]:
            _add_module(writer, f"blk.{i}.{name}", part)
        for name, weight, bias in zip("qkv", block.qkv.weight.chunk(3), block.qkv.bias.chunk(3)):
            gguf_files.add_tensor(writer, f"blk.{i}.attn_{name}.weight", weight)
            gguf_files.add_tensor(writer, f"blk.{i}.attn_{name}.bias", bias)
    gguf_files.finish(writer)


def _add_module(writer, name, module):
    gguf_files.add_tensor(writer, name + ".weight", module.weight)
    gguf_files.add_tensor(writer, name + ".bias", module.bias)


# ---------------------------------------------------------------- training and test
def _meanings(rng):
    """Distinct meanings in groups of near neighbours."""
    chosen = []
    while len(chosen) < GROUPS * GROUP:
        meaning = paraphrases.random_meaning(rng)
        for _ in range(GROUP):
            if meaning not in chosen:
                chosen.append(meaning)
            meaning = paraphrases.neighbour(rng, meaning)
    return chosen[:GROUPS * GROUP]


def test_cases():
    """-> (sentences to search in, [(query, index of the right sentence)]), all queries held out"""
    rng = random.Random("embed test")
    meanings = [(t, v) for t in grammar.THINGS for v in grammar.values_of(t)]
    calls = set()
    while len(calls) < TEST_CALLS:
        calls.add(("call", grammar.random_value(rng, "call")))
    meanings += sorted(calls)
    asked = [rng.randrange(len(meanings)) for _ in range(TEST_QUERIES)]
    return ([grammar.spoken(*meaning) for meaning in meanings],
            [(paraphrases.text_for(rng, meanings[i], held=True), i) for i in asked])


@torch.no_grad()
def retrieval(model, vocabulary):
    """Share of held-out paraphrases whose nearest sentence is the right one."""
    sentences, queries = test_cases()
    documents = model(*vocabulary.batch(sentences))
    asked = model(*vocabulary.batch([query for query, _ in queries]))
    best = (asked @ documents.T).argmax(1).tolist()
    return sum(i == right for i, (_, right) in zip(best, queries)) / len(queries)


def train(out, minutes, seed=1):
    """Train for so many minutes and write micro-embed-en.gguf; returns the test figure."""
    torch.manual_seed(seed)
    rng = random.Random(f"embed {seed}")
    vocabulary = WordPieces(build_vocabulary())
    model = Embedder(SHAPE, len(vocabulary.pieces))
    optimizer = lm.Optimizer(model.named_parameters(), RATE)
    print(f"vocabulary {len(vocabulary.pieces)}, parameters "
          f"{sum(p.numel() for p in model.parameters())}", flush=True)
    begin, step = time.time(), 0
    while (fraction := (time.time() - begin) / (60 * minutes)) < 1:
        meanings = _meanings(rng)
        texts = [paraphrases.text_for(rng, m, held=False) for m in meanings + meanings]
        first, second = model(*vocabulary.batch(texts)).chunk(2)
        scores = first @ second.T / TEMPERATURE
        right = torch.arange(len(meanings))
        loss = F.cross_entropy(scores, right) + F.cross_entropy(scores.T, right)
        optimizer.step(loss, lm.schedule(fraction))
        step += 1
        if step % 200 == 0:
            print(f"{time.time() - begin:5.0f} s  step {step}  loss {loss.item():.4f}  "
                  f"retrieval {retrieval(model, vocabulary):.3f}", flush=True)
    result = retrieval(model, vocabulary)
    print(f"held-out retrieval, top 1 of {len(test_cases()[0])}: {result:.3f}", flush=True)
    write(f"{out}/micro-embed-en.gguf", model, vocabulary)
    return result
