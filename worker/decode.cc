// libsndfile reads, and every number in a header is doubted.
#include "worker/decode.h"

#include <fcntl.h>
#include <sndfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "worker/resample.h"
#include "worker/wav.h"

namespace gantry {

namespace {

constexpr int kRateMin = 1'000, kRateMax = 768'000;  // Hz; what is beyond is a hostile header
constexpr int kChannelsMax = 64;
constexpr size_t kReadFloats = 16 << 10;  // of all channels together, at a time
constexpr size_t kHeadBytes = 44;
// A file without a sample in it that is larger than this has something in it that another decoder
// may find, as in a wav whose recorder died before it wrote the length.
constexpr off_t kEmptyMax = 4 << 10;
constexpr float kLoudest = 4;  // over full scale, in float files; beyond is damage

class Fd {
 public:
  explicit Fd(int fd) : fd_(fd) {}
  ~Fd() {
    if (fd_ >= 0) ::close(fd_);
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

Error io_error(const std::string& doing, int err) {
  Error error = os_error(doing, err);
  if (error.code == Code::kDiskFull) {
    error = {Code::kDiskFull, "cannot be decoded, no space left",
             "free some space: a minute of sound takes 1.9 MB"};
  }
  return error;
}

// By their first bytes, so that libsndfile's readers of rarer formats never see a byte.
bool is_read_here(std::string_view head) {
  if (head.size() < 12) return false;
  const std::string_view kind = head.substr(0, 4), form = head.substr(8, 4);
  if (kind == "RIFF" || kind == "RF64") return form == "WAVE";
  if (kind == "FORM") return form == "AIFF" || form == "AIFC";
  if (kind == "fLaC" || kind == "OggS" || head.starts_with("ID3")) return true;
  // An MPEG audio frame: eleven bits of sync, no reserved version, layer, rate of bits or samples.
  const auto bits = [&head](size_t at, int mask) { return static_cast<int>(head[at]) & mask; };
  return bits(0, 0xFF) == 0xFF && bits(1, 0xE0) == 0xE0 && bits(1, 0x18) != 0x08 &&
         bits(1, 0x06) != 0 && bits(2, 0xF0) != 0xF0 && bits(2, 0x0C) != 0x0C;
}

struct Recording {
  std::unique_ptr<SNDFILE, int (*)(SNDFILE*)> sound{nullptr, &sf_close};
  size_t channels = 0;
  int rate = 0;
  bool small = false;  // kEmptyMax at most
};

Result<Recording> open_recording(int fd) {
  struct stat info {};
  if (::fstat(fd, &info) != 0) return fail(io_error("cannot be read", errno));
  if (!S_ISREG(info.st_mode)) return fail(Code::kUsage, "is no regular file", "name a recording");
  char head[12];
  const ssize_t got = ::pread(fd, head, sizeof head, 0);
  if (got < 0) return fail(io_error("cannot be read", errno));
  if (!is_read_here({head, static_cast<size_t>(got)})) {
    return fail(Code::kUnsupported, "is not wav, aiff, flac, ogg or mp3", "use ffmpeg");
  }
  SF_INFO sound{};
  Recording recording;
  recording.sound.reset(sf_open_fd(fd, SFM_READ, &sound, SF_FALSE));
  if (!recording.sound || sound.channels < 1 || sound.channels > kChannelsMax ||
      sound.samplerate < kRateMin || sound.samplerate > kRateMax) {
    return fail(Code::kUnsupported, "has a coding that is not read here", "use ffmpeg");
  }
  recording.channels = static_cast<size_t>(sound.channels);
  recording.rate = sound.samplerate;
  recording.small = info.st_size <= kEmptyMax;
  return recording;
}

// The result: room for the head, samples, and then the head.
class WavWriter {
 public:
  WavWriter(int fd, Millis longest) : fd_(fd), longest_(longest) {}

  Result<void> begin() { return put_bytes(std::string(kHeadBytes, '\0').data(), kHeadBytes); }

  Result<void> put(std::span<const float> samples) {
    block_.resize(samples.size());
    std::ranges::transform(samples, block_.begin(), [](float x) {
      return static_cast<int16_t>(std::lrint(std::clamp(x * 32768.0F, -32768.0F, 32767.0F)));
    });
    count_ += samples.size();
    if (length() > longest_) {
      return fail(Code::kTooLarge, "is longer than ten hours", "cut it into parts");
    }
    return put_bytes(reinterpret_cast<const char*>(block_.data()), 2 * block_.size());
  }

  bool empty() const { return count_ == 0; }

  Result<Millis> finish() {
    const auto bytes = static_cast<uint32_t>(2 * count_);
    std::string head = "RIFF";
    number(&head, bytes + kHeadBytes - 8, 4);
    head += "WAVEfmt ";
    number(&head, 16, 4);
    number(&head, 1, 2);  // PCM
    number(&head, 1, 2);  // channel
    number(&head, kSampleRate, 4);
    number(&head, 2 * kSampleRate, 4);
    number(&head, 2, 2);
    number(&head, 16, 2);
    head += "data";
    number(&head, bytes, 4);
    if (::lseek(fd_, 0, SEEK_SET) != 0) return fail(io_error("cannot be decoded", errno));
    if (Result<void> ok = put_bytes(head.data(), head.size()); !ok) return fail(ok.error());
    return length();
  }

 private:
  Millis length() const { return Millis(static_cast<int64_t>(count_ * 1000 / kSampleRate)); }

  static void number(std::string* out, uint64_t value, int bytes) {
    for (int i = 0; i < bytes; ++i) out->push_back(static_cast<char>(value >> (8 * i)));
  }

  Result<void> put_bytes(const char* bytes, size_t count) {
    while (count > 0) {
      const ssize_t put = ::write(fd_, bytes, count);
      if (put < 0 && errno == EINTR) continue;
      if (put < 0) return fail(io_error("cannot be decoded", errno));
      bytes += put;
      count -= static_cast<size_t>(put);
    }
    return {};
  }

  const int fd_;
  const Millis longest_;
  uint64_t count_ = 0;
  std::vector<int16_t> block_;
};

// The mean of all channels; nothing that is no number comes through.
void mix(std::span<const float> frames, size_t channels, std::vector<float>* mono) {
  mono->clear();
  for (size_t at = 0; at + channels <= frames.size(); at += channels) {
    float sum = 0;
    for (const float x : frames.subspan(at, channels)) {
      if (std::isfinite(x)) sum += std::clamp(x, -kLoudest, kLoudest);
    }
    mono->push_back(channels == 1 ? sum : sum / static_cast<float>(channels));
  }
}

Result<Millis> convert(const Recording& recording, int out, Millis longest) {
  WavWriter writer(out, longest);
  if (Result<void> ok = writer.begin(); !ok) return fail(ok.error());
  const auto write = [&writer](std::span<const float> made) { return writer.put(made); };
  Resampler resampler(static_cast<uint32_t>(recording.rate), kSampleRate);
  std::vector<float> frames(kReadFloats), mono;
  const auto step = static_cast<sf_count_t>(kReadFloats / recording.channels);
  for (;;) {
    const sf_count_t got = sf_readf_float(recording.sound.get(), frames.data(), step);
    if (got <= 0) break;  // the end, or where the damage begins
    mix(std::span(frames).first(static_cast<size_t>(got) * recording.channels),
        recording.channels, &mono);
    if (Result<void> ok = resampler.put(mono, write); !ok) return fail(ok.error());
  }
  if (Result<void> ok = resampler.finish(write); !ok) return fail(ok.error());
  if (!writer.empty()) return writer.finish();
  return fail(recording.small ? Code::kCorrupt : Code::kUnsupported, "has no sound in it",
              "check that it plays");
}

}  // namespace

Result<Millis> decode_file(const std::string& file, const std::string& wav, Millis longest) {
  // Not blocking: a named pipe is refused, not waited for.
  const Fd in(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (in.get() < 0) return fail(io_error("cannot be read", errno));
  const Result<Recording> recording = open_recording(in.get());
  if (!recording) return fail(recording.error());
  const Fd out(::open(wav.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (out.get() < 0) return fail(io_error("cannot be decoded to " + wav, errno));
  return convert(*recording, out.get(), longest);
}

}  // namespace gantry
