"""What a row really takes: llama-server with these parameters, measured from outside."""

import base64
import concurrent.futures
import http.client
import json
import os
import re
import signal
import socket
import struct
import subprocess
import tempfile
import time
import zlib

MIB = 1 << 20
LOADS_S_MAX = 300
ANSWERS_S_MAX = 900
SCREEN = (1920, 1080)
SAMPLE_S = 0.02  # of a process that looks at a picture
# llama.cpp's own account of what it allocated, to a hundredth of a MiB.
BUFFERS = {"weights": r" (\S+) +model buffer size = +([\d.]+) MiB",
           "kv": r" (\S+) +(?:KV|RS) buffer size = +([\d.]+) MiB",
           "compute": r" (\S+) +(?:compute|output) buffer size = +([\d.]+) MiB",
           "encoder": r" (load_hparams): model size: +([\d.]+) MiB"}
PHANTOM = "Phantom0"  # lab/phantom's first device
PHANTOM_MEMORY = "512GiB"


class Local(http.client.HTTPConnection):
    """HTTP over a unix socket: no port that could be taken."""

    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def call(path, method, where, body=None, timeout=ANSWERS_S_MAX):
    link = Local(path, timeout)
    link.request(method, where, json.dumps(body) if body is not None else None,
                 {"Content-Type": "application/json"})
    answer = link.getresponse()
    text = answer.read()
    link.close()
    return answer.status, text


def parameters(row):
    """What llama-server and llama-fit-params both take: the row, and nothing by itself."""
    return ["-m", row["file"], "-c", str(row["context"]), "-np", str(row["parallel"]),
            "-b", str(row["ubatch"]), "-ub", str(row["ubatch"]), "-ctk", row["cache_k"],
            "-ctv", row["cache_v"], "-fa", "on" if row["flash"] else "off",
            "-ngl", str(row["gpu_layers"]), "--load-mode", "none",
            "--device", PHANTOM if row["gpu_layers"] else "none"]


def environment(row, phantom, preload=None):
    """Of a program of the engine: with an accelerator that is not here, where the row has one."""
    out = dict(os.environ)
    if row["gpu_layers"]:
        out.update(GGML_BACKEND_PATH=str(phantom), GANTRY_PHANTOM=PHANTOM_MEMORY)
    if preload:
        out["LD_PRELOAD"] = str(preload)
    return out


def server_command(engine, row, socket_path):
    """As gantryd starts it (worker/llama.cc), with the log that names the buffers."""
    command = [str(engine / "llama-server"), *parameters(row), "--host", socket_path,
               "--cache-ram", "0", "--ctx-checkpoints", "0", "--fit", "off", "--offline",
               "--no-ui", "--no-slots", "--log-colors", "off", "-lv", "4", "-t", "2", "-tb", "2",
               "--threads-http", str(row["parallel"] + 2)]
    command += ["--embeddings"] if row["embeddings"] else ["--jinja"]
    if row["mmproj"]:  # only the warm-up reserves the encoder's graph, and logs it
        return command + ["--mmproj", row["mmproj"], "--no-mmproj-offload"]
    return command + ["--no-warmup"]


def buffers(log):
    """Bytes of ggml's buffers by kind, from the log of one load; "device": on the accelerator."""
    found = {kind: [(name, round(float(size) * MIB)) for name, size in re.findall(pattern, log)]
             for kind, pattern in BUFFERS.items()}
    out = {kind: sum(size for _, size in sizes) for kind, sizes in found.items()}
    out["weights"] += out.pop("encoder")
    out["ggml"] = out["weights"] + out["kv"] + out["compute"]
    out["device"] = sum(size for sizes in found.values() for name, size in sizes
                        if name == PHANTOM)
    return out


def process_size(pid, prefix):
    """PSS, with the engine's own libraries in full: other servers that run meanwhile share them."""
    total, ours = 0, False
    with open(f"/proc/{pid}/smaps") as file:
        for line in file:
            words = line.split()
            if not words[0].endswith(":"):  # a mapping's first line
                ours = len(words) > 5 and words[5].startswith(str(prefix))
            elif words[0] == ("Rss:" if ours else "Pss:"):
                total += int(words[1]) << 10
    return total


