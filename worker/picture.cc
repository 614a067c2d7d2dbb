// ffmpeg on a short leash, as for recordings, and the file between it and us.
#include "worker/picture.h"

#include <fmt/format.h>
#include <signal.h>

#include "worker/child.h"

namespace gantry {

namespace {

constexpr Millis kPoll{20}, kDecodeMax{30'000};
constexpr char kAllocationMax[] = "268435456";
constexpr Bytes kSniffed{16};

Error explain(const std::string& words) {
  const auto says = [&words](std::string_view text) {
    return words.find(text) != std::string::npos;
  };
  if (says("No space left on device") || says("Disk quota exceeded")) {
    return {Code::kDiskFull, "no space left to decode the picture", "free some space"};
  }
  if (says("Picture size") || says("exceeds") || says("Cannot allocate")) {
    return {Code::kTooLarge,
            fmt::format("the picture has more than {} million pixels",
                        kPicturePixelsMax / 1'000'000),
            "make it smaller"};
  }
  return {Code::kCorrupt, "the picture is damaged: " + words, "check that it is shown elsewhere"};
}

Result<void> finish(Os& os, Process& process, const std::string& log, const http::Cancel& cancel) {
  for (Millis waited{0};; waited += kPoll) {
    const std::optional<Exit> exit = process.wait(kPoll);
    if (exit && exit->ok()) return {};
    if (exit) return fail(explain(log_tail(os, log, 0)));
    if (!cancel && waited < kDecodeMax) continue;
    process.signal_group(SIGKILL);
    if (cancel) return fail(Code::kCancelled, "cancelled while a picture was decoded");
    return fail(Code::kTimeout, "the picture took too long to decode", "make it smaller");
  }
}

Result<void> decode(Os& os, const WorkerContext& context, std::string_view kind,
                    const std::string& file, const std::string& ppm, const std::string& log,
                    const http::Cancel& cancel) {
  ProcessSpec spec = worker_process(context, "picture");
  spec.argv = picture_argv(kind, file, ppm);
  spec.output_file = log;
  const Result<std::unique_ptr<Process>> process = os.spawn(spec);
  if (!process && process.error().code == Code::kNotFound) {
    return fail(Code::kUnavailable, "ffmpeg is not installed, it reads pictures",
                "apt-get install ffmpeg");
  }
  if (!process) return fail(process.error());
  if (Result<void> done = finish(os, **process, log, cancel); !done) return done;
  // Damage may end it with success and nothing written.
  if (const Result<FileInfo> made = os.stat(ppm); !made || made->size == Bytes{}) {
    return fail(explain(log_tail(os, log, 0)));
  }
  return {};
}

}  // namespace

std::string_view picture_kind(std::string_view head) {
  if (head.starts_with("\x89PNG\r\n\x1a\n")) return "png";
  if (head.starts_with("\xff\xd8\xff")) return "jpeg";
  return "";
}

std::vector<std::string> picture_argv(std::string_view kind, const std::string& file,
                                      const std::string& ppm) {
  return {"ffmpeg", "-nostdin", "-hide_banner", "-v", "error", "-max_alloc", kAllocationMax,
          "-protocol_whitelist", "file", "-threads", "1", "-max_pixels",
          std::to_string(kPicturePixelsMax), "-noautorotate", "-f", std::string(kind) + "_pipe",
          "-i", "file:" + file, "-an", "-sn", "-dn", "-frames:v", "1", "-threads", "1",
          "-filter_threads", "1", "-sws_flags", "+accurate_rnd+full_chroma_int+bitexact",
          "-pix_fmt", "rgb24", "-c:v", "ppm", "-f", "rawvideo", "-y", "file:" + ppm};
}

Result<void> decode_picture(Os& os, const WorkerContext& context, const std::string& file,
                            const std::string& ppm, const http::Cancel& cancel) {
  const Result<std::unique_ptr<MappedFile>> mapped = os.map_file(file);
  if (!mapped) return fail(mapped.error());
  const std::span<const std::byte> bytes = (*mapped)->bytes();
  const std::string_view kind = picture_kind(
      {reinterpret_cast<const char*>(bytes.data()), std::min<size_t>(bytes.size(), kSniffed.n)});
  if (kind.empty()) {
    return fail(Code::kUnsupported, "the picture is neither png nor jpeg", "convert it to png");
  }
  const std::string log = ppm + ".log";
  Result<void> done = decode(os, context, kind, file, ppm, log, cancel);
  (void)os.remove(log);
  if (!done) (void)os.remove(ppm);
  return done;
}

Result<PixelView> parse_ppm(std::span<const std::byte> file) {
  const Error corrupt{Code::kCorrupt, "no picture came out of the decoder", "try again"};
  const std::string_view text(reinterpret_cast<const char*>(file.data()), file.size());
  if (!text.starts_with("P6\n")) return fail(corrupt);
  size_t at = 3;
  uint64_t numbers[3] = {};
  for (uint64_t& number : numbers) {
    size_t digits = 0;
    for (; at < text.size() && text[at] >= '0' && text[at] <= '9' && digits < 9; ++at, ++digits) {
      number = number * 10 + static_cast<uint64_t>(text[at] - '0');
    }
    if (digits == 0 || at >= text.size() || (text[at] != ' ' && text[at] != '\n')) {
      return fail(corrupt);
    }
    ++at;
  }
  const uint64_t width = numbers[0], height = numbers[1];
  if (width == 0 || height == 0 || numbers[2] != 255) return fail(corrupt);
  if (width > kPictureSideMax || height > kPictureSideMax ||
      width * height > kPicturePixelsMax) {
    return fail(Code::kTooLarge, "the picture is too large", "make it smaller");
  }
  if (file.size() - at != width * height * 3) return fail(corrupt);
  return PixelView{static_cast<uint32_t>(width), static_cast<uint32_t>(height), file.subspan(at)};
}

}  // namespace gantry
