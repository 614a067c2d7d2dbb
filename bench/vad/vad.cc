// bench-vad WAV: the speech that loudness finds in a recording, as START END in milliseconds.
#include <fmt/format.h>

#include <cstdio>

#include "worker/levels.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("usage: bench-vad WAV\n", stderr);
    return 2;
  }
  gantry::Result<gantry::WavFile> wav = gantry::WavFile::open(argv[1]);
  const std::atomic<bool> cancel{false};
  const auto levels = wav ? gantry::wav_levels(&*wav, cancel)
                          : gantry::Result<std::vector<uint8_t>>(gantry::fail(wav.error()));
  if (!levels) {
    std::fputs((levels.error().message + "\n").c_str(), stderr);
    return 1;
  }
  const gantry::Millis window = wav->info().duration() + gantry::Millis(1'000);
  for (const gantry::Piece& piece : gantry::cut_speech(*levels, {.window = window})) {
    fmt::print("{} {}\n", gantry::frame_time(piece.voice).count(),
               gantry::frame_time(piece.hush).count());
  }
  return 0;
}