def picture():
    """A PNG of a screen's size as a data URL: smooth colours, so that it is small."""
    line = b"\0" + b"".join(bytes((x >> 3 & 255, x & 255, 128)) for x in range(SCREEN[0]))
    parts = [(b"IHDR", struct.pack(">IIBBBBB", *SCREEN, 8, 2, 0, 0, 0)),
             (b"IDAT", zlib.compress(line * SCREEN[1])), (b"IEND", b"")]
    data = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in parts)
    return "data:image/png;base64," + base64.b64encode(data).decode()


def show(path):
    """One question about a picture."""
    content = [{"type": "text", "text": "What is this?"},
               {"type": "image_url", "image_url": {"url": picture()}}]
    status, text = call(path, "POST", "/v1/chat/completions",
                        {"messages": [{"role": "user", "content": content}], "max_tokens": 2})
    if status != 200:
        raise OSError(f"llama-server answered {status}: {text[:200]!r}")


def ask(path, row):
    """One answer on every slot, the first to a prompt of the row's length."""
    where = "/embedding" if row["embeddings"] else "/completion"
    sizes = [row["prompt"]] + [8] * (row["parallel"] - 1)
    for slot, tokens in enumerate(sizes):
        prompt = [10 + 7 * i % 80 for i in range(tokens)]
        body = {"content": prompt} if row["embeddings"] else {
            "prompt": prompt, "n_predict": 2, "cache_prompt": False, "temperature": 0,
            "id_slot": slot}
        status, text = call(path, "POST", where, body)
        if status != 200:
            raise OSError(f"llama-server answered {status}: {text[:200]!r}")


def most_while(work, size):
    """The largest size() while work() runs, and after it: what a picture takes for a moment."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        running, most = pool.submit(work), 0
        while not running.done():
            most = max(most, size())
            time.sleep(SAMPLE_S)
        running.result()
    return max(most, size())


def wait_until_ready(server, path):
    deadline = time.monotonic() + LOADS_S_MAX
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise OSError(f"llama-server ended with status {server.returncode}")
        try:
            if call(path, "GET", "/health", timeout=5)[0] == 200:
                return
        except OSError:
            pass
        time.sleep(0.1)
    raise OSError(f"llama-server was not ready after {LOADS_S_MAX} s")


def watched(server, path, row, prefix):
    """Bytes of the server's process after it answered; None where the row asks nothing."""
    wait_until_ready(server, path)
    if not row["prompt"]:
        return None
    ask(path, row)
    size = process_size(server.pid, prefix)
    if row["mmproj"]:
        size = most_while(lambda: show(path), lambda: process_size(server.pid, prefix))
    return size


def stop(server):
    server.send_signal(signal.SIGTERM)
    try:
        server.wait(10)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def measure(engine, row, populate, phantom):
    """{"weights", "kv", "compute", "ggml", "process"} in bytes, or {"error"}.

    No "process" where the row has no prompt: then its worst case is not reached. On an accelerator
    "device" alone is compared. `populate`: the library that makes ggml's buffers present
    (populate.c); nothing is allocated on a device that is not here.
    """
    with tempfile.TemporaryDirectory(prefix="gp") as folder, open(f"{folder}/log", "w+") as log:
        path = f"{folder}/s.sock"
        server = subprocess.Popen(server_command(engine, row, path), stdout=log,
                                  stderr=subprocess.STDOUT,
                                  env=environment(row, phantom, populate))
        try:
            size = watched(server, path, row, engine.resolve().parent)
        except (OSError, http.client.HTTPException) as error:
            log.seek(0)
            last = log.read().strip().splitlines()[-1:]
            return {"error": f"{error}; its last line: {''.join(last)[:200]}"}
        finally:
            stop(server)
        log.seek(0)
        out = buffers(log.read())
        for kind in ("compute", "ggml"):
            out[kind] += row["answers"]
    if row["gpu_layers"]:
        return {"device": out["device"]}
    del out["device"]
    return out if size is None else {**out, "process": size}
