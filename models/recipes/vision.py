"""Train the micro vision model: a CLIP-type ViT and an MLP projector (LLaVA) before the minutes LM.

First the ViT alone: every patch must name the thing and the value of its tile.  That supervision is
dense and cheap, and its two heads are thrown away later.  Then ViT, projector and language model
together on "What is on the screen?", mixed with minutes so that the language model keeps its job.
"""
import random
import time

import gguf
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

import gguf_files
import grammar
import lm
import minutes
import panels

# For the projector type "mlp" llama.cpp swaps ffn_up and ffn_down where ffn_down's first dimension
# is the ViT's width: so the feed-forward width must be another.
VIT = {"layers": 4, "width": 128, "heads": 4, "ffn": 384, "eps": 1e-5}
ACROSS = panels.SIZE // panels.PATCH
SLOT_ROWS, SLOT_COLUMNS = ACROSS // panels.ROWS, ACROSS // panels.COLUMNS   # patches of a slot
VALUES = (["on", "off"] + grammar.COLOURS + ["open", "closed", "playing", "stopped"]
          + grammar.values_of("timer"))
VIT_SHARE = 0.55                         # of the time, for the ViT alone
BATCH = 16
RATE_VIT, RATE_JOINT = 3e-3, 1.5e-3
GUIDE_WEIGHT, DENSE_WEIGHT, CHAT_WEIGHT = 0.2, 0.2, 0.5
CHAT_EVERY, CHAT_TOKENS = 4, 1024
TEST_PANELS = 100


# ---------------------------------------------------------------- data
def random_panel(rng, held=False):
    """-> (image, bullets, labels (ACROSS, ACROSS, 2): thing and value per patch, slots)"""
    tiles = panels.random_tiles(rng, wanted_pairs=held)
    image, slots = panels.draw(rng, tiles)
    labels = np.zeros((ACROSS, ACROSS, 2), np.int64)
    for slot, (thing, value) in zip(slots, tiles):
        row, column = slot // panels.COLUMNS * SLOT_ROWS, slot % panels.COLUMNS * SLOT_COLUMNS
        labels[row:row + SLOT_ROWS, column:column + SLOT_COLUMNS] = (
            grammar.THINGS.index(thing) + 1, VALUES.index(value) + 1)
    return image, "\n".join(grammar.bullet(*tile) for tile in tiles), labels, slots


def pixels(image):
    """PIL image -> (3, SIZE, SIZE) in -1..1 (the file says mean 0.5, deviation 0.5)"""
    return np.asarray(image, np.float32).transpose(2, 0, 1) / 127.5 - 1


def panel_batch(rng, count):
    """-> images (B, 3, SIZE, SIZE), texts, labels (B, ACROSS, ACROSS, 2), slots of each"""
    made = [random_panel(rng) for _ in range(count)]
    images, texts, labels, slots = zip(*made)
    return (torch.from_numpy(np.stack([pixels(image) for image in images])), texts,
            torch.from_numpy(np.stack(labels)), slots)


def held_out(count):
    """[(image, text)] of panels that training never draws: they contain held pairs."""
    rng, cases = random.Random("held out panels"), {}
    while len(cases) < count:
        image, text, _, slots = random_panel(rng, held=True)
        if len(slots) > 1:               # a single tile has no pair
            cases.setdefault(text, image)
    return [(image, text) for text, image in cases.items()]


