"""Who spoke when, in tests: recordings of people, RTTM, and how wrong an answer is."""

import collections
import itertools
import os
import pathlib
import subprocess
import wave
import zipfile

RATE = 16000
FRAME = 160                # samples that are compared at once: 10 ms
COLLAR_S = 0.25            # forgiven around where a reference's turn begins or ends
LOUD = 10 ** (-28 / 20)    # of the loudest 30 ms: above it somebody speaks
PAUSE_S = 0.5              # shorter silences are a turn's own
SPEECH_S = 0.2             # shorter sounds are nobody's turn
MOONSHINE = "moonshine_voice-0.0.65-py3-none-manylinux_2_34_x86_64.whl"


def of_moonshine(name, folder):
    """A recording of that package's wheel, if the wheel is still in the cache."""
    home = pathlib.Path(os.environ.get("GANTRY_CACHE") or pathlib.Path.home() / ".cache/gantry")
    wheel = home / "downloads" / MOONSHINE
    if not wheel.exists():
        return None
    with zipfile.ZipFile(wheel) as files:
        (folder / name).write_bytes(files.read(f"moonshine_voice/assets/{name}"))
    return folder / name


def samples_of(path):
    """16 kHz, mono, as whole numbers."""
    raw = subprocess.run(["ffmpeg", "-v", "error", "-i", path, "-f", "s16le", "-ac", "1", "-ar",
                          str(RATE), "-"], check=True, capture_output=True).stdout
    return memoryview(raw[:len(raw) // 2 * 2]).cast("h")


def loud_stretches(samples):
    """[(start, end)] in seconds: where sound is, however a model would call it."""
    step = 3 * FRAME
    power = [sum(s * s for s in samples[at:at + step]) for at in range(0, len(samples), step)]
    least = max(power) * LOUD * LOUD
    spans = []
    for i, p in enumerate(power):
        start, end = i * step / RATE, (i + 1) * step / RATE
        if p < least:
            continue
        if spans and start - spans[-1][1] < PAUSE_S:
            spans[-1][1] = end
        else:
            spans.append([start, end])
    return [(start, end) for start, end in spans if end - start >= SPEECH_S]


def converse(path, said, pause_s=0.7):
    """Writes people one after the other, equally loud; [(start, end, who)] is where they speak.

    `said` is [(samples, who)].
    """
    sound, truth = bytearray(), []
    for samples, who in said:
        offset = len(sound) / 2 / RATE
        truth += [(offset + a, offset + b, who) for a, b in loud_stretches(samples)]
        power = (sum(s * s for s in samples) / len(samples)) ** 0.5
        for s in samples:
            level = max(-32768, min(32767, round(s * 2500 / power)))
            sound += level.to_bytes(2, "little", signed=True)
        sound += bytes(2 * int(pause_s * RATE))
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE)
        out.writeframes(bytes(sound))
    return truth


def parse_rttm(text):
    """[(start, end, who)] of the lines of speakers, each checked for its ten fields."""
    turns = []
    for line in text.splitlines():
        words = line.split()
        if len(words) != 10 or words[0] != "SPEAKER" or words[2] != "1":
            raise ValueError(f"no line of RTTM: {line}")
        if any(words[i] != "<NA>" for i in (5, 6, 8, 9)):
            raise ValueError(f"not empty where it should be: {line}")
        turns.append((float(words[3]), float(words[3]) + float(words[4]), words[7]))
    return turns


def frames_of(turns, without):
    """Who -> the frames in which they speak."""
    frames = collections.defaultdict(set)
    for start, end, who in turns:
        frames[who].update(range(round(start * RATE / FRAME), round(end * RATE / FRAME)))
    return {who: found - without for who, found in frames.items()}


def error_rate(truth, told, collar_s=COLLAR_S):
    """Diarization error rate: missed, invented and confused speech as a part of all speech.

    The names in `told` are given to the people of `truth` in the way that is right most often.
    """
    edges = {edge for start, end, _ in truth for edge in (start, end)}
    without = {frame for edge in edges for frame in range(
        round((edge - collar_s) * RATE / FRAME), round((edge + collar_s) * RATE / FRAME))}
    people, names = frames_of(truth, without), frames_of(told, without)
    speaking = collections.Counter(itertools.chain(*people.values()))
    heard = collections.Counter(itertools.chain(*names.values()))
    wrong = sum(max(speaking[f], heard[f]) for f in speaking.keys() | heard.keys())
    some = [names.get(name, set()) for name in names] + [set()] * len(people)
    right = max(sum(len(of & got) for of, got in zip(people.values(), given))
                for given in itertools.permutations(some, len(people)))
    return (wrong - right) / sum(speaking.values())
