// Models larger than their device: what stays there, what passes through, and how fast that is.
#pragma once

#include <optional>
#include <string>

#include "plan/place.h"
#include "plan/plan.h"

namespace gantry {

// Whether the streamer could run it at all: a language model with layers, on llama.cpp.
bool can_stream(const Wish& wish);

// The layers that `wish` wants to be resident, at most those of the model; absent: as many as fit.
std::optional<uint32_t> wished_layers(const Wish& wish);

// Streamed on `device` ("cpu", or an accelerator), by the streamer's own arithmetic. Nothing where
// even the least does not fit, or where nothing would stream.
std::optional<Choice> stream_choice(const Machine& machine, const std::vector<Room>& rooms,
                                    const Wish& wish, const std::string& device);

// The least, and with whole layers resident from none to nearly all in at most kStreamSteps steps:
// ways that depend on no budget. On an accelerator each comes three times, with what streams on
// disk, in host memory, and half and half. Just the one that is asked for where layers or a preset
// are.
constexpr uint32_t kStreamSteps = 32;
std::vector<Choice> stream_ways(const Machine& machine, const Wish& wish,
                                const std::string& device);

// Tokens per second from measured bandwidths, each the bound of its phase.
Speed stream_speed(const Machine& machine, const Wish& wish, const Choice& choice);

// "12 of 28 layers stay, 16 stream from disk: ...".
std::string stream_text(const Machine& machine, const Wish& wish, const Choice& choice);

}  // namespace gantry
