"""Training data of the speech model: espeak-ng commands, disturbed anew each time they are used."""
import random
from concurrent.futures import ThreadPoolExecutor

import numpy as np

import grammar
import speech

FRAMES = 400                             # 4 s in steps of 10 ms: the model's window
SAMPLES_MAX = 63000                      # a little less than the window
STEP, WINDOW = 160, 400                  # samples
LEAD_MAX, TAIL_MAX = 8000, 6400          # samples of noise before and after the words
NOISE = (-4.0, -2.3)                     # decimal logarithm of its standard deviation
NUMBER_SHARE = 0.55                      # of all sentences: digits are the hardest to tell apart
SILENT = -10.0                           # log10 of whisper.cpp's floor 1e-10
HANN = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)).astype(np.float32)


def log_mel(samples, filters):
    """(80, FRAMES), bit for bit the shape of whisper.cpp's: reflected start, 8 decades, scaled.

    Beyond the end there is digital silence, as whisper.cpp pads to 30 s.
    """
    padded = np.concatenate([samples[1:WINDOW // 2 + 1][::-1], samples,
                             np.zeros(WINDOW, np.float32)])
    frames = min(FRAMES, 1 + (len(padded) - WINDOW) // STEP)
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::STEP][:frames] * HANN
    power = np.abs(np.fft.rfft(windows, axis=1)) ** 2
    mel = np.full((len(filters), FRAMES), SILENT, np.float32)
    mel[:, :frames] = np.log10(np.maximum(power @ filters.T, 1e-10)).T
    return (np.maximum(mel, mel.max() - 8) + 4) / 4


def _sentence(rng):
    """A command; more often one with numbers than the grammar has it."""
    while True:
        thing, value = grammar.random_command(rng)
        numbered = thing == "call" or thing in grammar.CLOCKS
        if numbered == (rng.random() < NUMBER_SHARE):
            return grammar.spoken(thing, value)


def resampled(samples):
    """speech.resampled with NumPy: the same linear interpolation, faster."""
    count = int(len(samples) * speech.RATE / speech.ESPEAK_RATE)
    at = np.arange(count) * (speech.ESPEAK_RATE / speech.RATE)
    return np.interp(at, np.arange(len(samples)), samples).astype(np.float32)


def _rendering(seed, i, held):
    rng = random.Random(f"asr {seed} {i}")
    text = _sentence(rng)
    said = speech.say(text, *speech.random_rendering(rng, text, held))
    return text, resampled(np.frombuffer(said, np.float32)).astype(np.float16)


def renderings(count, seed, held=False, threads=2):
    """[(text, samples as float16)]; `held` as grammar.rendering_is_held."""
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(lambda i: _rendering(seed, i, held), range(count)))


def disturbed(rng, samples):
    """Put silence around the words, change the loudness, add noise; at most SAMPLES_MAX long."""
    lead, tail = rng.integers(0, LEAD_MAX), rng.integers(0, TAIL_MAX)
    padded = np.concatenate([np.zeros(lead, np.float32), samples.astype(np.float32),
                             np.zeros(tail, np.float32)])[:SAMPLES_MAX]
    spread = 10 ** rng.uniform(*NOISE)
    noise = rng.standard_normal(len(padded), dtype=np.float32) * spread
    return padded * rng.uniform(0.3, 1) + noise.astype(np.float32)
