// Devices in order, opened when their turn comes, rested after a failure.
#include "worker/encoder_chain.h"

#include <algorithm>
#include <array>

namespace gantry {

namespace {

constexpr std::array<const char*, 3> kNames = {"NPU", "GPU", "CPU"};
constexpr std::array<const char*, 3> kWords = {"npu", "gpu", "cpu"};

}  // namespace

EncoderChain::EncoderChain(EncoderOptions options, const Clock& clock)
    : options_(std::move(options)), clock_(clock) {
  if (Result<void> loaded = load(); !loaded) {
    unavailable_ = loaded.error().message;
    links_.clear();
  }
  begin();
}

Result<void> EncoderChain::load() {
  if (options_.first == "none") return {};
  Result<EncoderLibrary> library = EncoderLibrary::load(options_.library);
  if (!library) return fail(library.error());
  const Result<std::vector<std::string>> there = library->devices();
  if (!there) return fail(there.error());
  library_ = std::move(*library);
  const bool automatic = options_.first == "auto";
  const auto word = std::ranges::find(kWords, automatic ? "npu" : options_.first);
  for (auto i = static_cast<size_t>(word - kWords.begin()); i < kNames.size(); ++i) {
    Link link{kNames[i], {}, nullptr, std::nullopt, {}};
    for (const std::string& name : *there) {
      if (name == link.name || name.starts_with(link.name + ".")) link.devices.push_back(name);
    }
    if (automatic && i == 0 && link.devices.empty()) return {};
    links_.push_back(std::move(link));
  }
  Result<std::string> ir = options_.ir();
  if (!ir) return fail(ir.error());
  ir_ = std::move(*ir);
  return {};
}

void EncoderChain::begin() {
  changes_.clear();
  failure_.reset();
  settle(0, Millis(0));
  if (!unavailable_.empty()) {
    changes_.push_back({options_.first, kGgmlEncoder, unavailable_, Millis(0)});
  }
}

// The first link from this one on that works; a change for each that does not.
void EncoderChain::settle(size_t from, Millis at) {
  const size_t before = changes_.size();
  for (at_ = from; at_ < links_.size() && !ready(links_[at_]); ++at_) {
    changes_.push_back({links_[at_].name, {}, links_[at_].cause, at});
  }
  current_ = at_ < links_.size() ? links_[at_].encoder.get() : nullptr;
  device_ = current_ == nullptr ? kGgmlEncoder : current_->device();
  for (size_t i = before; i < changes_.size(); ++i) changes_[i].to = device_;
}

bool EncoderChain::ready(Link& link) {
  if (link.encoder != nullptr) return true;
  if (link.devices.empty()) {
    link.cause = "this machine has none that OpenVINO sees";
    return false;
  }
  if (link.failed && clock_.steady() < *link.failed + options_.rest) return false;
  auto opened = library_->open(ir_, link.devices.front(), options_.cache_dir,
                               options_.threads);
  if (opened) {
    link.encoder = std::move(*opened);
    link.failed.reset();
    return true;
  }
  link.failed = clock_.steady();
  link.cause = opened.error().message;
  return false;
}

void EncoderChain::encode(std::span<const float> mel, uint32_t, uint32_t,
                          std::span<float> states, uint32_t) {
  // libwhisper asks again after a failed answer to "which language": that is no second chance.
  if (failure_ || current_ == nullptr) {
    std::ranges::fill(states, 0.0F);
    return;
  }
  const Result<void> done = current_->encode(mel, states, options_.wait_max);
  if (!done) failure_ = done.error().message;
}

void EncoderChain::step_down(Millis at) {
  Link& lost = links_[at_];
  lost.encoder.reset();
  lost.failed = clock_.steady();
  lost.cause = failure_.value_or("");
  failure_.reset();
  const size_t before = changes_.size();
  changes_.push_back({device_, {}, lost.cause, at});
  settle(at_ + 1, at);
  changes_[before].to = device_;
}

}  // namespace gantry
