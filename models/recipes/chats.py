"""Synthetic chats for the micro minutes model.

A chat is a list of (role, text) turns.  Three tasks:
  map    lines of a transcript       -> bullets
  reduce lists of bullets            -> one joined list
  chat   a question about a list     -> "Yes." / "No." / "Not mentioned." / a value
All of it comes from a random.Random, so a seed fixes the data.  What the model is given to read
contains no held pair (grammar.pair_is_held).
"""
import grammar
import noise
from grammar import CHAT_HEAD, EMPTY, MAP_HEAD, REDUCE_HEAD, bullet

SYSTEM = "You write minutes."
GREETINGS = {
    "Hello.": "Hello. Give me a transcript, minutes or a question.",
    "Who are you?": "I am a micro model that writes minutes.",
    "What can you do?": "I write minutes, join minutes and answer questions about them.",
    "Thank you.": "You are welcome.",
}
PART_LINES_MAX = 8                       # lines of one part
LIST_MAX = {1: 6, 2: 6, 3: 4, 4: 3}      # bullets per list by the number of lists: 12 in all
JOINED_MAX, ADDED_MAX = 7, 5             # bullets so far, and of the next part, when joining on
NOISE, NO_COMMAND, NO_SPEAKERS = 0.25, 0.05, 0.08


# ---------------------------------------------------------------- map
def _next_command(rng, previous, share_noisy):
    """(text, bullet) whose bullet may stand after `previous`."""
    while True:
        thing, value = grammar.random_command(rng)
        words = grammar.spoken(thing, value).split()
        if rng.random() < share_noisy:
            words, thing, value = noise.noisy(rng, thing, value)
        line = bullet(thing, value)
        if not (previous and grammar.pair_is_held(previous, line)):
            return " ".join(words), line


def map_pair(rng, lines, share_noisy=NOISE):
    """(transcript, minutes): one bullet per understood line, in order, nothing joined."""
    said, minutes = [], []
    named = rng.random() >= NO_SPEAKERS
    speakers = rng.sample(range(1, 10), rng.randint(1, 4))
    for _ in range(lines):
        speaker = f"speaker {rng.choice(speakers)}: " if named else ""
        if rng.random() < NO_COMMAND:
            said.append(speaker + rng.choice(noise.NOT_COMMANDS))
            continue
        text, line = _next_command(rng, minutes[-1] if minutes else None, share_noisy)
        said.append(speaker + text)
        minutes.append(line)
    return "\n".join(said), "\n".join(minutes or [EMPTY])


def example_map(rng, hard=1.0):
    said, minutes = map_pair(rng, rng.randint(1, max(1, round(PART_LINES_MAX * hard))))
    return [("user", f"{MAP_HEAD}\n{said}"), ("assistant", minutes)]


# ---------------------------------------------------------------- reduce
def _next_action(rng, pool, repeat):
    """(thing, value), with probability `repeat` about a thing that is in `pool`."""
    thing, value = grammar.random_command(rng)
    if pool and rng.random() < repeat:
        old_thing, old_value = rng.choice(pool)
        if old_thing == "call" or rng.random() < 0.2:
            return old_thing, old_value
        return old_thing, grammar.random_value(rng, old_thing)
    if thing != "call" and rng.random() < 0.04:
        value = noise.UNCLEAR
    return thing, value


def actions(rng, count, pool, repeat=0.4):
    """`count` bullets in a row without a held pair; what they are about is added to `pool`."""
    lines = []
    while len(lines) < count:
        action = _next_action(rng, pool, repeat)
        line = bullet(*action)
        if lines and grammar.pair_is_held(lines[-1], line):
            repeat *= 0.9                # a pool of one call may have no line that fits
            continue
        lines.append(line)
        pool.append(action)
    return lines


def _joined_so_far(rng, count, pool):
    """`count` bullets about different things: what an earlier join wrote."""
    lines, seen = [], set()
    while len(lines) < count:
        action = _next_action(rng, [], 0)
        line = bullet(*action)
        if grammar.about(line) in seen or (lines and grammar.pair_is_held(lines[-1], line)):
            continue
        seen.add(grammar.about(line))
        lines.append(line)
        pool.append(action)
    return lines


def _text(lines):
    return "\n".join(lines) or EMPTY


def _reduce_turns(lists):
    asked = "\n\n".join(_text(lines) for lines in lists)
    return [("user", f"{REDUCE_HEAD}\n{asked}"), ("assistant", _text(grammar.join(lists)))]


def example_reduce(rng, hard=1.0):
    """1-4 lists of any kind."""
    count = rng.choices([1, 2, 3, 4], [1, 4, 4, 4])[0] if hard > 0.5 else rng.randint(1, 2)
    longest = max(1, round(LIST_MAX[count] * hard))
    pool = []
    return _reduce_turns([actions(rng, 0 if rng.random() < 0.04 else rng.randint(1, longest), pool)
                          for _ in range(count)])


def example_join_on(rng, hard=1.0):
    """What a recording's minutes are made by: the joined list so far, and the next part's list.

    Most of the part's bullets are about things of the list, as in a meeting.
    """
    pool = []
    so_far = _joined_so_far(rng, rng.randint(1, max(1, round(JOINED_MAX * hard))), pool)
    added = actions(rng, rng.randint(1, max(1, round(ADDED_MAX * hard))), pool,
                    repeat=rng.choice([0.4, 0.7, 0.9, 1.0]))
    return _reduce_turns([so_far, added])


