"""Lookup speculation where every pass costs a read of the disk: the same for mmap and the streamer.

A trained micro model joins lists of minutes: its answers repeat its question, as summaries and
edits do, and end by themselves, without loops. The model is made heavy by padded.py. llama-server
of the same build serves it four ways, with and without its n-gram lookup; what it writes must be
equal.
"""

import json
import os
import random
import re
import socket
import subprocess
import time
import urllib.request

import machine
import memory_limit

# llama.cpp's lookup: after three tokens that occurred before, propose what followed them there.
LOOKUP = ["--spec-type", "ngram-simple", "--spec-ngram-simple-size-n", "3",
          "--spec-ngram-simple-size-m", "8"]
THINGS = {"light": ["on", "off", "red", "blue"], "door": ["open", "closed"]}
ROOMS = ["kitchen", "bedroom", "office", "garage"]


def questions(count):
    """Two lists each, some things in both; always the same ones."""
    rng = random.Random(7)
    out = []
    for _ in range(count):
        def bullet():
            thing = rng.choice(list(THINGS))
            room = "garage" if thing == "door" else rng.choice(ROOMS)
            return f"- {room} {thing}: {rng.choice(THINGS[thing])}"
        first = list(dict.fromkeys(bullet() for _ in range(6)))
        second = list(dict.fromkeys(bullet() for _ in range(4)))
        out.append("Join these minutes:\n" + "\n".join(first) + "\n\n" + "\n".join(second))
    return out


class Server:
    """llama-server under the limit, ready; ended with the block."""

    def __init__(self, program, model, extra, env, prefix):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        command = [*prefix, str(program), "-m", str(model), "--host", "127.0.0.1", "--port",
                   str(self.port), "-c", "1024", "-np", "1", "-b", "64", "-ub", "64", "-fa", "on",
                   "--no-repack", "--no-warmup", "--cache-ram", "0", "--no-webui", *extra]
        self.process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE, text=True)

    def __enter__(self):
        # Nobody reads the log until the end: only its tail matters, in the case of a failure.
        os.set_blocking(self.process.stderr.fileno(), False)
        self.tail = ""
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline:
            self.drain()
            if self.process.poll() is not None:
                raise RuntimeError(f"llama-server ended: {self.tail[-300:]}")
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=2):
                    return self
            except OSError:
                time.sleep(0.2)
        raise RuntimeError("llama-server was not ready within 300 s")

    def drain(self):
        try:
            self.tail = (self.tail + (self.process.stderr.read() or ""))[-4000:]
        except (BlockingIOError, TypeError):
            pass

    def ask(self, text):
        body = {"messages": [{"role": "user", "content": text}], "temperature": 0,
                "max_tokens": 128, "cache_prompt": False}
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/v1/chat/completions", json.dumps(body).encode(),
            {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=600) as answer:
            out = json.load(answer)
        self.drain()
        return out["choices"][0]["message"]["content"], out["timings"]

    def read_bytes(self):
        """Of the server itself: the shell that entered the group has become it."""
        text = machine.read_text(f"/proc/{self.process.pid}/io") or ""
        found = re.search(r"^read_bytes: (\d+)", text, re.M)
        return int(found.group(1)) if found else None

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stderr.close()


def loops(text):
    """Whether the same line comes three times in a row."""
    lines = text.splitlines()
    return any(a == b == c for a, b, c in zip(lines, lines[1:], lines[2:]))


def one_run(program, model, extra, env, limit_bytes, asked):
    """All questions to one fresh server; tokens/s of the writing alone, and what was accepted."""
    machine.drop_cache(model)
    before = machine.best_bandwidth(model)
    answers, seconds, tokens, drafted, accepted = [], 0.0, 0, 0, 0
    try:
        with memory_limit.make(limit_bytes) as limit, \
                Server(program, model, extra, env, limit.prefix) as server:
            start = server.read_bytes()
            for text in asked:
                answer, timings = server.ask(text)
                answers.append(answer)
                seconds += timings["predicted_ms"] / 1000
                tokens += timings["predicted_n"]
                drafted += timings.get("draft_n") or 0
                accepted += timings.get("draft_n_accepted") or 0
            end = server.read_bytes()
    except (RuntimeError, OSError) as error:
        return {"error": str(error)}
    # A pass writes one token of its own and those accepted.
    return {"error": None, "tokens": tokens, "seconds": seconds,
            "tokens_per_second": tokens / seconds, "drafted": drafted, "accepted": accepted,
            "acceptance": accepted / drafted if drafted else None,
            "tokens_per_pass": tokens / (tokens - accepted) if tokens > accepted else None,
            "read_bytes": end - start if end is not None and start is not None else None,
            "bandwidth": [before, machine.best_bandwidth(model)], "answers": answers,
            "loops": sum(map(loops, answers))}


def contenders(plugin, budget):
    """name -> (arguments, environment)."""
    base = {key: value for key, value in os.environ.items()
            if not key.startswith(("GANTRY_", "GGML_"))}
    base["OMP_WAIT_POLICY"] = "passive"
    mapped = (["-ngl", "0", "-lm", "mmap"], base)
    stream = (["-ngl", "99"], dict(base, GGML_BACKEND_PATH=str(plugin), GANTRY_STREAM_INNER="CPU",
                                   GANTRY_STREAM_SUMMARY="0",
                                   GANTRY_STREAM_DEVICE_BUDGET=str(budget)))
    return {"llama.cpp mmap": mapped,
            "llama.cpp mmap + lookup": ([*mapped[0], *LOOKUP], base),
            "gantry stream": stream,
            "gantry stream + lookup": ([*stream[0], *LOOKUP], stream[1])}


def compare(program, model, plugin, limit_bytes, budget, rounds, asked):
    """All four in turn, so many times. Results by name, raw runs, and whether answers agree."""
    runs = []
    for number in range(rounds):
        ways = list(contenders(plugin, budget).items())
        shift = number % len(ways)
        for name, (extra, env) in ways[shift:] + ways[:shift]:
            machine.progress(f"lookup round {number + 1}/{rounds}: {name}")
            runs.append({"contender": name, "round": number,
                         **one_run(program, model, extra, env, limit_bytes, asked)})
    results = {}
    for name in contenders(plugin, budget):
        good = [run for run in runs if run["contender"] == name and not run["error"]]
        if not good:
            results[name] = {"error": next(r["error"] for r in runs if r["contender"] == name)}
            continue
        results[name] = {key: machine.interval([run[key] for run in good])
                         for key in ("tokens_per_second", "acceptance", "tokens_per_pass")
                         if good[0][key] is not None}
    answers = {json.dumps(run["answers"]) for run in runs if not run["error"]}
    looping = max((run["loops"] for run in runs if not run["error"]), default=0)
    return {"results": results, "runs": runs, "same_answers": len(answers) == 1,
            "looping_answers": looping}
