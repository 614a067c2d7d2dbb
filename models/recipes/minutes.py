"""Train the micro minutes model and write it as GGUF (F16)."""
import random
import time

import torch

import chats
import gguf_files
import grammar
import lm

BATCH_TOKENS = 2048
POOL = 256                               # chats that are sorted by length together
RATE, RATE_RESUMED = 3e-3, 6e-4
GUIDE_WEIGHT = 0.2
CURRICULUM_START = 0.12                  # length of the first chats, 1 = full
TEST_CASES, TEST_CASES_SHORT = 100, 20    # the latter for runs of a few minutes
SHORT_MINUTES = 5


def prompt_of(turns):
    """Everything before the first answer: an example's identity for the held-out sets."""
    return "\n".join(text for _, text in turns[:1 + (turns[0][0] == "system")])


def held_out_sets(count):
    """{task: [(turns, answer)]}: fixed cases that training skips."""
    sets = {}
    for i, task in enumerate(["map", "reduce", "join_on", "chat"]):
        rng, cases = random.Random(f"held out {i}"), {}
        while len(cases) < count:
            turns = chats.TASKS[task][0](rng)[:2]
            if prompt_of(turns) not in chats.GREETINGS:
                cases.setdefault(prompt_of(turns), (turns[:-1], turns[-1][1]))
        sets[task] = list(cases.values())
    return sets


def batches(codec, rng, banned, hard, tokens=BATCH_TOKENS):
    """Endless batches of about `tokens` tokens, chats of similar length together."""
    while True:
        pool = []
        while len(pool) < POOL:
            turns = chats.example(rng, hard())
            if prompt_of(turns) not in banned:
                pool.append(codec.chat(turns, chats.sources))
        pool.sort(key=lambda sample: len(sample[0]))
        groups, group = [], []
        for sample in pool:
            if group and (len(group) + 1) * len(sample[0]) > tokens:
                groups.append(group)
                group = []
            group.append(sample)
        groups.append(group)
        rng.shuffle(groups)
        for group in groups:
            yield lm.pad_batch(group, codec.id[lm.PAD])


def accuracy(model, codec, sets):
    """{task: share of exactly right answers}"""
    return {task: sum(lm.exact(model, codec, *case) for case in cases) / len(cases)
            for task, cases in sets.items()}


def new_model():
    """-> (model, codec), untrained"""
    rng = random.Random(0)
    corpus = [text for _ in range(6000) for _, text in chats.example(rng)]
    tokenizer = lm.train_tokenizer(corpus + [grammar.PANEL_ASK] * 50, lm.SHAPE["vocab"])
    model = lm.MicroLM(dict(lm.SHAPE, vocab=tokenizer.get_vocab_size()))
    return model, lm.ChatCodec(tokenizer)


class Curriculum:
    """Short chats first; longer ones as time passes or the loss shows that they are learned."""

    def __init__(self, start, resumed):
        self.level = 1.0 if resumed else start
        self.mean = None
        self.fraction = 0.0

    def hard(self):
        return max(self.level, min(1.0, 2.2 * self.fraction))

    def saw(self, loss, fraction):
        self.fraction = fraction
        self.mean = loss if self.mean is None else 0.98 * self.mean + 0.02 * loss
        if self.mean < 0.2 and self.level < 1.0:
            self.level, self.mean = min(1.0, self.level + 0.125), 0.4


def train(out, minutes, seed=1, resume=None):
    """Train for so many minutes; writes OUT/micro-minutes.gguf at every tenth of the time."""
    torch.manual_seed(seed)
    path = f"{out}/micro-minutes.gguf"
    if resume:
        model, tokenizer = gguf_files.read_lm(resume)
        codec = lm.ChatCodec(tokenizer)
    else:
        model, codec = new_model()
    print(f"vocabulary {model.shape['vocab']}, parameters "
          f"{sum(p.numel() for p in model.parameters())}", flush=True)
    tests = held_out_sets(TEST_CASES if minutes >= SHORT_MINUTES else TEST_CASES_SHORT)
    banned = {prompt_of(turns) for cases in tests.values() for turns, _ in cases}
    optimizer = lm.Optimizer(model.named_parameters(), RATE_RESUMED if resume else RATE)
    curriculum = Curriculum(CURRICULUM_START, bool(resume))
    stream = batches(codec, random.Random(f"minutes {seed}"), banned, curriculum.hard)
    begin, step, next_test = time.time(), 0, 0.1
    while (fraction := (time.time() - begin) / (60 * minutes)) < 1:
        inputs, targets, spans = next(stream)
        # fast with AMX or AVX512-BF16, harmless elsewhere
        with torch.autocast("cpu", torch.bfloat16):
            loss, guide = model.loss(model.embed(inputs), targets, spans)
        optimizer.step(loss + GUIDE_WEIGHT * guide, lm.schedule(fraction))
        curriculum.saw(loss.item(), fraction)
        step += 1
        if step % 50 == 0:
            print(f"{time.time() - begin:6.0f} s  step {step:5d}  loss {curriculum.mean:.4f}  "
                  f"guide {guide.item():.3f}  level {curriculum.hard():.2f}", flush=True)
        if fraction > next_test:
            next_test += 0.1
            print("  exact:", accuracy(model, codec, tests), flush=True)
            gguf_files.write_lm(path, model, codec.tokenizer, "micro-minutes")
    result = accuracy(model, codec, tests)
    print("exact:", result, flush=True)
    gguf_files.write_lm(path, model, codec.tokenizer, "micro-minutes")
    return result
