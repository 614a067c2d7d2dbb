"""Many ways to say the same command: what the embedding model learns to put together.

A meaning is (thing, value) of grammar.py.  texts(meaning) builds sentences from interchangeable
parts; a quarter of all texts is kept out of training by their hash, so a test asks with sentences
that were never seen.
"""
import hashlib

import grammar

OPENINGS = ["", "", "", "please ", "could you ", "okay ", "i want you to "]
ENDINGS = ["", "", "", " please", " now", " thank you"]
HELD_SHARE = 64                          # of 256

_LIGHT = ["{verb} {value} the {room} {lamp}", "{verb} the {room} {lamp} {value}",
          "{verb} {value} the {lamp} in the {room}", "{verb} the {lamp} in the {room} {value}",
          "{room} {lamp} {value}", "the {room} {lamp} should be {value}",
          "{value} with the {room} {lamp}", "let the {lamp} of the {room} be {value}"]
_COLOUR = ["{paint} the {room} {lamp} {value}", "{paint} the {lamp} in the {room} {value}",
           "{value} {lamp} in the {room}", "a {value} {room} {lamp}",
           "the {room} {lamp} should be {value}", "change the {room} {lamp} to {value}",
           "let the {lamp} of the {room} be {value}"]
_CLOCK = {
    "timer": ["set the timer to {value}", "start a timer of {value}", "timer for {value}",
              "{value} on the timer", "set a {value} timer", "count down {value}",
              "the timer should run {value}"],
    "alarm": ["set the alarm to {value}", "alarm in {value}", "wake me in {value}",
              "{value} on the alarm", "let the alarm ring in {value}",
              "the alarm should ring after {value}"]}
_PASSAGE = {
    "open": ["open the {room} {what}", "open the {what} in the {room}", "{room} {what} open",
             "the {room} {what} should be open", "let the {room} {what} stand open",
             "open up the {what} of the {room}"],
    "closed": ["close the {room} {what}", "shut the {room} {what}",
               "close the {what} in the {room}", "{room} {what} closed",
               "the {room} {what} should be closed", "shut the {what} of the {room}"]}
_PLAYER = {
    "playing": ["play the {thing}", "start the {thing}", "put the {thing} on", "some {thing}",
                "turn on the {thing}", "let the {thing} play", "switch the {thing} on"],
    "stopped": ["stop the {thing}", "end the {thing}", "turn off the {thing}", "no more {thing}",
                "switch the {thing} off", "silence the {thing}", "the {thing} should stop"]}
_CALL = ["call {value}", "dial {value}", "phone {value}", "ring the number {value}",
         "call the number {value}", "make a call to {value}", "get me {value} on the phone"]


def _forms(thing, value):
    if thing == "call":
        return _CALL
    if thing in grammar.CLOCKS:
        return _CLOCK[thing]
    if thing in grammar.PLAYERS:
        return _PLAYER[value]
    if thing.endswith("light"):
        return _COLOUR if value in grammar.COLOURS else _LIGHT
    return _PASSAGE[value]


def random_text(rng, thing, value):
    """One of the ways to say or to write it."""
    if rng.random() < 0.15:
        return grammar.spoken(thing, value)
    if rng.random() < 0.15:
        return grammar.bullet(thing, value)[2 * rng.randrange(2):]
    shown = value
    if thing == "call" or thing in grammar.CLOCKS:
        in_words = rng.random() < 0.6
        shown = " ".join(grammar.WORD.get(w, w) if in_words else w for w in value.split())
    room, _, what = thing.partition(" ")
    text = rng.choice(_forms(thing, value)).format(
        thing=thing, value=shown, room=room, what=what, lamp=rng.choice(["light", "light", "lamp"]),
        verb=rng.choice(["turn", "switch", "put"]), paint=rng.choice(["make", "turn", "paint"]))
    return rng.choice(OPENINGS) + text + rng.choice(ENDINGS)


def is_held(text):
    """Whether training leaves this text out; the grammar's own sentences and bullets stay in."""
    clean = text.removeprefix("- ")
    if grammar.meaning(text) or ": " in clean:
        return False
    return hashlib.sha256(f"embed|{text}".encode()).digest()[0] < HELD_SHARE


def text_for(rng, meaning, held):
    """A text of the meaning on the wanted side of the split."""
    while True:
        text = random_text(rng, *meaning)
        if is_held(text) == held:
            return text


def random_meaning(rng):
    """Things are equally likely here, calls one in six."""
    thing = "call" if rng.random() < 1 / 6 else rng.choice(grammar.THINGS)
    return thing, grammar.random_value(rng, thing)


def neighbour(rng, meaning):
    """A different meaning that is easily confused: same thing, or same value elsewhere."""
    thing, value = meaning
    while True:
        if thing == "call":
            digits = value.split()
            if rng.random() < 0.5:
                rng.shuffle(digits)
            else:
                digits[rng.randrange(3)] = grammar.DIGIT[rng.choice(grammar.NUMBERS)]
            near = thing, " ".join(digits)
        elif rng.random() < 0.5:
            near = thing, grammar.random_value(rng, thing)
        else:
            others = [t for t in grammar.THINGS if value in grammar.values_of(t)]
            near = rng.choice(others), value
        if near != meaning:
            return near
        if rng.random() < 0.2:           # a thing without such a neighbour, "call 1 1 1"
            return random_meaning(rng)
