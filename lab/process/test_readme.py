"""The README's tour, executed as it stands: every block marked sh, in order, in one shell."""

import re
import shutil
import subprocess
import unittest

from household import ROOT, Household


class Tour(Household):
    def test_the_tour_works(self):
        text = (ROOT / "README.md").read_text()
        blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
        self.assertGreaterEqual(len(blocks), 5)
        meeting = self.dir / "meeting"
        script = "set -euo pipefail\n" + "\n".join(blocks)
        script = script.replace("/tmp/meeting", str(meeting))
        script = script.replace("$PWD/build/bin", str(ROOT / "build/bin"))
        if shutil.which("curl") is None:
            self.skipTest("curl is not installed")
        done = subprocess.run(["bash", "-c", script], env=self.env, cwd=ROOT, timeout=300,
                              capture_output=True, text=True, stdin=subprocess.DEVNULL)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        for shown in ("- kitchen light: on", "# Minutes", "-->", "micro-minutes", "\"choices\"",
                      "\"text\"", "stopped"):
            self.assertIn(shown, done.stdout)


class Demo(Household):
    def test_the_demo_shows_everything(self):
        done = subprocess.run([ROOT / "demo/run"], env=self.env, timeout=300, capture_output=True,
                              text=True, stdin=subprocess.DEVNULL)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        for shown in ("1. This machine", "2. The plan", "# Minutes", "## On the screens",
                      "## Transcript", "word error rate", "template baseline", "predicted",
                      "measured", "With models of your own"):
            self.assertIn(shown, done.stdout)
        self.assertIn("transcribe recording.wav", done.stderr)


if __name__ == "__main__":
    unittest.main()
