#!/usr/bin/env python3
"""Tests of deps/recipes/campplus.py with checkpoints that are none: nothing of them is ever run."""

import os
import pickle
import subprocess
import tempfile
import unittest
import zipfile
from pathlib import Path

SCRIPT = Path(__file__).resolve().parent / "recipes" / "campplus.py"


class Call:
    """What pickles as a call of any function."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


class CheckpointTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.file, self.out = self.folder / "in.pt", self.folder / "out.onnx"

    def checkpoint(self, content):
        with zipfile.ZipFile(self.file, "w") as archive:
            archive.writestr("archive/data.pkl", pickle.dumps(content, protocol=2))

    def refused(self, says):
        done = subprocess.run(["/usr/bin/python3", "-B", SCRIPT, self.file, self.out], text=True,
                              capture_output=True, check=False)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        self.assertIn(says, done.stderr)
        self.assertFalse(self.out.exists())

    def test_nothing_of_a_checkpoint_is_run(self):
        mark = self.folder / "mark"
        for call in (Call(os.mkdir, str(mark)), Call(eval, f"open({str(mark)!r}, 'w')")):
            self.checkpoint({"head.conv1.weight": call})
            self.refused("is not of a checkpoint of tensors")
            self.assertFalse(mark.exists())

    def test_what_is_no_checkpoint_is_named(self):
        self.file.write_bytes(b"not a zip")
        self.refused("not a zip file")
        self.file.unlink()
        self.refused("No such file")
        self.checkpoint({})
        self.refused("has no head.conv1.weight")
        whole = self.file.read_bytes()
        self.file.write_bytes(whole[:len(whole) // 2])
        self.refused("is not CAM++'s checkpoint")
        for content in (["a", "list"], {"head.conv1.weight": 5}):
            self.checkpoint(content)
            self.refused("more than tensors")
        with zipfile.ZipFile(self.file, "w") as archive:
            archive.writestr("archive/version", "3")
        self.refused("is not CAM++'s checkpoint")


if __name__ == "__main__":
    unittest.main()
