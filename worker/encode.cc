// libsndfile at one end of a pipe of ours, we at the other.
#include "worker/encode.h"

#include <fcntl.h>
#include <sndfile.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <istream>
#include <ostream>
#include <vector>

#include "base/base64.h"
#include "worker/speech_protocol.h"

namespace gantry {

namespace {

// What a write of so many samples makes, and the largest page of Ogg, stay below what a pipe holds.
constexpr size_t kAtOnce = 2048;
// Half of the bits that the format has for its rate: 80 kbit/s of 24 kHz mono. Constant, so that
// players know a stream's length from its bytes.
constexpr double kMp3Compression = 0.5;
// 66 kbit/s: from there on every sample is coded as a wave, not as what sounds like it.
constexpr double kOpusCompression = 0.76;
constexpr double kPageMs = 200;  // of Opus, at most: who listens hears it that much later

constexpr std::array<uint32_t, 9> kMp3Rates = {8'000,  11'025, 12'000, 16'000, 22'050,
                                               24'000, 32'000, 44'100, 48'000};
constexpr std::array<uint32_t, 5> kOpusRates = {8'000, 12'000, 16'000, 24'000, 48'000};

int sndfile_format(SoundFormat format) {
  switch (format) {
    case SoundFormat::kMp3: return SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III;
    case SoundFormat::kFlac: return SF_FORMAT_FLAC | SF_FORMAT_PCM_16;
    case SoundFormat::kOpus: return SF_FORMAT_OGG | SF_FORMAT_OPUS;
    case SoundFormat::kWav:
    case SoundFormat::kPcm: break;
  }
  return 0;
}

class PipeEncoder final : public SoundEncoder {
 public:
  explicit PipeEncoder(uint32_t from, uint32_t to) : resampler_(from, to) {}
  ~PipeEncoder() override {
    close_sound();
    for (const int fd : ends_) {
      if (fd >= 0) ::close(fd);
    }
  }

  Result<void> open(SoundFormat format, uint32_t rate) {
    if (::pipe2(ends_.data(), O_CLOEXEC) != 0 ||
        ::fcntl(ends_[0], F_SETFL, O_NONBLOCK) != 0) {
      return fail(os_error("cannot make a pipe", errno));
    }
    SF_INFO info{};
    info.samplerate = static_cast<int>(rate);
    info.channels = 1;
    info.format = sndfile_format(format);
    sound_ = info.format == 0 ? nullptr : sf_open_fd(ends_[1], SFM_WRITE, &info, SF_FALSE);
    if (sound_ == nullptr) {
      return fail(Code::kUnsupported,
                  "this machine's libsndfile writes no " + std::string(facts_of(format).name),
                  "ask for another format: " + sound_format_names());
    }
    if (format == SoundFormat::kMp3) {
      int constant = SF_BITRATE_MODE_CONSTANT;
      double compression = kMp3Compression;
      sf_command(sound_, SFC_SET_BITRATE_MODE, &constant, sizeof constant);
      sf_command(sound_, SFC_SET_COMPRESSION_LEVEL, &compression, sizeof compression);
    } else if (format == SoundFormat::kOpus) {
      double page = kPageMs, compression = kOpusCompression;
      sf_command(sound_, SFC_SET_COMPRESSION_LEVEL, &compression, sizeof compression);
      sf_command(sound_, SFC_SET_OGG_PAGE_LATENCY_MS, &page, sizeof page);
    }
    return {};
  }

  Result<std::string> put(std::span<const int16_t> samples) override {
    std::string out;
    floats_.resize(kAtOnce);
    while (!samples.empty()) {
      const size_t n = std::min(samples.size(), kAtOnce);
      std::ranges::transform(samples.first(n), floats_.begin(),
                             [](int16_t x) { return static_cast<float>(x) / 32768.0F; });
      const auto write = [&](std::span<const float> made) { return encode(made, &out); };
      if (Result<void> ok = resampler_.put({floats_.data(), n}, write); !ok) {
        return fail(ok.error());
      }
      samples = samples.subspan(n);
    }
    return out;
  }

  Result<std::string> finish() override {
    std::string out;
    const auto write = [&](std::span<const float> made) { return encode(made, &out); };
    if (Result<void> ok = resampler_.finish(write); !ok) return fail(ok.error());
    if (close_sound() != 0) return fail(broken());
    if (Result<void> ok = drain(&out); !ok) return fail(ok.error());
    return out;
  }

 private:
  static Error broken() {
    return {Code::kIo, "the sound cannot be encoded", "ask for wav, or try again"};
  }

  int close_sound() {
    SNDFILE* sound = std::exchange(sound_, nullptr);
    return sound == nullptr ? 0 : sf_close(sound);
  }

  Result<void> encode(std::span<const float> samples, std::string* out) {
    while (!samples.empty()) {
      const size_t n = std::min(samples.size(), kAtOnce);
      const auto count = static_cast<sf_count_t>(n);
      if (sound_ == nullptr || sf_write_float(sound_, samples.data(), count) != count) {
        return fail(broken());
      }
      if (Result<void> ok = drain(out); !ok) return ok;
      samples = samples.subspan(n);
    }
    return {};
  }

  Result<void> drain(std::string* out) {
    std::array<char, 16 << 10> piece;
    for (;;) {
      const ssize_t got = ::read(ends_[0], piece.data(), piece.size());
      if (got > 0) {
        out->append(piece.data(), static_cast<size_t>(got));
      } else if (got < 0 && errno == EAGAIN) {
        return {};
      } else if (got == 0 || errno != EINTR) {
        return fail(broken());
      }
    }
  }

  Resampler resampler_;
  std::array<int, 2> ends_ = {-1, -1};
  SNDFILE* sound_ = nullptr;
  std::vector<float> floats_;
};

Result<std::unique_ptr<SoundEncoder>> open_named(const std::string& format,
                                                 const std::string& rate) {
  const std::optional<SoundFormat> known = sound_format(format);
  uint32_t hz = 0;
  const auto [end, error] = std::from_chars(rate.data(), rate.data() + rate.size(), hz);
  if (!known || error != std::errc() || end != rate.data() + rate.size() ||
      hz < kSoundRateMin || hz > kSoundRateMax) {
    return fail(Code::kUsage, "no format or rate: " + format + ", " + rate,
                "name " + sound_format_names() + " and a rate in Hz");
  }
  return open_sound_encoder(*known, hz);
}

Result<std::string> answer(SoundEncoder& encoder, std::string_view line) {
  if (line == kSoundEnd) return encoder.finish();
  const std::optional<std::string> bytes = base64_bytes(line);
  if (!bytes || bytes->size() % 2 != 0) {
    return fail(Code::kUsage, "a line is no base 64 of samples", "send whole samples");
  }
  std::vector<int16_t> samples(bytes->size() / 2);
  std::memcpy(samples.data(), bytes->data(), bytes->size());
  return encoder.put(samples);
}

void refuse(std::ostream& out, const Error& error) {
  out << '!' << error.message << '\t' << error.remedy << '\n' << std::flush;
}

}  // namespace

uint32_t encoded_rate(SoundFormat format, uint32_t rate) {
  const auto least = [rate](const auto& rates) {
    const auto* found = std::ranges::lower_bound(rates, rate);
    return found == rates.end() ? rates.back() : *found;
  };
  if (format == SoundFormat::kMp3) return least(kMp3Rates);
  if (format == SoundFormat::kOpus) return least(kOpusRates);
  return rate;
}

Result<std::unique_ptr<SoundEncoder>> open_sound_encoder(SoundFormat format, uint32_t rate) {
  const uint32_t encoded = encoded_rate(format, rate);
  auto encoder = std::make_unique<PipeEncoder>(rate, encoded);
  if (Result<void> opened = encoder->open(format, encoded); !opened) return fail(opened.error());
  return encoder;
}

bool encode_lines(std::istream& in, std::ostream& out, const std::string& format,
                  const std::string& rate) {
  Result<std::unique_ptr<SoundEncoder>> encoder = open_named(format, rate);
  if (!encoder) {
    refuse(out, encoder.error());
    return false;
  }
  for (std::string line; std::getline(in, line);) {
    const Result<std::string> made = answer(**encoder, line);
    if (!made) {
      refuse(out, made.error());
      return false;
    }
    out << base64(*made) << '\n' << std::flush;
    if (line == kSoundEnd) return true;
  }
  return true;  // who asked is gone
}

}  // namespace gantry
