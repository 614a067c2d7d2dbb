"""From rows to errors, summaries and the page."""

import json
import statistics

MIB = 1 << 20
BEGIN, END = "<!-- figures: bench/predictions/run -->", "<!-- end of figures -->"
COLUMNS = ("ggml", "device", "process")
TITLES = {"ggml": "Weights, caches and compute buffers in host memory",
          "device": "The same on an accelerator", "process": "The whole process"}
# Errors below this are not told apart: buffers of the log have two decimals of a MiB.
SAME_BYTES = MIB // 20


def error_of(row, tool, column):
    """Predicted less measured, in bytes; None where one of them is missing."""
    measured, predicted = row["measured"].get(column), row["predicted"].get(tool, {}).get(column)
    return None if measured is None or predicted is None else predicted - measured


def percent(row, tool, column):
    error = error_of(row, tool, column)
    return None if error is None else 100 * error / row["measured"][column]


def best_of(row, column):
    """The smallest error of a row, in bytes; None where nobody predicted it."""
    errors = [error_of(row, tool, column) for tool in row["predicted"]]
    return min((abs(error) for error in errors if error is not None), default=None)


def is_ours(tool):
    return tool.startswith("gantry")


def ours_is_best(row, column):
    """Whether one of ours is as near as the nearest; None where there is nothing to compare."""
    best = best_of(row, column)
    ours = [error_of(row, tool, column) for tool in row["predicted"] if is_ours(tool)]
    ours = [abs(error) for error in ours if error is not None]
    return None if best is None or not ours else min(ours) <= best + SAME_BYTES


def why_not(row, column):
    """For a row where none of ours is nearest: who is, and which part of ours is how far off."""
    near = min((abs(error_of(row, tool, column)), tool) for tool in row["predicted"]
               if error_of(row, tool, column) is not None)
    error, ours = min((abs(error_of(row, tool, column)), tool) for tool in row["predicted"]
                      if is_ours(tool) and error_of(row, tool, column) is not None)
    measured, predicted = row["measured"], row["predicted"][ours]
    parts = {part: predicted[part] - measured[part] for part in ("weights", "kv", "compute")
             if part in predicted and part in measured}
    if column == "process":
        parts["the process's own"] = (predicted["process"] - predicted["ggml"]
                                      - measured["process"] + measured["ggml"])
    told = ", ".join(f"{part} {size / MIB:+.1f} MiB" for part, size in
                     sorted(parts.items(), key=lambda item: -abs(item[1]))
                     if abs(size) > SAME_BYTES)
    return (f"{row['id']}: {near[1]} is off by {near[0] / MIB:.1f} MiB, {ours} by "
            f"{error / MIB:.1f}" + (f" ({told})" if told else ""))


def summary(result):
    """By tool and column: median and worst of the errors' sizes, and how often it was nearest."""
    out = {}
    for tool in result["tools"]:
        out[tool] = {}
        for column in COLUMNS:
            errors = [(abs(percent(row, tool, column)), row["id"]) for row in result["rows"]
                      if percent(row, tool, column) is not None]
            if not errors:
                continue
            worst = max(errors)
            nearest = sum(1 for row in result["rows"] if error_of(row, tool, column) is not None
                          and abs(error_of(row, tool, column)) <= best_of(row, column) + SAME_BYTES)
            median = statistics.median(size for size, _ in errors)
            out[tool][column] = {"rows": len(errors), "median_percent": round(median, 2),
                                 "worst_percent": round(worst[0], 2), "worst_row": worst[1],
                                 "nearest": nearest}
    return out


def cell(row, tool, column):
    error = percent(row, tool, column)
    return "-" if error is None else f"{error:+.1f} %"


def line_of(row):
    """One row for a terminal."""
    if "error" in row["measured"]:
        return f"  not measured: {row['measured']['error']}"
    columns = [column for column in COLUMNS if column in row["measured"]]
    parts = [f"{tool} {' / '.join(cell(row, tool, column) for column in columns)}"
             for tool in row["predicted"]]
    sizes = " / ".join(f"{row['measured'][column] / MIB:.1f}" for column in columns)
    return f"  {sizes} MiB: " + ", ".join(parts)


def table_of(result, column):
    names = list(result["tools"])
    lines = ["| model | configuration | measured MiB | " + " | ".join(names) + " |",
             "|---|---|---:|" + "---:|" * len(names)]
    for row in result["rows"]:
        start = f"| {row['model']} | {row['config']} | "
        if "error" in row["measured"]:
            lines.append(start + "failed |" + " - |" * len(names))
            continue
        if column not in row["measured"]:
            continue
        mark = "" if ours_is_best(row, column) is not False else " *"
        lines.append(start + f"{row['measured'][column] / MIB:.1f}{mark} | "
                     + " | ".join(cell(row, tool, column) for tool in names) + " |")
    return lines


def figures(result):
    """The part of the page between the two markers."""
    what = result["machine"]
    lines = ["", f"Measured {result['date']} on {what['cores']} cores of {what['cpu']}, "
             f"{what['memory_bytes'] / (1 << 30):.0f} GiB. Sizes of errors: median, worst, and on "
             "how many rows of all it was nearest.", "",
             "| tool | version | ggml | device | process |", "|---|---|---|---|---|"]
    for tool, by in result["summary"].items():
        cells = [f"{got['median_percent']:.2f} %, {got['worst_percent']:.1f} %, "
                 f"{got['nearest']} of {got['rows']}" if (got := by.get(column)) else "-"
                 for column in COLUMNS]
        lines.append(f"| {tool} | {result['tools'][tool]['version']} | {' | '.join(cells)} |")
    for name, why in result["not_measured"].items():
        lines.append(f"| {name} | not measured: {why} | | | |")
    for column, title in TITLES.items():
        lines += ["", f"### {title}", "", *table_of(result, column)]
        behind = [row for row in result["rows"] if ours_is_best(row, column) is False]
        if behind:
            lines += ["", f"Ours is not nearest on {len(behind)} rows (*):", "",
                      *[f"- {why_not(row, column)}" for row in behind]]
    lines.append("")
    return "\n".join(lines)


def as_json(result):
    """One row a line, so that two runs can be compared."""
    head = {key: value for key, value in result.items() if key != "rows"}
    text = json.dumps(head, indent=1)[:-2] + ',\n "rows": [\n  '
    return text + ",\n  ".join(json.dumps(row) for row in result["rows"]) + "\n ]\n}\n"


def write_page(page, text):
    before, rest = page.read_text().split(BEGIN)
    page.write_text(before + BEGIN + text + END + rest.split(END)[1])
