#!/usr/bin/env python3
"""Tests of deps/fetch with archives of a few bytes and recipes that build nothing; no network."""

import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import tarfile
import tempfile
import time
import unittest
import zipfile
from pathlib import Path

FETCH = Path(__file__).resolve().parent / "fetch"
RECIPE = """set -euo pipefail
echo "[1/2] one"; echo "[2/2] two"
mkdir -p "$DESTDIR$PREFIX"
cp "$SRC/content" "$DESTDIR$PREFIX/"
echo "$NEEDS" > "$DESTDIR$PREFIX/needs"
"""


class FetchTest(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.deps = self.folder / "checkout" / "deps"
        self.cache = self.folder / "cache"
        (self.deps / "recipes").mkdir(parents=True)
        (self.cache / "downloads").mkdir(parents=True)
        shutil.copy(FETCH, self.deps / "fetch")
        self.archives = []
        self.add("low.cpp", [])
        self.add("high.cpp", ["low.cpp"])

    def add(self, name, needs):
        source = self.folder / "source"
        source.mkdir(exist_ok=True)
        (source / "content").write_text(name)
        path = self.cache / "downloads" / f"{name}.tar.gz"
        with tarfile.open(path, "w:gz") as archive:
            archive.add(source, arcname=f"{name}-1")
        self.archives.append({
            "name": name, "project": name, "version": "1", "archive": path.name, "needs": needs,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "holds": name})
        self.recipe(name, RECIPE)
        self.write_lock()

    def add_wheel(self, name, form):
        path = self.cache / "downloads" / f"{name}-1-{form}.whl"
        with zipfile.ZipFile(path, "w") as wheel:
            wheel.writestr("content", name)
        self.archives.append({
            "name": name, "project": name, "version": "1", "archive": path.name, "needs": [],
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "holds": name})
        self.recipe(name, RECIPE)
        self.write_lock()
        return path

    def recipe(self, name, text):
        (self.deps / "recipes" / f"{name}.sh").write_text(text)

    def write_lock(self):
        packages = [{"project": "no-such-project-here", "version": "1", "sha256": ["0" * 64]}]
        (self.deps / "lock.json").write_text(json.dumps(
            {"archives": self.archives, "python": {"build": packages, "tests": []}}))

    def start(self, *arguments):
        # No index and no proxy: whatever asks the network fails at once.
        environment = os.environ | {"GANTRY_CACHE": str(self.cache), "PIP_NO_INDEX": "1"}
        environment.pop("PIP_FIND_LINKS", None)
        return subprocess.Popen(["/usr/bin/python3", self.deps / "fetch", *arguments], text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)

    def fetch(self, *arguments):
        process = self.start(*arguments)
        out, err = process.communicate()
        return process.returncode, out, err

    def prefixes(self):
        return sorted(path.name for path in (self.cache / "prefix").glob("*"))

    def test_installs_and_tells_cmake(self):
        status, out, err = self.fetch()
        self.assertEqual((status, err), (0, ""))
        self.assertIn("low.cpp: building 100 % (2/2", out)
        high, low = self.prefixes()
        self.assertEqual((self.cache / "prefix" / low / "content").read_text(), "low.cpp")
        self.assertEqual((self.cache / "prefix" / high / "needs").read_text().strip(),
                         str(self.cache / "prefix" / low))
        generated = (self.deps.parent / ".cache" / "deps.cmake").read_text()
        self.assertIn(f"set(GANTRY_LOW_PREFIX [==[{self.cache}/prefix/{low}]==])", generated)
        self.assertEqual(list((self.cache / "work").glob("*")), [])

    def test_installs_wheels(self):
        self.add_wheel("middle", "py3-none-any")
        self.assertEqual(self.fetch()[0], 0)
        [middle] = [name for name in self.prefixes() if name.startswith("middle-")]
        self.assertEqual((self.cache / "prefix" / middle / "content").read_text(), "middle")

    def test_asks_for_the_wheel_of_the_lock(self):
        self.add_wheel("ours", "cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64").unlink()
        tools = self.folder / "pip"
        tools.write_text("#!/bin/sh\necho \"$@\" >> " + str(self.folder / "asked") + "\nexit 1\n")
        tools.chmod(0o755)
        source = FETCH.read_text().replace("self.python = self.path",
                                           f"self.python = Path({str(tools)!r}) or self.path")
        (self.deps / "fetch").write_text(source.replace(
            'return (self.path / ".complete").exists()', "return True"))
        self.assertEqual(self.fetch()[0], 1)
        asked = (self.folder / "asked").read_text()
        self.assertIn("--only-binary :all: --python-version 3.11 --platform manylinux_2_17_x86_64 "
                      "--platform manylinux2014_x86_64", asked)

    def test_second_time_does_nothing(self):
        self.fetch()
        generated = self.deps.parent / ".cache" / "deps.cmake"
        before = generated.stat().st_mtime_ns
        shutil.rmtree(self.cache / "downloads")
        self.assertEqual(self.fetch(), (0, "", ""))
        self.assertEqual(generated.stat().st_mtime_ns, before)

    def test_change_rebuilds_only_what_it_touches(self):
        self.fetch()
        before = self.prefixes()
        self.recipe("high.cpp", RECIPE + "# changed\n")
        self.fetch()
        added = [name for name in self.prefixes() if name not in before]
        self.assertEqual([name.split("-")[0] for name in added], ["high.cpp"])
        self.recipe("low.cpp", RECIPE + "# changed\n")
        before = self.prefixes()
        self.fetch()
        added = [name for name in self.prefixes() if name not in before]
        self.assertEqual([name.split("-")[0] for name in added], ["high.cpp", "low.cpp"])

    def test_change_of_a_script_rebuilds_its_own_archive(self):
        script = self.deps / "recipes" / "high.py"
        script.write_text("first")
        self.archives[1]["scripts"] = ["deps/recipes/high.py"]
        self.write_lock()
        self.fetch()
        before = self.prefixes()
        script.write_text("second")
        self.fetch()
        added = [name for name in self.prefixes() if name not in before]
        self.assertEqual([name.split("-")[0] for name in added], ["high.cpp"])

    def test_damaged_archive_is_not_used(self):
        (self.cache / "downloads" / "low.cpp.tar.gz").write_bytes(b"not what it should be")
        status, out, err = self.fetch()
        self.assertEqual(status, 1)
        self.assertIn("damaged", out)
        self.assertEqual(len(err.strip().splitlines()), 1, err)
        self.assertIn("no-such-project-here", err)
        self.assertEqual(self.prefixes(), [])

    def test_failed_recipe_leaves_nothing(self):
        self.recipe("low.cpp", "echo the cause; exit 3\n")
        status, _, err = self.fetch()
        self.assertEqual(status, 1)
        self.assertIn("the cause", err)
        self.assertIn("low.cpp did not build", err)
        self.assertEqual((self.prefixes(), list((self.cache / "work").glob("*"))), ([], []))

    def test_interruption_leaves_nothing(self):
        marker = self.folder / "pid"
        self.recipe("low.cpp", f"echo $$ > {marker}.new; mv {marker}.new {marker}; sleep 600\n")
        for number in (signal.SIGINT, signal.SIGTERM):
            process = self.start()
            while not marker.exists():
                time.sleep(0.01)
            process.send_signal(number)
            _, err = process.communicate()
            self.assertEqual(process.returncode, 128 + number)
            self.assertIn("interrupted", err)
            self.assertFalse(Path(f"/proc/{marker.read_text().strip()}").exists())
            self.assertEqual((self.prefixes(), list((self.cache / "work").glob("*"))), ([], []))
            marker.unlink()

    def test_interruption_at_any_moment(self):
        self.recipe("low.cpp", "sleep 600\n")
        chooser = random.Random()
        for _ in range(20):
            process = self.start()
            time.sleep(chooser.uniform(0, 0.4))
            process.send_signal(signal.SIGTERM)
            process.communicate()
            self.assertIn(process.returncode, (128 + signal.SIGTERM, -signal.SIGTERM))
            for command in Path("/proc").glob("[0-9]*/cmdline"):
                with contextlib.suppress(OSError):
                    self.assertNotIn(f"{self.folder}".encode(), command.read_bytes())

    def test_two_at_once_build_once(self):
        count, release = self.folder / "count", self.folder / "release"
        self.recipe("low.cpp", f"echo x >> {count}\n"
                               f"until [ -e {release} ]; do sleep 0.01; done\n{RECIPE}")
        first = self.start()
        while not count.exists():
            time.sleep(0.01)
        second = self.start()
        self.assertIn("waiting for another", second.stdout.readline())
        release.touch()
        for process in (first, second):
            process.communicate()
            self.assertEqual(process.returncode, 0)
        self.assertEqual(count.read_text(), "x\n")

    def test_leftovers_of_a_killed_one_are_removed(self):
        (self.cache / "work" / "low.cpp.1" / "src").mkdir(parents=True)
        self.assertEqual(self.fetch()[0], 0)
        self.assertEqual(list((self.cache / "work").glob("*")), [])

    def test_unwritable_cache(self):
        self.cache = Path("/proc/none")
        status, _, err = self.fetch()
        self.assertEqual(status, 1)
        self.assertIn("GANTRY_CACHE", err)

    def test_wrong_usage(self):
        self.assertEqual(self.fetch("--nonsense")[0], 2)


if __name__ == "__main__":
    unittest.main()
