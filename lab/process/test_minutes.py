"""The main job on unseen meetings: recordings and screenshots in, minutes out, under a budget that
no two of the three models fit together by plan. Accuracy against the scripts is computed and
printed."""

import json
import os
import subprocess
import sys
import unittest

from household import FULL, ROOT, Household, make_meeting

sys.dont_write_bytecode = True
MEETINGS = 40 if FULL else 20
BUDGET = 51 << 20
FIRST_SEED = int(os.environ.get("GANTRY_MEETING_SEED", 1000))


class Minutes(Household):
    def test_unseen_meetings(self):
        truths, pages = [], []
        for number in range(MEETINGS):
            out = self.dir / f"m{number}"
            # The first is as long as the demo's; the others shorter, to keep the check quick.
            make_meeting(out, FIRST_SEED + number, 24 if number == 0 else 12, 2)
            screens = sorted((out / "screens").glob("*.png"))
            page = self.ok("minutes", out / "recording.wav", "--screens", *screens, "--format",
                           "json", "--ram-budget", "51MiB", timeout=300)
            (out / "page.json").write_text(page)
            truths.append(out / "truth.json")
            pages.append(out / "page.json")
        running = self.gantry("ps", "--json")
        scored = subprocess.run(["/usr/bin/python3", "-B", ROOT / "demo/meeting/score.py", "--json",
                                 "--truth", *truths, "--minutes-json", *pages], check=True,
                                capture_output=True, text=True)
        print(subprocess.run(["/usr/bin/python3", "-B", ROOT / "demo/meeting/score.py", "--truth",
                              *truths, "--minutes-json", *pages], check=True, capture_output=True,
                             text=True).stdout, flush=True)
        self.check_scores(json.loads(scored.stdout))
        self.check_steps(pages)
        if running.returncode == 0:
            cpu = json.loads(running.stdout)["devices"][0]
            print(f"peak of all workers {cpu['measured_peak_bytes'] >> 20} MiB of "
                  f"{BUDGET >> 20} MiB", flush=True)
            self.assertLessEqual(cpu["measured_peak_bytes"], BUDGET)

    def check_scores(self, scores):
        """Bounds below what was measured when the models were made, above what luck gives."""
        self.assertLessEqual(scores["wer"], 0.10, scores)
        self.assertGreaterEqual(scores["screens"]["exact"], 0.85, scores)
        self.assertGreaterEqual(scores["minutes"]["f1"], 0.80, scores)
        self.assertGreater(scores["minutes"]["f1"], scores["baseline"]["f1"], scores)

    def check_steps(self, pages):
        """What was measured stays under what was predicted, and that under the budget."""
        for page in pages:
            for step in json.loads(page.read_text())["steps"]:
                self.assertLessEqual(step["predicted_bytes"], BUDGET, step)
                self.assertLessEqual(step["measured_bytes"], step["predicted_bytes"], step)
                if step["model"].startswith("micro-"):  # a decoder may be gone unsampled
                    self.assertGreater(step["measured_bytes"], 1 << 20, step)


if __name__ == "__main__":
    unittest.main()
