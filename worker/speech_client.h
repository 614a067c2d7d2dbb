// The daemon's side of a speech worker: gantry-worker speech, over its stdin and stdout.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "worker/child.h"
#include "worker/worker.h"

namespace gantry {

struct SpeechLimits {
  Millis ready{180'000};    // kWorkerReadyMax
  Millis silent{600'000};   // without a word while it works: one piece on a slow machine fits
  Millis cancel{3'000};     // to obey a cancel, before it is killed
  uint32_t segments = 1'000'000;  // of one recording
  Bytes sound = MiB(64);  // of one utterance: ten minutes where a minute is much
};

// Pure: the command line.
std::vector<std::string> speech_argv(const WorkerContext& context, const WorkerSpec& spec);

[[nodiscard]] Result<std::unique_ptr<Worker>> start_speech(Os& os, const WorkerContext& context,
                                                           const WorkerSpec& spec);

// Over a process that speaks the protocol.
std::unique_ptr<Worker> make_speech_client(std::unique_ptr<Child> child, SpeechLimits limits);

}  // namespace gantry
