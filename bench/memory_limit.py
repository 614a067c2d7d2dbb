"""A control group with a memory limit, made and removed: version 1 or 2, as root or as a user.

    with MemoryLimit.make(1 << 30) as limit:
        subprocess.run([*limit.prefix, "program"])
        limit.peak()
"""

import os
import pathlib
import shutil
import subprocess
import sys
import time

V1 = pathlib.Path("/sys/fs/cgroup/memory")
V2 = pathlib.Path("/sys/fs/cgroup")


class NoLimit(Exception):
    """Why this machine lets us set none, and what would help."""


class FolderLimit:
    """A group that we make ourselves; the program is moved in before it starts."""

    def __init__(self, folder, version):
        self.folder, self.version = folder, version
        # The shell moves itself and becomes the program, which is thus charged from its first byte.
        self.prefix = ["sh", "-c", f'echo $$ > "{folder}/cgroup.procs" && exec "$@"', "sh"]

    def __enter__(self):
        return self

    def peak(self):
        name = "memory.max_usage_in_bytes" if self.version == 1 else "memory.peak"
        try:
            return int((self.folder / name).read_text())
        except (OSError, ValueError):
            return None

    def __exit__(self, *_):
        for _ in range(50):
            try:
                self.folder.rmdir()
                return
            except OSError:  # the last process is on its way out
                time.sleep(0.1)


class ScopeLimit:
    """systemd makes the group: what a user without rights on the hierarchy can have."""

    def __init__(self, size):
        self.version = 2
        self.prefix = ["systemd-run", "--user", "--scope", "--quiet", "-p", f"MemoryMax={size}",
                       "-p", "MemorySwapMax=0", "--"]

    def __enter__(self):
        return self

    def peak(self):
        return None

    def __exit__(self, *_):
        pass


def _version_1(size):
    folder = V1 / f"gantry-bench-{os.getpid()}"
    folder.mkdir()
    (folder / "memory.limit_in_bytes").write_text(str(size))
    swap = folder / "memory.memsw.limit_in_bytes"
    if swap.exists():
        swap.write_text(str(size))
    return FolderLimit(folder, 1)


def _version_2(size):
    control = V2 / "cgroup.subtree_control"
    if "memory" not in control.read_text().split():
        control.write_text("+memory")
    folder = V2 / f"gantry-bench-{os.getpid()}"
    folder.mkdir()
    (folder / "memory.max").write_text(str(size))
    swap = folder / "memory.swap.max"
    if swap.exists():
        swap.write_text("0")
    return FolderLimit(folder, 2)


def make(size):
    """The first kind of limit that works here; NoLimit tells what was tried."""
    tried = []
    if (V1 / "memory.limit_in_bytes").exists():
        try:
            return _version_1(size)
        except OSError as error:
            tried.append(f"cgroup v1: {error.strerror}")
    if (V2 / "cgroup.controllers").exists():
        try:
            return _version_2(size)
        except OSError as error:
            tried.append(f"cgroup v2: {error.strerror}")
    if shutil.which("systemd-run"):
        probe = subprocess.run([*ScopeLimit(size).prefix, "true"], capture_output=True, text=True,
                               check=False)
        if probe.returncode == 0:
            return ScopeLimit(size)
        tried.append("systemd-run: " + (probe.stderr.strip().splitlines() or ["failed"])[-1])
    raise NoLimit("; ".join(tried) or "no memory controller is mounted")


if __name__ == "__main__":
    try:
        with make(64 << 20) as made:
            print(f"cgroup v{made.version}: a limit can be set")
    except NoLimit as reason:
        sys.exit(f"gantry: no memory limit can be set here: {reason} (run as root, or in a user "
                 "session of systemd with cgroup v2)")
