"""What the benches of this folder share: the machine in words, its disk's bandwidth, its caches."""

import ctypes
import json
import mmap
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import threading
import time

MIB = 1 << 20


def parse_size(text):
    """Bytes of "512MiB", "1.5GiB", "6GB", "4096"."""
    units = {"k": 10, "m": 20, "g": 30, "t": 40}
    number = text.strip().lower()
    if number.endswith("ib"):
        return int(float(number[:-3]) * (1 << units[number[-3]]))
    if number.endswith("b") and number[-2:-1] in units:
        return int(float(number[:-2]) * 1000 ** "kmgt".index(number[-2]) * 1000)
    return int(float(number))


def mib(size):
    return f"{size / MIB:.0f} MiB"


def read_text(path):
    try:
        return pathlib.Path(path).read_text().strip()
    except OSError:
        return None


def block_device(path):
    """Name of the block device a file lies on, as in /sys/block; None for other file systems."""
    device = os.stat(path).st_dev
    link = pathlib.Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}")
    if not link.exists():
        return None
    real = link.resolve()
    return real.parent.name if (real / "partition").exists() else real.name


def describe(path=None):
    """The machine without anything that names its owner: processor, memory, kernel, disk."""
    info = (read_text("/proc/cpuinfo") or "").split("\n")
    cpu = next((line.split(":")[1].strip() for line in info if line.startswith("model name")),
               platform.machine())
    total = next((int(line.split()[1]) << 10 for line in
                  (read_text("/proc/meminfo") or "").split("\n") if line.startswith("MemTotal")), 0)
    out = {"cpu": cpu, "cores": len(os.sched_getaffinity(0)), "memory_bytes": total,
           "kernel": platform.release(), "arch": platform.machine()}
    if path:
        name = block_device(path)
        queue = pathlib.Path(f"/sys/block/{name}/queue")
        out["disk"] = {"device": name, "model": read_text(f"/sys/block/{name}/device/model"),
                       "rotational": read_text(queue / "rotational"),
                       "read_ahead_kb": read_text(queue / "read_ahead_kb"),
                       "scheduler": read_text(queue / "scheduler")}
    return out


def load_average():
    """How busy the machine was: a bench beside other work says so."""
    return os.getloadavg()[0]


def drop_cache(*paths):
    """Takes these files out of the page cache. True when nothing of them is left there."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)
    return all(cached_bytes(path) == 0 for path in paths)


def cached_bytes(path):
    """Bytes of a file in the page cache, by mincore(2)."""
    size = os.path.getsize(path)
    if size == 0:
        return 0
    libc = ctypes.CDLL(None, use_errno=True)
    page = mmap.PAGESIZE
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE,
                                             prot=mmap.PROT_READ | mmap.PROT_WRITE) as view:
        pages = (size + page - 1) // page
        resident = (ctypes.c_ubyte * pages)()
        start = (ctypes.c_char * size).from_buffer(view)
        failed = libc.mincore(ctypes.c_void_p(ctypes.addressof(start)), ctypes.c_size_t(size),
                              resident)
        del start
        if failed:
            raise OSError(ctypes.get_errno(), "mincore")
        return sum(one & 1 for one in resident) * page


def read_buffer(size, huge):
    """Memory to read into, present before the clock runs. Huge pages double what some disks give:
    a request over 4 KiB pages has a thousand pieces, over 2 MiB pages two."""
    room = (size + (4 << 20)) >> 21 << 21
    buffer = mmap.mmap(-1, room, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if huge and hasattr(mmap, "MADV_HUGEPAGE"):
        buffer.madvise(mmap.MADV_HUGEPAGE)
    for at in range(0, room, mmap.PAGESIZE):
        buffer[at] = 1
    return buffer


def direct_bandwidth(path, limit=1 << 30, threads=4, chunk=4 * MIB, huge=True):
    """Bytes a second of O_DIRECT reads in file order, several at once: what the disk can do."""
    size = min(os.path.getsize(path), limit) // chunk * chunk
    if size == 0:
        raise ValueError(f"{path} is too small to measure the disk with")
    lock, offset = threading.Lock(), 0
    failures = []

    def work(descriptor, buffer):
        nonlocal offset
        view = memoryview(buffer)[:chunk]
        while not failures:
            with lock:
                at, offset = offset, offset + chunk
            if at >= size:
                return
            try:
                if os.preadv(descriptor, [view], at) != chunk:
                    failures.append("short read")
            except OSError as error:
                failures.append(str(error))

    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECT)
    try:
        workers = [threading.Thread(target=work, args=(descriptor, read_buffer(chunk, huge)))
                   for _ in range(threads)]
        started = time.perf_counter()
        for one in workers:
            one.start()
        for one in workers:
            one.join()
        seconds = time.perf_counter() - started
    finally:
        os.close(descriptor)
    if failures:
        raise OSError(f"cannot read {path} directly: {failures[0]}")
    return size / seconds


def best_bandwidth(path):
    """Ways to ask the disk, in bytes a second; the best one is what it can do."""
    return {"4 x 4 MiB": direct_bandwidth(path),
            "8 x 16 MiB": direct_bandwidth(path, threads=8, chunk=16 * MIB),
            "4 x 4 MiB, 4 KiB pages": direct_bandwidth(path, huge=False)}


def interval(values, level=0.95):
    """Median and the order statistics around it that hold the true one with this probability.

    With fewer than six values no pair of them does: then the range is given, and its own coverage.
    """
    ordered = sorted(values)
    count = len(ordered)
    # P(the median lies outside [x_k, x_(n-1-k)]) = 2 * P(Binomial(n, 1/2) <= k)
    tail, term, k = 0.0, 0.5 ** count, 0
    best = (0, 1 - 2 * 0.5 ** count)
    while k < count // 2:
        tail += term
        if 1 - 2 * tail < level:
            break
        best = (k, 1 - 2 * tail)
        term = term * (count - k) / (k + 1)
        k += 1
    low, coverage = best
    return {"median": statistics.median(ordered), "low": ordered[low],
            "high": ordered[count - 1 - low], "coverage": round(max(0.0, coverage), 4), "n": count}


def run_json_lines(command, env=None, timeout=1800, prefix=()):
    """Runs a program that prints JSON lines. Its events, and its stderr's last lines."""
    done = subprocess.run([*prefix, *map(str, command)], env=env, timeout=timeout,
                          capture_output=True, text=True, check=False)
    events = []
    for line in done.stdout.splitlines():
        try:
            events.append(json.loads(line))
        except ValueError:
            continue
    tail = done.stderr.strip().splitlines()[-3:]
    if done.returncode != 0:
        error = next((e for e in events if e.get("event") == "error"), None)
        cause = error["message"] if error else "; ".join(tail) or "no output"
        return events, f"ended with status {done.returncode}: {cause}"
    return events, None


def fail(message, remedy="", status=1):
    print(f"gantry: {message}" + (f" ({remedy})" if remedy else ""), file=sys.stderr)
    raise SystemExit(status)


def progress(text):
    print(text, file=sys.stderr, flush=True)
