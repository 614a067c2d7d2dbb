#!/usr/bin/env python3
"""Train a micro model from nothing (or go on from a shipped file) and write the files that run."""
import argparse
import os
import pathlib
import sys

EPILOG = """examples:
  train.py minutes --out /tmp/m --minutes 60         a language model from nothing
  train.py vision --out /tmp/m --minutes 15          the panel reader, on top of /tmp/m's minutes
  train.py embed --out /tmp/m --minutes 5
  WHISPER_HEAD=.../for-tests-ggml-tiny.en.bin train.py asr --out /tmp/m --minutes 30
  train.py minutes --out /tmp/m --resume models/micro-minutes.gguf --minutes 20
  train.py asr --out /tmp/m --smoke                  two minutes: does the whole way work?
Times are for two CPU cores with nothing else to do.  See models/README.md."""
MINUTES = {"asr": 30, "minutes": 60, "vision": 15, "embed": 5}
SMOKE_MINUTES = 1.0
SMOKE_RENDERINGS = 60


def options_from(arguments):
    parser = argparse.ArgumentParser(description=__doc__, epilog=EPILOG,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=list(MINUTES))
    parser.add_argument("--out", required=True, help="folder for the files, made if missing")
    parser.add_argument("--minutes", type=float,
                        help=f"training time (default {MINUTES})")
    parser.add_argument("--smoke", action="store_true",
                        help=f"{SMOKE_MINUTES:.0f} minute and little data: files that load, "
                             "answers that are wrong")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--resume", help="go on from this file (asr: F16 .bin; minutes: .gguf)")
    parser.add_argument("--language-model", help="vision: the minutes model to build on "
                                                 "(default OUT/micro-minutes.gguf)")
    parser.add_argument("--whisper-head", help="asr: whisper.cpp's for-tests-ggml-tiny.en.bin "
                                               "(default $WHISPER_HEAD)")
    options = parser.parse_args(arguments)
    options.minutes = options.minutes or (SMOKE_MINUTES if options.smoke
                                          else MINUTES[options.model])
    if options.minutes <= 0:
        parser.error("--minutes must be more than 0")
    if options.resume and options.model not in ("asr", "minutes"):
        parser.error("--resume is for asr and minutes")
    for path in filter(None, [options.resume, options.language_model]):
        if not os.path.isfile(path):
            parser.error(f"{path} not found")
    return options


def _language_model(options):
    """The minutes model that the vision model builds on."""
    path = options.language_model or os.path.join(options.out, "micro-minutes.gguf")
    if not os.path.isfile(path):
        raise SystemExit(f"{path} not found (train minutes first, or give --language-model)")
    return path


def main():
    options = options_from(sys.argv[1:])
    pathlib.Path(options.out).mkdir(parents=True, exist_ok=True)
    try:
        import torch
    except ImportError as error:
        raise SystemExit("PyTorch not found (pip install -r models/recipes/requirements.txt "
                         "in a virtual environment)") from error
    torch.set_num_threads(options.threads)
    if options.model == "asr":
        import asr
        count = SMOKE_RENDERINGS if options.smoke else asr.RENDERINGS
        asr.train(options.out, options.minutes, options.whisper_head, options.seed,
                  options.resume, count)
    elif options.model == "minutes":
        import minutes
        minutes.train(options.out, options.minutes, options.seed, options.resume)
    elif options.model == "vision":
        import vision
        vision.train(options.out, options.minutes, _language_model(options), options.seed)
    else:
        import embed
        embed.train(options.out, options.minutes, options.seed)


if __name__ == "__main__":
    main()
