// A server that answers OpenAI's shapes for sound over HTTP, an external engine's command or
// llama-server with a model that hears, behind the same requests as our own speech workers.
#pragma once

#include <memory>

#include "worker/worker.h"

namespace gantry {

struct AudioLimits {
  Millis test{60'000};      // the answer at start-up
  Millis silent{600'000};   // between two bytes of an answer
  Bytes sound = MiB(64);    // of one utterance
  Millis piece{120'000};    // longest piece of a recording in one request
  Millis diarize{3'600'000};  // longest recording whose speakers are told apart, sent whole
};
// What llama-server's encoders make room for when they load is half a minute.
constexpr Millis kLlamaPiece{28'000};
// Of the answer to a piece, as whisper's decoder has it: a model that repeats itself ends there,
// and its segment is marked as doubtful.
constexpr uint32_t kHeardTokens = 448;

// `server` answers HTTP; `spec.voice.engine` is the kind of model: "speech", "voice" or
// "diarization". ready() asks it once, with a short sound or sentence, and takes nothing but an
// answer of the right shape for ready. Options: model, language, test_s. llama-server is not asked:
// its shapes are known. It is given kLlamaPiece at once.
std::unique_ptr<Worker> make_audio_command(std::unique_ptr<Worker> server, const WorkerSpec& spec,
                                           AudioLimits limits);

}  // namespace gantry
