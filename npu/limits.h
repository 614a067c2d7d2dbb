// The NPU worker's limits by name.
#pragma once

#include <cstdint>

#include "base/bytes.h"

namespace gantry {

constexpr uint16_t kNpuPort = 8081;
constexpr uint32_t kTextsMax = 2048;      // of one request, as OpenAI has it
constexpr Bytes kTextMax = KiB(256);      // of one text or prompt
constexpr uint32_t kNpuRequestsMax = 64;  // at work and in line; beyond: 503
constexpr uint32_t kEmbedQueueMax = 8192;  // texts in line, of all callers
constexpr uint32_t kEmbedRows = 8;         // computed at once
constexpr uint32_t kEmbedTokensMax = 8192;  // of a text, whatever the model's files say
constexpr uint32_t kBertLayersMax = 64;     // bert-large has 24
constexpr uint32_t kImagesMax = 32;       // of one request
constexpr uint32_t kImageQueueMax = 64;   // in line, of all callers, as floats
constexpr uint32_t kImageRows = 8;        // computed at once
constexpr uint32_t kImageTop = 5;         // classes of an answer when nobody says

constexpr uint32_t kPromptTokensMax = 1024;  // --prompt-max's default: what NPUs are compiled for
constexpr uint32_t kAnswerTokensMax = 1024;
constexpr uint32_t kAnswerTokens = 256;  // when nobody says
constexpr uint32_t kStopsMax = 8;
constexpr uint32_t kGenerationsMax = 16;  // at work and in line, of one model
constexpr uint32_t kHearingsMax = 16;     // recordings likewise

}  // namespace gantry