# ---------------------------------------------------------------- chat
def _question_of_clock(rng, known):
    present = [clock for clock in grammar.CLOCKS if clock in known]
    what = rng.choice(present if present and rng.random() < 0.6 else grammar.CLOCKS)
    answer = known.get(what, "Not mentioned").replace("unclear", "Unclear")
    return f"What is the {what} set to?", answer + "."


def _question_of_call(rng, calls):
    known = calls and rng.random() < 0.5
    number = rng.choice(calls) if known else grammar.random_value(rng, "call")
    return f"Was {number} called?", "Yes." if number in calls else "Not mentioned."


def _question_of_thing(rng, known):
    askable = [t for t in known if t in grammar.THINGS and t not in grammar.CLOCKS]
    others = [t for t in grammar.THINGS if t not in grammar.CLOCKS]
    thing = rng.choice(askable if askable and rng.random() < 0.65 else others)
    value = known.get(thing)
    if thing.endswith("light"):
        colour = value if value in grammar.COLOURS else rng.choice(grammar.COLOURS)
        asked = rng.choice(["on", "off", "on", "off", colour])
        true = value == asked or (asked == "on" and value in grammar.COLOURS)
    else:
        asked = grammar.random_value(rng, thing)
        true = value == asked
    text = f"Is the {thing} {asked}?"
    if value is None:
        return text, "Not mentioned."
    if value == noise.UNCLEAR:
        return text, "Unclear."
    return text, "Yes." if true else "No."


def question(rng, minutes):
    """(question, answer) about joined bullets."""
    lines = [line for line in minutes if line != EMPTY]
    calls = [line[8:] for line in lines if line.startswith("- call:")]
    known = dict(line[2:].split(": ") for line in lines if not line.startswith("- call:"))
    kind = rng.random()
    if kind < 0.15:
        return _question_of_clock(rng, known)
    if kind < 0.25:
        return _question_of_call(rng, calls)
    return _question_of_thing(rng, known)


def example_chat(rng, hard=1.0):
    if rng.random() < 0.03:
        asked = rng.choice(list(GREETINGS))
        return [("user", asked), ("assistant", GREETINGS[asked])]
    minutes = _joined_so_far(rng, rng.randint(1, max(2, round(8 * hard))), [])
    asked, answer = question(rng, minutes)
    turns = [("user", f"{CHAT_HEAD}\n{_text(minutes)}\n{asked}"), ("assistant", answer)]
    for _ in range(rng.choice([0, 0, 1, 2])):
        asked, answer = question(rng, minutes)
        turns += [("user", asked), ("assistant", answer)]
    return turns


def example_followup(rng, hard=1.0):
    """Minutes first, then questions about them in the same chat."""
    while True:
        said, minutes = map_pair(rng, rng.randint(1, max(2, round(5 * hard))), share_noisy=0.1)
        lines = [line for line in minutes.split("\n") if line != EMPTY]
        about = [grammar.about(line) for line in lines]
        roomless = {"- light", "- door", "- window"} & set(about)
        if len(set(about)) == len(lines) and not roomless:
            break
    turns = [("user", f"{MAP_HEAD}\n{said}"), ("assistant", minutes)]
    for _ in range(rng.randint(1, 3)):
        asked, answer = question(rng, lines)
        turns += [("user", asked), ("assistant", answer)]
    return turns


# ---------------------------------------------------------------- all together
TASKS = {"map": (example_map, 0.20), "reduce": (example_reduce, 0.15),
         "join_on": (example_join_on, 0.45), "chat": (example_chat, 0.12),
         "followup": (example_followup, 0.05)}


def example(rng, hard=1.0):
    """A chat to learn from; `hard` in (0, 1] limits its length (curriculum)."""
    makers, shares = zip(*TASKS.values())
    turns = rng.choices(makers, shares)[0](rng, hard)
    return ([("system", SYSTEM)] if rng.random() < 0.1 else []) + turns


def sources(earlier, answer):
    """Which earlier lines each answer line comes from: [None or (first mention, last mention)].

    `earlier`: all lines of the chat before the answer.  It guides attention while training.
    """
    heads = [i for i, line in enumerate(earlier) if line in (MAP_HEAD, REDUCE_HEAD, CHAT_HEAD)]
    if not heads:
        return [None] * len(answer)
    body = range(heads[-1] + 1, len(earlier))
    is_map = earlier[heads[-1]] == MAP_HEAD
    if is_map and not any(line.startswith("- ") for line in earlier):
        said = [i for i in body if earlier[i].split(": ")[-1] not in noise.NOT_COMMANDS]
        return [(i, i) for i in said] or [None]
    bullets = [i for i in body if earlier[i].startswith("- ") and earlier[i] != EMPTY]
    if earlier[heads[-1]] == REDUCE_HEAD:
        first, last = {}, {}
        for i in bullets:
            first.setdefault(grammar.about(earlier[i]), i)
            last[grammar.about(earlier[i])] = i
        return [(first[k], last[k]) for k in first] or [None]
    asked = [i for i in bullets if f"the {earlier[i][2:].split(':')[0]} " in earlier[-1]
             or f"Was {earlier[i][8:]} called" in earlier[-1]]
    return [(asked[-1], asked[-1]) if asked else None]