# ---------------------------------------------------------------- model
class VitBlock(nn.Module):
    def __init__(self, shape):
        super().__init__()
        width = shape["width"]
        self.heads = shape["heads"]
        self.ln1 = nn.LayerNorm(width, eps=shape["eps"])
        self.ln2 = nn.LayerNorm(width, eps=shape["eps"])
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, shape["ffn"]), nn.Linear(shape["ffn"], width)

    def forward(self, x):
        """(B, patches, width) -> same"""
        batch, count, width = x.shape
        q, k, v = self.qkv(self.ln1(x)).view(batch, count, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(q, k, v)
        x = x + self.out(seen.transpose(1, 2).reshape(batch, count, width))
        # clip.use_gelu must be true, else llama.cpp takes quick-GELU; ggml's GELU is the tanh form
        return x + self.down(F.gelu(self.up(self.ln2(x)), approximate="tanh"))


class PanelVit(nn.Module):
    def __init__(self, shape, lm_width):
        super().__init__()
        self.shape, width = shape, shape["width"]
        self.patch = nn.Conv2d(3, width, panels.PATCH, panels.PATCH)
        self.position = nn.Parameter(0.02 * torch.randn(ACROSS * ACROSS, width))
        self.pre_ln = nn.LayerNorm(width, eps=shape["eps"])
        self.blocks = nn.ModuleList(VitBlock(shape) for _ in range(shape["layers"]))
        self.post_ln = nn.LayerNorm(width, eps=shape["eps"])
        self.mm0, self.mm2 = nn.Linear(width, 2 * lm_width), nn.Linear(2 * lm_width, lm_width)
        self.thing_head = nn.Linear(width, len(grammar.THINGS) + 1)     # training only
        self.value_head = nn.Linear(width, len(VALUES) + 1)             # training only

    def features(self, images):
        """(B, 3, SIZE, SIZE) -> (B, patches, width)"""
        x = self.pre_ln(self.patch(images).flatten(2).transpose(1, 2) + self.position)
        for block in self.blocks:
            x = block(x)
        return self.post_ln(x)

    def project(self, features):
        """(B, patches, width) -> (B, patches, width of the language model)"""
        return self.mm2(F.gelu(self.mm0(features), approximate="tanh"))

    def dense_loss(self, features, labels):
        """labels: (B, ACROSS, ACROSS, 2)"""
        labels = labels.flatten(1, 2)
        return sum(F.cross_entropy(head(features).float().flatten(0, 1), labels[..., i].flatten())
                   for i, head in enumerate([self.thing_head, self.value_head]))


def _panel_sample(codec, rng, text):
    """-> (ids before the picture, ids after it, learn, line of the answer per id or -1)

    The picture is followed by a line break in llama-server and by none in llama-mtmd-cli: both are
    trained.
    """
    asked = rng.choice(["", "\n"]) + grammar.PANEL_ASK
    ids, learn, _ = codec.chat([("user", asked), ("assistant", text)])
    line, lines = -1, []
    for i, wanted in enumerate(learn):
        if wanted and (not learn[i - 1] or ids[i - 1] == codec.newline):
            line += 1
        lines.append(line if wanted else -1)
    return ids[:3], ids[3:], learn[3:], lines[3:]


def panel_inputs(model, codec, rng, pictures, texts, slots=None):
    """pictures (B, patches, width) -> inputs (B, T, width), targets (B, T), spans (B, T, 4)

    slots[b][i] is the slot of line i; its span is the middle row of that tile's patches.
    """
    batch, patches, _ = pictures.shape
    samples = [_panel_sample(codec, rng, text) for text in texts]
    head = len(samples[0][0]) + patches
    length = head + max(len(suffix) for _, suffix, _, _ in samples) - 1
    ids = torch.full((batch, length - head), codec.id[lm.PAD])
    targets = torch.full((batch, length), lm.IGNORED)
    spans = torch.zeros((batch, length, 4), dtype=torch.long)
    for row, (_, suffix, learn, lines) in enumerate(samples):
        n = len(suffix) - 1
        ids[row, :n] = torch.tensor(suffix[:-1])
        targets[row, head:head + n] = torch.tensor(
            [t if wanted else lm.IGNORED for t, wanted in zip(suffix[1:], learn[1:])])
        for i, line in enumerate(lines[1:]):
            if slots and line >= 0:
                slot = slots[row][line]
                at = ((slot // panels.COLUMNS * SLOT_ROWS + 1) * ACROSS
                      + slot % panels.COLUMNS * SLOT_COLUMNS + head - patches)
                spans[row, head + i] = torch.tensor([at, at + SLOT_COLUMNS] * 2)
    before = model.embed(torch.tensor([samples[0][0]] * batch))
    after = model.embed(ids)
    return torch.cat([before, pictures.to(before.dtype), after], 1), targets, spans


@torch.no_grad()
def accuracy(vit, model, codec, cases):
    """Share of exactly right lists (see lm.exact)."""
    right = 0
    for image, text in cases:
        pictures = vit.project(vit.features(torch.from_numpy(pixels(image))[None]))
        x, targets, _ = panel_inputs(model, codec, random.Random(0), pictures, [text])
        learn = targets[0] != lm.IGNORED
        best = model.logits(model.hidden(x)[0, learn]).argmax(-1)
        right += bool((best == targets[0, learn]).all())
    return right / len(cases)


# ---------------------------------------------------------------- file
def _add_vit_facts(writer, shape, lm_width):
    writer.add_type("mmproj")
    writer.add_name("micro-vision")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_bool("clip.has_vision_encoder", True)
    writer.add_string("clip.projector_type", "mlp")
    writer.add_bool("clip.use_gelu", True)
    for key, value in [("image_size", panels.SIZE), ("patch_size", panels.PATCH),
                       ("embedding_length", shape["width"]),
                       ("feed_forward_length", shape["ffn"]), ("block_count", shape["layers"]),
                       ("projection_dim", lm_width), ("attention.head_count", shape["heads"])]:
        writer.add_uint32(f"clip.vision.{key}", value)
    writer.add_float32("clip.vision.attention.layer_norm_epsilon", shape["eps"])
    # Without it llama.cpp's llava graph runs one block less than there are.
    writer.add_array("clip.vision.feature_layer", [shape["layers"]])
    writer.add_array("clip.vision.image_mean", [0.5, 0.5, 0.5])
    writer.add_array("clip.vision.image_std", [0.5, 0.5, 0.5])


def _add_module(writer, name, module):
    gguf_files.add_tensor(writer, name + ".weight", module.weight)
    gguf_files.add_tensor(writer, name + ".bias", module.bias)


def write_mmproj(path, vit, lm_width):
    """ViT and projector in the layout of llama.cpp's mmproj files."""
    writer = gguf.GGUFWriter(path, "clip")
    _add_vit_facts(writer, vit.shape, lm_width)
    _add_module(writer, "v.patch_embd", vit.patch)
    gguf_files.add_tensor(writer, "v.position_embd.weight", vit.position, half=False)
    for name, module in [("v.pre_ln", vit.pre_ln), ("v.post_ln", vit.post_ln),
                         ("mm.0", vit.mm0), ("mm.2", vit.mm2)]:
        _add_module(writer, name, module)
    for i, block in enumerate(vit.blocks):
        for name, module in [("ln1", block.ln1), ("ln2", block.ln2), ("attn_out", block.out),
                             ("ffn_up", block.up), ("ffn_down", block.down)]:
            _add_module(writer, f"v.blk.{i}.{name}", module)
        for name, weight, bias in zip("qkv", block.qkv.weight.chunk(3), block.qkv.bias.chunk(3)):
            gguf_files.add_tensor(writer, f"v.blk.{i}.attn_{name}.weight", weight)
            gguf_files.add_tensor(writer, f"v.blk.{i}.attn_{name}.bias", bias)
    gguf_files.finish(writer)


# ---------------------------------------------------------------- training
def _train_vit(vit, rng, seconds):
    optimizer = lm.Optimizer([(name, p) for name, p in vit.named_parameters()
                              if not name.startswith("mm")], RATE_VIT)
    begin, step = time.time(), 0
    while (elapsed := time.time() - begin) < seconds:
        images, _, labels, _ = panel_batch(rng, BATCH)
        with torch.autocast("cpu", torch.bfloat16):
            features = vit.features(images)
        loss = vit.dense_loss(features.float(), labels)
        optimizer.step(loss, lm.schedule(0.7 * elapsed / seconds))
        step += 1
        if step % 50 == 0:
            print(f"{elapsed:6.0f} s  ViT step {step:5d}  dense loss {loss.item():.4f}", flush=True)


def _joint_loss(vit, model, codec, rng):
    images, texts, labels, slots = panel_batch(rng, BATCH // 2)
    with torch.autocast("cpu", torch.bfloat16):
        features = vit.features(images)
        inputs = panel_inputs(model, codec, rng, vit.project(features), texts, slots)
        answer, guide = model.loss(*inputs)
    loss = answer + GUIDE_WEIGHT * guide + DENSE_WEIGHT * vit.dense_loss(features.float(), labels)
    return loss, answer.item()


def _train_joint(vit, model, codec, rng, seconds, tests):
    named = [(f"vit.{name}", p) for name, p in vit.named_parameters()]
    named += [(f"lm.{name}", p) for name, p in model.named_parameters()]
    optimizer = lm.Optimizer(named, RATE_JOINT)
    chats = minutes.batches(codec, random.Random("vision chats"), set(), lambda: 1.0, CHAT_TOKENS)
    begin, step, next_test = time.time(), 0, 0.25
    while (elapsed := time.time() - begin) < seconds:
        loss, answer = _joint_loss(vit, model, codec, rng)
        if step % CHAT_EVERY == 0:
            ids, targets, spans = next(chats)
            with torch.autocast("cpu", torch.bfloat16):
                chat, guide = model.loss(model.embed(ids), targets, spans)
            loss = loss + CHAT_WEIGHT * (chat + GUIDE_WEIGHT * guide)
        optimizer.step(loss, lm.schedule(elapsed / seconds))
        step += 1
        if step % 50 == 0:
            print(f"{elapsed:6.0f} s  joint step {step:5d}  answer loss {answer:.4f}", flush=True)
        if elapsed / seconds > next_test:
            next_test += 0.25
            print("  panels exact:", accuracy(vit, model, codec, tests[:50]), flush=True)


def train(out, minutes_of_time, language_model, seed=1):
    """Train on top of `language_model` (a micro-minutes.gguf); writes both files of the model."""
    torch.manual_seed(seed)
    model, tokenizer = gguf_files.read_lm(language_model)
    codec = lm.ChatCodec(tokenizer)
    vit = PanelVit(VIT, model.shape["width"])
    print(f"ViT and projector: {sum(p.numel() for p in vit.parameters())} parameters", flush=True)
    rng, tests = random.Random(f"vision {seed}"), held_out(TEST_PANELS)
    _train_vit(vit, rng, 60 * minutes_of_time * VIT_SHARE)
    _train_joint(vit, model, codec, rng, 60 * minutes_of_time * (1 - VIT_SHARE), tests)
    result = accuracy(vit, model, codec, tests)
    print(f"held-out panels exact: {result:.3f}", flush=True)
    gguf_files.write_lm(f"{out}/micro-vision.gguf", model, tokenizer, "micro-vision")
    write_mmproj(f"{out}/micro-vision-mmproj.gguf", vit, model.shape["width"])
    return result
