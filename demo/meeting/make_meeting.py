#!/usr/bin/env python3
"""Make a recorded meeting: a script, its recording, the screens shown in it, and the truth.

Two people give commands to a smart home.  The result is one folder:

  recording.wav     16 kHz mono; the speakers take turns, with silences to cut at
  screens/00.png    pictures of the home's panel during the meeting
  truth.json        what was said when, what the screens show, the right minutes

Nothing of it was seen in training: models/recipes/grammar.py says how that is made sure of.  The
same seed gives the same files.  Needs Pillow, the DejaVu fonts and espeak-ng.
"""
import argparse
import array
import json
import pathlib
import random
import sys
import wave

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "models" / "recipes"))

import grammar  # noqa: E402
import panels  # noqa: E402
import speech  # noqa: E402

COMMANDS, COMMANDS_MAX = 28, 200
SCREENS, SCREENS_MAX = 3, 50
THINGS, THINGS_MIN, THINGS_MAX = 6, 2, 16   # distinct things in a script, calls included
CALLS_MAX = 2                            # of these, distinct phone numbers
REPEAT_CALL, REPEAT_OTHER = 1, 6         # a number is seldom called again, a light often switched
PART_LINES = 3                           # lines of one part: what the minutes model is given
PAUSE_S = (0.6, 1.2)                     # silence between two utterances
UTTERANCE_S_MAX = 3.8                    # the speech model hears 4 s at a time
NOISE = (-3.6, -3.0)                     # decimal logarithm of the noise's standard deviation
SCREEN_FACES = ["DejaVuSans-Bold.ttf"]   # the face of the training that every Debian has
SCREEN_TILES = (3, panels.TILES_MAX)


def make_script(rng, commands, things):
    """[(thing, value)]: `commands` commands about `things` different things.

    Lines 1-2, 3-4, ... are pairs that training leaves out.  Every thing is mentioned at least once;
    which one a line is about is random beyond that, so later lines often overrule earlier ones.
    """
    while True:
        topics = _random_topics(rng, things)
        weights = [REPEAT_CALL if number else REPEAT_OTHER for _, number in topics]
        order = topics + rng.choices(topics, weights, k=commands - things)
        rng.shuffle(order)
        script = []
        while order and (line := _next_line(rng, script, order)):
            script.append(line)
        if not order:
            return script                # else a dead end: nothing that is left fits


def _random_topics(rng, things):
    """[(thing, None) or ("call", number)], all different."""
    calls = rng.randint(0, min(CALLS_MAX, things - 1))
    numbers = set()
    while len(numbers) < calls:
        numbers.add(grammar.random_value(rng, "call"))
    return ([(thing, None) for thing in rng.sample(grammar.THINGS, things - calls)]
            + [("call", number) for number in sorted(numbers)])


def _next_line(rng, script, order):
    """Take the first topic of `order` that can go on with the script; None if none can.

    A line in an even place has to make a held pair with the line before it; a call or a door has
    few sentences, so none of them may fit, and its turn comes later.
    """
    for i, (thing, number) in enumerate(order):
        values = [number] if number else grammar.values_of(thing)
        for value in rng.sample(values, len(values)):
            if len(script) % 2 == 0 or grammar.pair_is_held(
                    grammar.bullet(*script[-1]), grammar.bullet(thing, value)):
                del order[i]
                return thing, value
    return None


def record(rng, script):
    """-> (samples at speech.RATE, utterances [{"speaker", "start", "end", "text"}])"""
    speakers = _two_speakers(rng)
    parts, utterances, at = [_silence(rng.uniform(*PAUSE_S))], [], 0
    for i, line in enumerate(script):
        at = sum(map(len, parts))
        text = grammar.spoken(*line)
        samples = _utterance(rng, text, speakers[i % 2])
        parts += [samples, _silence(rng.uniform(*PAUSE_S))]
        utterances.append({"speaker": 1 + i % 2, "start": round(at / speech.RATE, 3),
                           "end": round((at + len(samples)) / speech.RATE, 3), "text": text})
    spread = 10 ** rng.uniform(*NOISE)
    mixed = array.array("f")
    for part in parts:
        mixed.extend(sample + rng.gauss(0, spread) for sample in part)
    return mixed, utterances


