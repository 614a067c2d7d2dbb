// Writes a synthesized model to disk, on several threads.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>

#include "base/result.h"
#include "model/synth.h"

namespace gantry {

struct SynthWriting {
  uint32_t threads = 1;                          // each has a buffer of kSynthPieceBytes
  const std::atomic<bool>* cancel = nullptr;     // looked at before every piece
  // Called on the calling thread, a few times a second while weights are written.
  std::function<void(uint64_t done, uint64_t total)> progress;
  // The head alone; the weights are a hole in the file, and read as zeros. For whoever asks what
  // a model of many gigabytes would need.
  bool sparse = false;
};

// Written aside, synced, renamed: either the whole file is there, or what was there before. The
// file has no name until it is whole where the file system allows that, so that not even SIGKILL
// leaves a part behind. kDiskFull, before anything is written, where the disk has no room.
[[nodiscard]] Result<void> write_synth(const SynthModel& model, const std::string& path,
                                       const SynthWriting& how);

}  // namespace gantry
