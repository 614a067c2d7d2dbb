// After PROJECTOR_TYPE_PARAKEET in clip.cpp and mtmd-audio.cpp, whose assertions these are.
#include "model/parakeet.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace gantry {

namespace {

constexpr uint64_t kSubsampling = 8, kTapsMax = 1'023;
constexpr uint64_t kFrequencies = 512 / 2 + 1, kWindow = 400;  // of the spectrum
constexpr uint64_t kWidthMax = 1U << 20;

tl::unexpected<Error> refused(std::string message, Code code = Code::kUnsupported) {
  return fail(code, "the Parakeet encoder " + std::move(message),
              "convert the whole model's projector again, with llama.cpp's "
              "convert_hf_to_gguf.py --mmproj");
}

const GgufTensor* find_tensor(const Gguf& gguf, std::string_view name) {
  const auto found = std::ranges::find(gguf.tensors, name, &GgufTensor::name);
  return found == gguf.tensors.end() ? nullptr : &*found;
}

uint64_t number_of(const Gguf& gguf, const char* key) {
  const GgufPair* pair = gguf.find(key);
  return pair == nullptr || pair->is_array ? 0 : pair->whole().value_or(0);
}

Result<void> check_sizes(const Gguf& gguf, const char* name, uint64_t elements) {
  const GgufTensor* tensor = find_tensor(gguf, name);
  if (tensor == nullptr) return refused(fmt::format("has no {}", name));
  if (tensor->elements == elements) return {};
  return refused(
      fmt::format("has {} numbers in {}, not {}", tensor->elements, name, elements));
}

}  // namespace

Result<void> read_parakeet(const Gguf& gguf, ModelCard& card) {
  const uint64_t share = number_of(gguf, "clip.audio.subsampling_factor");
  if (share != kSubsampling) {
    return refused(fmt::format("leaves one step in time of {}, not of {}", share, kSubsampling));
  }
  const uint64_t taps = number_of(gguf, "clip.audio.conv_kernel_size");
  if (taps > kTapsMax) {
    return refused(fmt::format("has convolutions over {} steps (at most {})", taps, kTapsMax),
                   Code::kTooLarge);
  }
  if (taps % 2 == 0) return refused(fmt::format("has convolutions over {} steps", taps));
  card.audio.taps = static_cast<uint32_t>(taps);
  for (const auto& [name, elements] :
       {std::pair{"a.mel_filters", card.audio_mels * kFrequencies},
        std::pair{"a.window", kWindow}}) {
    if (Result<void> checked = check_sizes(gguf, name, elements); !checked) return checked;
  }
  // The engine looks these up unconditionally: it dies without them.
  for (const char* name : {"mm.a.norm_pre.weight", "mm.a.mlp.1.weight", "mm.a.mlp.2.weight",
                           "a.conv1d.0.weight"}) {
    if (find_tensor(gguf, name) == nullptr) return refused(fmt::format("has no {}", name));
  }
  // Files of the converter have both encoders, and the one of sound loads these for itself.
  for (const char* name :
       {"mm.model.mlp.0.weight", "mm.model.mlp.1.weight", "mm.model.mlp.3.weight"}) {
    const GgufTensor* tensor = find_tensor(gguf, name);
    if (tensor == nullptr) return refused(fmt::format("has no {}", name));
    card.audio.shared += Bytes{tensor->bytes};
  }
  const auto side = [&gguf](const char* name, size_t i) {
    return static_cast<uint32_t>(std::min(find_tensor(gguf, name)->shape[i], kWidthMax));
  };
  card.audio.inner = side("mm.a.mlp.1.weight", 1);
  card.audio_channels = side("a.conv1d.0.weight", 3);
  return {};
}

}  // namespace gantry