def _two_speakers(rng):
    """Two different voices: {voice, base speed, base pitch, gain}; one low, one high."""
    accents = rng.sample(speech.ACCENTS, 2)
    timbres = [rng.choice([t for t in speech.TIMBRES if not t.startswith("+f")]),
               rng.choice([t for t in speech.TIMBRES if t.startswith("+f")])]
    rng.shuffle(timbres)
    return [{"voice": accent + timbre, "speed": rng.randint(150, 180), "pitch": rng.randint(36, 63),
             "gain": rng.uniform(0.4, 0.9)} for accent, timbre in zip(accents, timbres)]


def _utterance(rng, text, speaker):
    """The sentence in the speaker's voice; tempo and pitch vary a little, as people's do."""
    while True:
        speed = speaker["speed"] + rng.randint(-10, 10)
        pitch = speaker["pitch"] + rng.randint(-6, 6)
        if grammar.rendering_is_held(text, speaker["voice"], speed, pitch):
            said = speech.trimmed(speech.resampled(
                speech.say(text, speaker["voice"], speed, pitch)))
            if len(said) <= UTTERANCE_S_MAX * speech.RATE:
                return array.array("f", (sample * speaker["gain"] for sample in said))


def _silence(seconds):
    return array.array("f", bytes(4 * int(seconds * speech.RATE)))


def write_wav(path, samples):
    """16-bit mono."""
    pcm = array.array("h", (round(max(-1.0, min(1.0, s)) * 32767) for s in samples))
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(speech.RATE)
        out.writeframes(pcm.tobytes())


def make_screens(rng, folder, count):
    """Draw `count` panels; [{"file", "answer"}] with files relative to the meeting's folder."""
    (folder / "screens").mkdir(exist_ok=True)
    screens = []
    for i in range(count):
        while True:
            tiles = panels.random_tiles(rng, wanted_pairs=True)
            if len(tiles) >= SCREEN_TILES[0]:
                break
        image, _ = panels.draw(rng, tiles, SCREEN_FACES)
        name = f"screens/{i:02d}.png"
        image.save(folder / name)
        screens.append({"file": name,
                        "answer": "\n".join(grammar.bullet(*tile) for tile in tiles)})
    return screens


def truth_of(script, part_lines=PART_LINES):
    """What is right for a script: the bullets of its parts, and the minutes that join them."""
    bullets = [grammar.bullet(*line) for line in script]
    parts = [bullets[i:i + part_lines] for i in range(0, len(bullets), part_lines)]
    return {"parts": ["\n".join(part) for part in parts], "minutes": grammar.join(parts)}


def make_meeting(seed, folder, commands=COMMANDS, screens=SCREENS, things=THINGS):
    """Write the whole folder; returns the truth."""
    rng = random.Random(f"meeting {seed}")
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    script = make_script(rng, commands, min(things, commands))
    samples, utterances = record(rng, script)
    write_wav(folder / "recording.wav", samples)
    truth = {"seed": seed, "seconds": round(len(samples) / speech.RATE, 3),
             "utterances": utterances, "screens": make_screens(rng, folder, screens)}
    truth.update(truth_of(script))
    (folder / "truth.json").write_text(json.dumps(truth, indent=1) + "\n")
    return truth


def _between(low, high):
    """An argparse type: an integer low..high."""
    def parse(text):
        number = int(text)
        if not low <= number <= high:
            raise argparse.ArgumentTypeError(f"{number} is not in {low}..{high}")
        return number
    return parse


def main():
    parser = argparse.ArgumentParser(
        description="Make a recorded meeting with screens and the right answers.",
        epilog="example: make_meeting.py --seed 7 --out /tmp/meeting")
    parser.add_argument("--seed", type=int, required=True, help="any integer; fixes the meeting")
    parser.add_argument("--out", required=True, help="folder to write")
    parser.add_argument("--commands", type=_between(2, COMMANDS_MAX), default=COMMANDS,
                        help=f"spoken lines (default {COMMANDS}, about 3 s each)")
    parser.add_argument("--screens", type=_between(0, SCREENS_MAX), default=SCREENS,
                        help=f"pictures (default {SCREENS})")
    parser.add_argument("--things", type=_between(THINGS_MIN, THINGS_MAX), default=THINGS,
                        help=f"distinct things talked about (default {THINGS})")
    options = parser.parse_args()
    try:
        truth = make_meeting(options.seed, options.out, options.commands, options.screens,
                             options.things)
    except OSError as error:
        raise SystemExit(f"make_meeting.py: {error} (give a folder that can be written)") from error
    print(f"{options.out}: {truth['seconds']:.0f} s, {len(truth['utterances'])} utterances, "
          f"{len(truth['screens'])} screens, {len(truth['minutes'])} bullets")


if __name__ == "__main__":
    main()
