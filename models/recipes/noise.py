"""What a speech model does to a command: wrong, missing and added words, and what is then right."""
import grammar

# Wrong words that leave the meaning clear.
SOUNDS_LIKE = {
    "turn": ["ten", "turned"], "set": ["sat", "said"], "make": ["may"], "the": ["a", "to"],
    "to": ["two", "the"], "light": ["lights", "like"], "kitchen": ["kitten"],
    "bedroom": ["bathroom"], "office": ["of"], "garage": ["garbage"], "door": ["doors"],
    "window": ["windows"], "minutes": ["minute"], "hours": ["hour"], "timer": ["time"],
    "alarm": ["arm"], "call": ["cold"], "play": ["plays"], "stop": ["stops"], "open": ["opens"],
    "close": ["clothes"], "music": ["musics"], "radio": ["radios"],
}
FILLERS = ["please", "uh", "um", "okay", "now"]
NOT_COMMANDS = ["hello", "thank you", "uh", "um", "okay", "please", "the the", "to the", "good",
                "now", "yes", "no"]
UNCLEAR = "unclear"
# Shares of the kinds of error, in the order of noisy().
MISSING_SMALL, MISHEARD, FILLED, NO_VALUE = 0.30, 0.60, 0.80, 0.90


def _without_value(words, thing, value):
    """The value was not heard; of a call, the last digit."""
    if thing == "call":
        return words[:-1], thing, value.rsplit(" ", 1)[0]
    if thing in grammar.CLOCKS:
        return words[:-2] + words[-1:], thing, UNCLEAR
    if value in grammar.COLOURS:
        return words[:-1], thing, UNCLEAR
    if thing.endswith("light"):
        return [word for word in words if word != value], thing, UNCLEAR
    return words[1:], thing, UNCLEAR


def noisy(rng, thing, value):
    """One error: (words heard, thing, value) with the sensible reading of what is left."""
    words = grammar.spoken(thing, value).split()
    error = rng.random()
    if error < MISSING_SMALL:
        small = [i for i, word in enumerate(words) if word in ("the", "to", "turn", "make", "set")]
        if small:
            del words[rng.choice(small)]
        return words, thing, value
    if error < MISHEARD:
        at = rng.choice([i for i, word in enumerate(words) if word in SOUNDS_LIKE])
        words[at] = rng.choice(SOUNDS_LIKE[words[at]])
        return words, thing, value
    if error < FILLED:
        words.insert(rng.randrange(len(words) + 1), rng.choice(FILLERS))
        return words, thing, value
    if error < NO_VALUE:
        return _without_value(words, thing, value)
    room, _, what = thing.partition(" ")
    if what:                             # the room was not heard
        return [word for word in words if word != room], what, value
    words.insert(rng.randrange(len(words)), rng.choice(FILLERS))
    return words, thing, value
