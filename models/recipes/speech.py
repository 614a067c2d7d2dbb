"""Spoken commands: espeak-ng's voices, resampling and noise, with the standard library only.

The meeting generator and the speech recipe say their sentences through this module, so the demo's
recording sounds like the training data (and is held out from it: grammar.rendering_is_held).
"""
import array
import subprocess

import grammar

RATE = 16000                             # Hz, what whisper-type models listen to
ESPEAK_RATE = 22050                      # Hz, what espeak-ng writes
ACCENTS = ["en-us", "en-gb", "en-gb-scotland"]
TIMBRES = ["", "+m1", "+m2", "+m3", "+m4", "+m7", "+f1", "+f2", "+f3", "+f4"]
SPEEDS = range(140, 200)                 # words per minute
PITCHES = range(30, 70)                  # espeak-ng's scale, 0-99
WAV_HEADER_BYTES = 44


def say(text, voice, speed, pitch):
    """Samples of the spoken text: array of floats -1..1 at ESPEAK_RATE."""
    command = ["espeak-ng", "-v", voice, "-s", str(speed), "-p", str(pitch), "--stdout", text]
    try:
        done = subprocess.run(command, capture_output=True, check=True)
    except FileNotFoundError as error:
        raise SystemExit("espeak-ng not found (install the package espeak-ng)") from error
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"espeak-ng failed: {error.stderr.decode(errors='replace')}") from error
    pcm = array.array("h")
    body = done.stdout[WAV_HEADER_BYTES:]
    pcm.frombytes(body[:len(body) // 2 * 2])
    return array.array("f", (sample / 32768 for sample in pcm))


def resampled(samples):
    """ESPEAK_RATE -> RATE by linear interpolation, as the model was trained."""
    step = ESPEAK_RATE / RATE
    result = array.array("f")
    last = len(samples) - 1
    for i in range(int(len(samples) / step)):
        at = i * step
        left = int(at)
        part = at - left
        right = min(left + 1, last)
        result.append(samples[left] * (1 - part) + samples[right] * part)
    return result


def trimmed(samples, threshold=0.004):
    """Without espeak-ng's own silence at both ends (its length depends on the text)."""
    loud = [i for i, sample in enumerate(samples) if abs(sample) > threshold]
    return samples[loud[0]:loud[-1] + 1] if loud else samples


def random_voice(rng):
    """A voice of the training data: accent and timbre."""
    return rng.choice(ACCENTS) + rng.choice(TIMBRES)


def random_rendering(rng, text, held):
    """(voice, speed, pitch) on the wanted side of the split between training and tests."""
    while True:
        rendering = random_voice(rng), rng.choice(SPEEDS), rng.choice(PITCHES)
        if grammar.rendering_is_held(text, *rendering) == held:
            return rendering
