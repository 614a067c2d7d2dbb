"""The small language that all micro models share: spoken commands, bullets, and who may see what.

Training, the meeting generator and the scoring import this one module, so a word or a rule exists
once.  Only the standard library is used: the demo must run on a machine without NumPy.

A *thing* is what a command is about ("kitchen light", "timer", "call"), a *value* what becomes of
it ("on", "5 minutes", "2 0 7"), a *bullet* the written form of both: "- kitchen light: on".
"""
import hashlib

NUMBERS = "zero one two three four five six seven eight nine ten".split()
DIGIT = {word: str(i) for i, word in enumerate(NUMBERS)}
WORD = {digit: word for word, digit in DIGIT.items()}
ROOMS = "kitchen bedroom office garage".split()
COLOURS = "red green blue white".split()
UNITS = ["minutes", "hours"]
CLOCKS = ["timer", "alarm"]
PLAYERS = ["music", "radio"]
THINGS = [f"{room} {what}" for what in ("light", "door", "window") for room in ROOMS]
THINGS += CLOCKS + PLAYERS

EMPTY = "- no actions"
MAP_HEAD = "Minutes of this part:"
REDUCE_HEAD = "Join these minutes:"
CHAT_HEAD = "Minutes:"
PANEL_ASK = "What is on the screen?"


def bullet(thing, value):
    """The written form of an action."""
    return f"- {thing}: {value}"


def values_of(thing):
    """Every value that a thing other than a call can take."""
    if thing.endswith("light"):
        return ["on", "off"] + COLOURS
    if thing in CLOCKS:
        return [f"{number} {unit}" for unit in UNITS for number in range(len(NUMBERS))]
    if thing in PLAYERS:
        return ["playing", "stopped"]
    return ["open", "closed"]


def random_value(rng, thing):
    """A value of `thing`; the values of one thing are equally likely."""
    if thing == "call":
        return " ".join(DIGIT[rng.choice(NUMBERS)] for _ in range(3))
    return rng.choice(values_of(thing))


def random_command(rng):
    """(thing, value) of a spoken command.

    The six sentence forms are equally likely, not the things: a model that hears few calls does
    not learn the numbers.
    """
    form = rng.randrange(6)
    room = rng.choice(ROOMS)
    if form == 0:
        return f"{room} light", rng.choice(["on", "off"])
    if form == 1:
        thing = rng.choice(CLOCKS)
        return thing, random_value(rng, thing)
    if form == 2:
        return f"{room} light", rng.choice(COLOURS)
    if form == 3:
        return "call", random_value(rng, "call")
    if form == 4:
        thing = f"{room} {rng.choice(['door', 'window'])}"
        return thing, random_value(rng, thing)
    thing = rng.choice(PLAYERS)
    return thing, random_value(rng, thing)


def spoken(thing, value):
    """The sentence that says a bullet: the only form of it that the grammar has."""
    if thing == "call":
        return "call " + " ".join(WORD[digit] for digit in value.split())
    if thing in CLOCKS:
        number, unit = value.split()
        return f"set the {thing} to {WORD[number]} {unit}"
    if thing in PLAYERS:
        return f"{'play' if value == 'playing' else 'stop'} the {thing}"
    if value in COLOURS:
        return f"make the {thing} {value}"
    if thing.endswith("light"):
        return f"turn {value} the {thing}"
    return f"{'open' if value == 'open' else 'close'} the {thing}"


def meaning(sentence):
    """(thing, value) of a clean sentence of the grammar; None for any other text."""
    words = sentence.split()
    if len(words) == 4 and words[0] == "call" and all(word in DIGIT for word in words[1:]):
        return "call", " ".join(DIGIT[word] for word in words[1:])
    for thing in THINGS:
        for value in values_of(thing) if words and words[-1] in SENTENCE_ENDS else ():
            if spoken(thing, value) == sentence:
                return thing, value
    return None


SENTENCE_ENDS = {spoken(thing, value).split()[-1] for thing in THINGS for value in values_of(thing)}
WORDS = sorted({word for thing in THINGS for value in values_of(thing)
                for word in spoken(thing, value).split()} | {"call"})


def about(line):
    """What a bullet is about; a call is about its number, so calls are only de-duplicated."""
    return line if line.startswith("- call:") else line.split(":")[0]


def join(lists):
    """Join lists of bullets: the later action on a thing wins, where it was first mentioned."""
    joined = {}
    for bullets in lists:
        for line in bullets:
            if line != EMPTY:
                joined[about(line)] = line
    return list(joined.values()) or [EMPTY]


# ---------------------------------------------------------------- what training may not see
HELD_SHARE = 64                          # of 256: a quarter of all pairs


def _share(text):
    """A number 0..255 that depends on nothing but the text."""
    return hashlib.sha256(text.encode()).digest()[0]


def pair_is_held(first, second):
    """Whether these two bullets, one right after the other, are kept out of training.

    No transcript, list or panel of the training data has two consecutive bullets for which this is
    true.  Every script of the meeting generator makes it true for its lines 1-2, 3-4, ...: so every
    run of three or more of its lines is unseen by construction, however a recording is cut.
    """
    return _share(f"pair|{first}|{second}") < HELD_SHARE


def rendering_is_held(text, voice, speed, pitch):
    """The same for speech: whether this way of saying `text` is kept out of training."""
    return _share(f"voice|{text}|{voice}|{speed}|{pitch}") < HELD_SHARE
