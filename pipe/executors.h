// The kinds of jobs: transcribe, minutes, summarize, generate, diarize, speak, talk. Each turns a
// JobSpec into the bytes of a result, step by step, with a checkpoint after every step.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "foreman/client.h"

namespace gantry {

// Params (JSON object; every key optional) and files by kind:
//   transcribe  {"model": "micro-asr"}; one recording
//               -> {"segments": [...], "steps": [...]}
//               with "speakers" (0: by the threshold), "threshold" or "diarization" (a model):
//               "turns" besides, and each segment with its "speaker"
//   minutes     {"speech", "vision", "language": model names, "part_lines": 1..}; a recording,
//               then screenshots in the order they were taken
//               -> {"transcript": [...], "screens": [{"file","text"}], "parts": [{"text"}],
//                   "minutes": "- ...", "steps": [...]}
//   summarize   {"model" or "map" and "reduce": model names, "map_prompt", "reduce_prompt",
//               "prompt_tokens", "answer_tokens", "part_lines"}; one text in UTF-8
//               -> {"text": "- ...", "levels": [parts, answers, ...], "parts": [{"text","answer"}],
//                   "steps": [...]}
//   generate    {"model": "micro-minutes", "prompt" (required), "system", "tokens_max",
//               "temperature", "seed"}; pictures, if any
//               -> {"text": "...", "steps": [...]}
//   diarize     see pipe/diarize.h
//   speak       see pipe/speak.h: the one whose result is a wav
//   talk        see pipe/talk.h
// "steps" are StepReports: what each cost, predicted and measured.
using Executors = std::map<std::string, std::unique_ptr<Executor>>;
Executors make_executors(Os& os);

}  // namespace gantry
