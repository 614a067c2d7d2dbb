// A RIFF walk in which no declared size is believed before it is compared with what is there.
#include "worker/wav.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <optional>

#include "base/limits.h"
#include "base/os.h"

namespace gantry {

namespace {

constexpr char kRemedy[] = "convert it: ffmpeg -i FILE -ac 1 -ar 16000 -c:a pcm_s16le out.wav";
constexpr uint16_t kPcm = 1;
constexpr uint16_t kExtensible = 0xFFFE;  // the real coding is in the first two bytes of the GUID
constexpr uint32_t kUnknownSize = 0xFFFFFFFF;  // written by programs that cannot seek back

uint16_t u16(std::span<const std::byte> b, uint64_t at) {
  return static_cast<uint16_t>(std::to_integer<unsigned>(b[at]) |
                               std::to_integer<unsigned>(b[at + 1]) << 8);
}
uint32_t u32(std::span<const std::byte> b, uint64_t at) {
  return static_cast<uint32_t>(u16(b, at)) | static_cast<uint32_t>(u16(b, at + 2)) << 16;
}
bool tag(std::span<const std::byte> b, uint64_t at, const char* name) {
  return std::memcmp(b.data() + at, name, 4) == 0;
}

Result<void> check_format(std::span<const std::byte> b, uint64_t at, uint32_t size) {
  if (size < 16) return fail(Code::kCorrupt, "wav: the fmt chunk is too short", kRemedy);
  uint16_t coding = u16(b, at);
  if (coding == kExtensible && size >= 26) coding = u16(b, at + 24);
  const uint16_t channels = u16(b, at + 2), bits = u16(b, at + 14);
  const uint32_t rate = u32(b, at + 4);
  if (coding != kPcm || channels != 1 || bits != 16 || rate != kSampleRate) {
    return fail(Code::kUnsupported,
                fmt::format("wav: coding {}, {} channels, {} Hz, {} bits; needed is 16 kHz mono "
                            "16-bit PCM",
                            coding, channels, rate, bits),
                kRemedy);
  }
  return {};
}

Result<WavInfo> check_data(uint64_t at, uint32_t declared, Bytes file) {
  const uint64_t left = file.n - at;
  uint64_t bytes = declared == kUnknownSize ? left : declared;
  if (bytes > left) {
    return fail(Code::kCorrupt,
                fmt::format("wav: cut short, {} bytes of sound declared, {} there", bytes, left),
                "record or convert it again");
  }
  const WavInfo info{.data_offset = at, .samples = bytes / 2};
  if (info.duration() > kAudioMax) {
    return fail(Code::kTooLarge, "wav: longer than ten hours", "cut it into parts");
  }
  return info;
}

}  // namespace

Result<WavInfo> parse_wav(std::span<const std::byte> head, Bytes file) {
  if (head.size() < 12 || !tag(head, 0, "RIFF") || !tag(head, 8, "WAVE")) {
    return fail(Code::kCorrupt, "not a wav file", kRemedy);
  }
  bool format_seen = false;
  uint64_t at = 12;
  while (at + 8 <= head.size()) {
    const uint32_t size = u32(head, at + 4);
    const uint64_t body = at + 8;
    if (tag(head, at, "data")) {
      if (!format_seen) return fail(Code::kCorrupt, "wav: sound before its format", kRemedy);
      return check_data(body, size, file);
    }
    if (tag(head, at, "fmt ")) {
      if (format_seen) return fail(Code::kCorrupt, "wav: two fmt chunks", kRemedy);
      if (body + size > head.size()) {
        return fail(Code::kCorrupt, "wav: the fmt chunk is cut short", kRemedy);
      }
      if (Result<void> ok = check_format(head, body, size); !ok) return fail(ok.error());
      format_seen = true;
    }
    at = body + size + (size & 1);  // chunks are padded to even
  }
  return fail(Code::kCorrupt, "wav: no sound in the first 64 KiB", kRemedy);
}

Result<WavFile> WavFile::open(const std::string& path) {
  WavFile wav;
  wav.path_ = path;
  std::error_code error;
  const uintmax_t size = std::filesystem::file_size(path, error);
  if (error) return fail(os_error("cannot read " + path, error.value()));
  wav.file_.open(path, std::ios::binary);
  if (!wav.file_) return fail(os_error("cannot read " + path, errno));
  std::vector<std::byte> head(std::min<uintmax_t>(size, kWavHeadMax.n));
  wav.file_.read(reinterpret_cast<char*>(head.data()), static_cast<std::streamsize>(head.size()));
  if (!wav.file_) return fail(Code::kIo, "cannot read " + path);
  Result<WavInfo> info = parse_wav(head, Bytes{size});
  if (!info) {
    Error e = info.error();
    e.message = base_name(path) + ": " + e.message;
    return fail(std::move(e));
  }
  wav.info_ = *info;
  return wav;
}

Result<std::vector<int16_t>> WavFile::read(uint64_t first, uint64_t count) {
  first = std::min(first, info_.samples);
  count = std::min(count, info_.samples - first);
  std::vector<int16_t> samples(count);
  file_.clear();
  file_.seekg(static_cast<std::streamoff>(info_.data_offset + first * 2));
  file_.read(reinterpret_cast<char*>(samples.data()), static_cast<std::streamsize>(count * 2));
  if (!file_) return fail(Code::kIo, "cannot read " + path_, "it changed while it was read");
  return samples;
}

}  // namespace gantry
