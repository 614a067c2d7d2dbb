// libsoxr in blocks.
#include "worker/resample.h"

#include <string>

namespace gantry {

namespace {

constexpr size_t kBlock = 8 << 10;  // samples of the result at a time

}  // namespace

Resampler::Resampler(uint32_t from, uint32_t to) {
  if (from == to) return;
  const soxr_io_spec_t io = soxr_io_spec(SOXR_FLOAT32_I, SOXR_FLOAT32_I);
  const soxr_quality_spec_t quality = soxr_quality_spec(SOXR_HQ, 0);
  const soxr_runtime_spec_t runtime = soxr_runtime_spec(1);
  soxr_.reset(soxr_create(from, to, 1, &error_, &io, &quality, &runtime));
  block_.resize(kBlock);
}

Result<void> Resampler::put(std::span<const float> samples, const Sink& sink) {
  if (error_ != nullptr) return failed();
  if (!soxr_) return sink(samples);
  for (;;) {
    size_t used = 0, made = 0;
    error_ = soxr_process(soxr_.get(), samples.data(), samples.size(), &used, block_.data(),
                          block_.size(), &made);
    if (error_ != nullptr) return failed();
    if (Result<void> ok = sink({block_.data(), made}); !ok) return ok;
    samples = samples.subspan(used);
    if (samples.empty() && made < block_.size()) return {};
  }
}

Result<void> Resampler::finish(const Sink& sink) {
  for (size_t made = block_.size(); soxr_ && made > 0;) {
    error_ = soxr_process(soxr_.get(), nullptr, 0, nullptr, block_.data(), block_.size(), &made);
    if (error_ != nullptr) return failed();
    if (Result<void> ok = sink({block_.data(), made}); !ok) return ok;
  }
  return {};
}

Result<void> Resampler::failed() const {
  return fail(Code::kIo, std::string("cannot be resampled: ") + error_, "close other programs");
}

}  // namespace gantry
