// Decoders kept on a short leash: one input, one output, known formats, bounded time and memory.
#include "worker/media.h"

#include <fmt/format.h>
#include <signal.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <span>

#include "base/limits.h"
#include "worker/child.h"
#include "worker/decode.h"
#include "worker/wav.h"
#include "worker/worker.h"

namespace gantry {

namespace {

constexpr Millis kPoll{50};
// What one allocation of the decoder may take; the index of ten hours in an MP4 is 30 MB.
constexpr char kAllocationMax[] = "268435456";

// Containers and codecs with sound in them that hold everything themselves. Left out on purpose:
// hls, dash, concat, image2, sdp, rtsp, lavfi, applehttp, webm_dash_manifest and every other one
// that opens what its text names.
constexpr char kFormats[] =
    "aac,aa,aax,ac3,ac4,adp,aiff,amr,amrnb,amrwb,ape,asf,asf_o,au,avi,caf,dsf,iff,dts,dtshd,eac3,"
    "flac,flv,g722,g723_1,g726,g729,gsm,ilbc,ircam,live_flv,loas,matroska,webm,mlp,mov,mp4,m4a,"
    "3gp,3g2,mj2,mp3,mpc,mpc8,mpeg,mpegts,mxf,nistsphere,nut,ogg,oma,opus,paf,pvf,qcp,rm,rso,sbc,"
    "shn,sln,smjpeg,sox,spdif,svx,swf,tak,thp,truehd,tta,voc,vag,w64,wav,wsaud,wtv,wv,xa,xwma";

Result<void> check_input(Os& os, const std::string& file) {
  const Result<FileInfo> info = os.stat(file);
  if (!info) return fail(info.error());
  if (info->is_dir) return fail(Code::kUsage, file + " is a folder", "name a recording");
  if (info->size.n == 0) return fail(Code::kCorrupt, file + " is empty", "record it again");
  return {};
}

Result<void> judge(MediaTool tool, const std::string& file, const std::string& output,
                   const Exit& exit) {
  if (tool == MediaTool::kSmall) {
    if (exit.ok()) return {};
    return fail(explain_small(file, output, exit));
  }
  // ffmpeg may end with success although the last bytes did not reach a full disk.
  Error why = explain_ffmpeg(file, output, exit.text());
  if (exit.ok() && why.code != Code::kDiskFull) return {};
  return fail(std::move(why));
}

// Waits for the process with an eye on `cancel`.
Result<void> finish(Os& os, Process& process, MediaTool tool, const std::string& file,
                    const std::string& log, const http::Cancel& cancel) {
  for (;;) {
    if (cancel) {
      process.signal_group(SIGKILL);
      return fail(Code::kCancelled, "cancelled while " + base_name(file) + " was decoded");
    }
    const std::optional<Exit> exit = process.wait(kPoll);
    if (exit) return judge(tool, file, log_tail(os, log, 0), *exit);
  }
}

Result<Millis> length_of(Os& os, const std::string& file, const std::string& wav) {
  const Result<std::unique_ptr<MappedFile>> mapped = os.map_file(wav);
  if (!mapped) return fail(mapped.error());
  const std::span<const std::byte> bytes = (*mapped)->bytes();
  const Result<WavInfo> info =
      parse_wav(bytes.first(std::min<size_t>(bytes.size(), kWavHeadMax.n)), Bytes{bytes.size()});
  if (!info && info.error().code == Code::kTooLarge) {
    return fail(Code::kTooLarge, file + " is longer than ten hours", "cut it into parts");
  }
  if (!info) return fail(Code::kCorrupt, file + ": " + info.error().message);
  if (info->samples == 0) {
    return fail(Code::kCorrupt, file + " has no sound in it", "check that it plays");
  }
  return info->duration();
}

Error missing(MediaTool tool, const std::string& program) {
  if (tool == MediaTool::kFfmpeg) {
    return {Code::kUnavailable, "ffmpeg is not installed, it reads recordings",
            "apt-get install ffmpeg"};
  }
  return {Code::kUnavailable, program + " is not there, it reads recordings",
          "install it beside gantryd"};
}

// Decodes to `part`, whose name nobody reads.
Result<Millis> decode_to(Os& os, const WorkerContext& context, MediaTool tool,
                         const std::string& file, const std::string& part,
                         const http::Cancel& cancel,
                         const std::function<Result<void>(int pid)>& gate) {
  ProcessSpec spec = worker_process(context, "media");
  const std::string small = join_path(dir_name(context.worker_exe), "gantry-decode");
  spec.argv = tool == MediaTool::kSmall ? std::vector<std::string>{small, file, part}
                                        : ffmpeg_argv(file, part);
  spec.output_file = part + ".log";
  spec.gate = gate;
  const Result<std::unique_ptr<Process>> process = os.spawn(spec);
  if (!process && process.error().code == Code::kNotFound) {
    return fail(missing(tool, small));
  }
  if (!process) return fail(process.error());
  if (Result<void> ok = finish(os, **process, tool, file, spec.output_file, cancel); !ok) {
    return fail(ok.error());
  }
  return length_of(os, file, part);
}

void drop(Os& os, const std::string& path) {
  const Result<void> gone = os.remove(path);
  static_cast<void>(gone);  // it may never have been there
}

}  // namespace

std::vector<std::string> ffmpeg_argv(const std::string& file, const std::string& wav) {
  // One second more than allowed tells too long from just right.
  const std::string limit = std::to_string(kAudioMax.count() / 1000 + 1);
  return {"ffmpeg", "-nostdin", "-hide_banner", "-v", "error",
          "-max_alloc", kAllocationMax, "-protocol_whitelist", "file", "-format_whitelist",
          kFormats, "-threads", "1", "-i", "file:" + file, "-vn", "-sn", "-dn", "-map", "0:a:0",
          "-map_metadata", "-1", "-ac", "1", "-ar", std::to_string(kSampleRate), "-threads", "1",
          "-filter_threads", "1", "-c:a", "pcm_s16le", "-t", limit, "-fflags", "+bitexact", "-f",
          "wav", "-y", "file:" + wav};
}

Error explain_small(const std::string& file, const std::string& output, const Exit& exit) {
  const auto known = std::ranges::find(kDecodeStatus, exit.status, &std::pair<Code, int>::second);
  if (exit.signal != 0 || known == kDecodeStatus.end()) {
    return {Code::kWorkerFailed,
            fmt::format("gantry-decode failed on {}, {}{}{}", file, exit.text(),
                        output.empty() ? "" : ": ", output),
            "check that it plays"};
  }
  constexpr std::string_view kBetween = " | ";  // of the two lines that it prints
  const size_t end = output.rfind(kBetween);
  if (end == std::string::npos) return {known->first, file + " " + output};
  return {known->first, file + " " + output.substr(0, end),
          output.substr(end + kBetween.size())};
}

Error explain_ffmpeg(const std::string& file, const std::string& output,
                     const std::string& ending) {
  const auto says = [&output](std::string_view text) {
    return output.find(text) != std::string::npos;
  };
  if (says("No space left on device") || says("Disk quota exceeded")) {
    return {Code::kDiskFull, "no space left while decoding " + file,
            "free some space: a minute of sound takes 1.9 MB"};
  }
  if (says("Permission denied")) {
    return {Code::kPermission, "no permission to read " + file, "change its permissions"};
  }
  if (says("matches no streams") || says("does not contain any stream")) {
    return {Code::kCorrupt, file + " has no sound in it", "name a file with an audio track"};
  }
  if (says("not on whitelist") || says("not in whitelist") || says("not allowed")) {
    return {Code::kUnsupported, file + " is of a format that may name other files",
            "convert it to wav, flac, mp3 or m4a first"};
  }
  if (says("Invalid data found") || says("moov atom not found") || says("Invalid argument")) {
    return {Code::kCorrupt, file + " is damaged or no recording: " + output,
            "check that it plays"};
  }
  return {Code::kWorkerFailed,
          fmt::format("ffmpeg failed on {}, {}{}{}", file, ending, output.empty() ? "" : ": ",
                      output),
          "check that it plays"};
}

Result<Millis> decode_audio(Os& os, const WorkerContext& context, MediaTool tool,
                            const std::string& file, const std::string& wav,
                            const http::Cancel& cancel,
                            const std::function<Result<void>(int pid)>& gate) {
  if (Result<void> ok = check_input(os, file); !ok) return fail(ok.error());
  if (const Result<FileInfo> folder = os.stat(dir_name(wav)); !folder) {
    return fail(Code::kIo, "cannot write " + wav + ": " + folder.error().message,
                folder.error().remedy);
  }
  const std::string part = wav + ".part";
  Result<Millis> length = decode_to(os, context, tool, file, part, cancel, gate);
  drop(os, part + ".log");
  if (length) {
    std::error_code error;
    std::filesystem::rename(part, wav, error);
    if (error) length = fail(os_error("cannot write " + wav, error.value()));
  }
  if (!length) drop(os, part);
  return length;
}

}  // namespace gantry
