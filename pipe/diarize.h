// Telling speakers apart, as a job of its own and as a step of others.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "foreman/client.h"
#include "pipe/step.h"

namespace gantry {

// The params "speakers" (a number; 0: by the threshold), "threshold" and "diarization" (a model's
// name) of jobs that may tell speakers apart; nothing where none of them is there.
struct SpeakerParams {
  std::string model;  // empty: diarization_model
  SpeakerWish wish;
};
inline constexpr std::string_view kSpeakerKeys[] = {"speakers", "threshold", "diarization"};
[[nodiscard]] Result<std::optional<SpeakerParams>> speaker_params(const nlohmann::json& params);

// `wanted`, or the first one of kind diarization; ours comes when there is no other. kNotFound:
// there is none.
[[nodiscard]] Result<std::string> diarization_model(ForemanClient& foreman,
                                                    const std::string& wanted);

// The turns of a recording; kept as a checkpoint.
[[nodiscard]] Result<std::vector<SpeakerTurn>> diarized(Steps& steps, JobContext& context,
                                                        const std::string& file,
                                                        const SpeakerParams& params);

// {"model","speakers","threshold"}; one recording -> {"turns": [...], "steps": [...]}
std::unique_ptr<Executor> make_diarize(Os& os);

}  // namespace gantry
