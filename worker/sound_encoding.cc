// gantry-encode, asked line by line.
#include "worker/sound_encoding.h"

#include <string>

#include "base/base64.h"
#include "worker/child.h"
#include "worker/worker.h"

namespace gantry {

namespace {

constexpr size_t kPiece = 32 << 10;        // bytes of samples in a line
constexpr Millis kAnswerMax{30'000};       // of one line; a second of sound takes milliseconds
constexpr Bytes kAnswerBytesMax = MiB(1);  // as base 64
constexpr size_t kWavHead = 44, kWavRateAt = 24;

}  // namespace

SoundEncoding::SoundEncoding(Private, std::unique_ptr<Child> child) : child_(std::move(child)) {}

SoundEncoding::~SoundEncoding() { child_->kill(); }

Result<std::unique_ptr<SoundEncoding>> SoundEncoding::start(Os& os, const WorkerContext& context,
                                                            SoundFormat format, uint32_t rate) {
  ProcessSpec spec = worker_process(context, "encode");
  spec.argv = {join_path(dir_name(context.worker_exe), "gantry-encode"),
               std::string(facts_of(format).name), std::to_string(rate)};
  spec.pipe_io = true;
  if (context.log_dir.empty()) spec.output_file.clear();
  Result<std::unique_ptr<Child>> child = Child::start(os, spec, "gantry-encode");
  if (!child) {
    return fail(Code::kUnavailable, child.error().message, "install it beside gantryd");
  }
  auto encoding = std::make_unique<SoundEncoding>(Private{}, std::move(*child));
  // No samples: whether it can is known before anything is promised.
  if (Result<std::string> able = encoding->ask(""); !able) return fail(able.error());
  return encoding;
}

Result<std::string> SoundEncoding::ask(std::string_view line) {
  // Whoever refuses ends at once: what it said is there all the same.
  const Result<void> told = child_->process().write_line(line);
  const Result<std::string> reply = child_->process().read_line(kAnswerMax, kAnswerBytesMax);
  if (!reply) return fail(child_->failure(told ? "does not answer" : "ended"));
  if (reply->starts_with('!')) {
    const size_t tab = std::min(reply->find('\t'), reply->size());
    return fail(Code::kUnsupported, reply->substr(1, tab - 1),
                tab < reply->size() ? reply->substr(tab + 1) : "");
  }
  std::optional<std::string> bytes = base64_bytes(*reply);
  if (!bytes) return fail(child_->failure("answered with something else"));
  return std::move(*bytes);
}

Result<std::string> SoundEncoding::put(std::string_view pcm) {
  std::string out;
  for (; !pcm.empty(); pcm.remove_prefix(std::min(pcm.size(), kPiece))) {
    const Result<std::string> made = ask(base64(pcm.substr(0, kPiece)));
    if (!made) return made;
    out += *made;
  }
  return out;
}

Result<std::string> SoundEncoding::finish() { return ask(kSoundEnd); }

Result<std::string> encode_wav(Os& os, const WorkerContext& context, SoundFormat format,
                               std::string_view wav) {
  if (format == SoundFormat::kWav) return std::string(wav);
  if (wav.size() < kWavHead || !wav.starts_with("RIFF")) {
    return fail(Code::kCorrupt, "there is no wav to encode");
  }
  const std::string_view pcm = wav.substr(kWavHead, (wav.size() - kWavHead) / 2 * 2);
  if (format == SoundFormat::kPcm) return std::string(pcm);
  uint32_t rate = 0;
  for (size_t i = 4; i-- > 0;) {
    rate = rate << 8 | static_cast<unsigned char>(wav[kWavRateAt + i]);
  }
  const Result<std::unique_ptr<SoundEncoding>> encoding =
      SoundEncoding::start(os, context, format, rate);
  if (!encoding) return fail(encoding.error());
  Result<std::string> out = (*encoding)->put(pcm);
  if (!out) return out;
  const Result<std::string> rest = (*encoding)->finish();
  if (!rest) return rest;
  return *out + *rest;
}

}  // namespace gantry
