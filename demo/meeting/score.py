#!/usr/bin/env python3
"""Score what `gantry minutes --format json` wrote about a generated meeting against its truth.

  transcript   word error rate against the script
  screens      panels read exactly; precision, recall and F1 of their lines
  parts        parts whose bullets are exactly right
  minutes      exact or not; precision, recall and F1 of the lines
  baseline     the minutes that a fixed template makes of the transcript, without a model

The functions are an interface too: score() for one meeting, mean() over many, table() to print.
"""
import argparse
import collections
import json
import pathlib
import re
import sys


def words_of(text):
    """Lower case, without punctuation: spelling is no word error."""
    return re.findall(r"[a-z0-9']+", text.lower())


def word_errors(heard, said):
    """Substitutions + insertions + deletions that turn `said` into `heard` (lists of words)."""
    row = list(range(len(said) + 1))
    for i, word in enumerate(heard, 1):
        previous, row[0] = row[0], i
        for j, wanted in enumerate(said, 1):
            best = min(row[j] + 1, row[j - 1] + 1, previous + (word != wanted))
            previous, row[j] = row[j], best
    return row[-1]


def lines_of(text):
    """The bullets of a text, without empty lines and outer blanks."""
    return [line.strip() for line in text.split("\n") if line.strip()]


def compare(got, wanted):
    """Two lists of lines -> {"exact", "precision", "recall", "f1"}; order counts for exact only."""
    both = sum((collections.Counter(got) & collections.Counter(wanted)).values())
    precision = both / len(got) if got else float(not wanted)
    recall = both / len(wanted) if wanted else float(not got)
    total = precision + recall
    return {"exact": float(got == wanted), "precision": precision, "recall": recall,
            "f1": 2 * precision * recall / total if total else 0.0}


def template_bullet(sentence):
    """The baseline's bullet: what follows "the", and the word before it as what became of it.

    "turn on the kitchen light" happens to come out right, "close the garage door" does not.
    """
    words = words_of(sentence)
    if "the" in words[1:]:
        at = words.index("the", 1)
        return f"- {' '.join(words[at + 1:])}: {words[at - 1]}"
    return f"- {words[0] if words else ''}: {' '.join(words[1:])}"


def baseline(transcript):
    """Minutes without understanding: one templated bullet per transcript line, nothing joined."""
    return [template_bullet(line["text"]) for line in transcript if words_of(line["text"])]


def _mean(rows):
    """Mean of dictionaries of numbers that share their keys."""
    return {key: sum(row[key] for row in rows) / len(rows) for key in rows[0]}


def _parts_exact(parts, wanted):
    """Share of the script's parts that are exact; 0 where the recording was cut differently."""
    if len(parts) != len(wanted):
        return 0.0
    return sum(lines_of(part["text"]) == lines_of(right)
               for part, right in zip(parts, wanted)) / max(1, len(wanted))


def score(truth, out):
    """One meeting -> {"words", "word_errors", "wer", "screens", "parts_exact", "minutes", ...}

    "screens" is None for a meeting without pictures.  A missing screen counts as an empty answer.
    """
    said = words_of(" ".join(line["text"] for line in truth["utterances"]))
    heard = words_of(" ".join(line["text"] for line in out["transcript"]))
    errors = word_errors(heard, said)
    read = {pathlib.PurePath(screen["file"]).name: screen["text"] for screen in out["screens"]}
    screens = [compare(lines_of(read.get(pathlib.PurePath(screen["file"]).name, "")),
                       lines_of(screen["answer"])) for screen in truth["screens"]]
    return {"words": len(said), "word_errors": errors, "wer": errors / max(1, len(said)),
            "screens": _mean(screens) if screens else None,
            "parts_exact": _parts_exact(out.get("parts", []), truth["parts"]),
            "minutes": compare(lines_of(out["minutes"]), truth["minutes"]),
            "baseline": compare(baseline(out["transcript"]), truth["minutes"])}


def mean(scores):
    """Mean of several scores; the word error rate is that of all words together."""
    screens = [one["screens"] for one in scores if one["screens"]]
    words = sum(one["words"] for one in scores)
    errors = sum(one["word_errors"] for one in scores)
    return {"meetings": len(scores), "words": words, "word_errors": errors,
            "wer": errors / max(1, words), "screens": _mean(screens) if screens else None,
            "parts_exact": sum(one["parts_exact"] for one in scores) / len(scores),
            "minutes": _mean([one["minutes"] for one in scores]),
            "baseline": _mean([one["baseline"] for one in scores])}


def table(result):
    """A score or a mean as text."""
    rows = [f"word error rate {100 * result['wer']:.1f} % "
            f"({result['word_errors']} of {result['words']} words)",
            f"parts exact {100 * result['parts_exact']:.0f} %", "",
            f"{'':20}{'exact':>8}{'precision':>11}{'recall':>8}{'F1':>8}"]
    for name, key in [("screens", "screens"), ("minutes", "minutes"),
                      ("template baseline", "baseline")]:
        if result[key]:
            values = [f"{100 * result[key][k]:.0f} %" for k in ("exact", "precision", "recall",
                                                                "f1")]
            rows.append(f"{name:20}{values[0]:>8}{values[1]:>11}{values[2]:>8}{values[3]:>8}")
    return "\n".join(rows)


def _load(path):
    try:
        return json.loads(pathlib.Path(path).read_text())
    except (OSError, ValueError) as error:
        raise SystemExit(f"score.py: {path}: {error} (give a readable JSON file)") from error


def main():
    parser = argparse.ArgumentParser(
        description="Score minutes of generated meetings against their truth.",
        epilog="example: score.py --truth /tmp/meeting/truth.json --minutes-json out.json")
    parser.add_argument("--truth", nargs="+", required=True, help="truth.json of make_meeting.py")
    parser.add_argument("--minutes-json", nargs="+", required=True,
                        help="what `gantry minutes --format json` printed, in the same order")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    if len(options.truth) != len(options.minutes_json):
        parser.error(f"{len(options.truth)} truths but {len(options.minutes_json)} results")
    scores = []
    for truth, out in zip(options.truth, options.minutes_json):
        try:
            scores.append(score(_load(truth), _load(out)))
        except (KeyError, TypeError, AttributeError) as error:
            raise SystemExit(f"score.py: {truth}, {out}: {error!r} "
                             "(not a truth and a result of gantry minutes)") from error
    result = mean(scores)
    print(json.dumps(result) if options.json else table(result))


if __name__ == "__main__":
    sys.exit(main())
