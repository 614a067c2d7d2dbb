// The library is found by dlopen, and what it answers is checked.
#include "worker/encoder_library.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string_view>

#include "base/os.h"

namespace gantry {

namespace {

std::string text_of(const EncoderText& text) {
  return {text.data(), static_cast<size_t>(std::ranges::find(text, '\0') - text.begin())};
}

}  // namespace

Result<void> DeviceEncoder::encode(std::span<const float> mel, std::span<float> states,
                                   Millis wait_max) {
  Result<void> done;
  EncoderText cause{};
  if (mel.size() != size_t{shape_.mels} * shape_.frames ||
      states.size() != size_t{shape_.states} * shape_.width) {
    done = fail(Code::kConflict, fmt::format("the encoder takes {} x {} and gives {} x {}, not as "
                                             "the model", shape_.mels, shape_.frames,
                                             shape_.states, shape_.width));
  } else if (!api_->encode(encoder_, mel.data(), states.data(), wait_max.count(), &cause)) {
    done = fail(Code::kWorkerFailed, text_of(cause));
  } else if (!std::ranges::all_of(states, [](float x) { return std::isfinite(x); })) {
    done = fail(Code::kWorkerFailed, "its answer holds what is no number");
  }
  if (!done) std::ranges::fill(states, 0.0F);
  return done;
}

Result<EncoderLibrary> EncoderLibrary::load(const std::string& path) {
  void* const library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    return fail(Code::kUnavailable, fmt::format("cannot load the encoders: {}", ::dlerror()),
                "run ./run --setup");
  }
  const auto entry = reinterpret_cast<EncoderEntry>(::dlsym(library, kEncoderSymbol));
  if (entry == nullptr || entry()->abi != kEncoderAbi) {
    return fail(Code::kUnavailable, base_name(path) + " is no library of encoders of this version",
                "build it and gantry-worker together");
  }
  return EncoderLibrary(entry());
}

Result<std::vector<std::string>> EncoderLibrary::devices() const {
  EncoderText names{}, cause{};
  if (!api_->devices(&names, &cause)) return fail(Code::kUnavailable, text_of(cause));
  std::vector<std::string> out;
  const std::string text = text_of(names);
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find(',', at), text.size());
    out.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return out;
}

Result<std::unique_ptr<DeviceEncoder>> EncoderLibrary::open(const std::string& ir,
                                                            const std::string& device,
                                                            const std::string& cache_dir,
                                                            uint32_t threads) const {
  EncoderShape shape;
  EncoderText answers{}, cause{};
  void* const encoder = api_->open(ir.c_str(), device.c_str(), cache_dir.c_str(), threads, &shape,
                                   &answers, &cause);
  if (encoder == nullptr) return fail(Code::kUnavailable, text_of(cause));
  return std::make_unique<DeviceEncoder>(api_, encoder, shape, text_of(answers));
}

Result<void> EncoderLibrary::convert(const EncoderModel& model, const std::string& xml) const {
  EncoderText cause{};
  if (api_->convert(&model, xml.c_str(), &cause)) return {};
  return fail(Code::kWorkerFailed, "cannot convert the encoder: " + text_of(cause));
}

}  // namespace gantry
