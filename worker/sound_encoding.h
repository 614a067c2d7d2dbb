// Sound on its way into a file format, made by gantry-encode: a process of its own, so that a
// library's fault ends that sound alone.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/os.h"
#include "base/result.h"
#include "worker/sound_format.h"

namespace gantry {

struct WorkerContext;
class Child;

// One thread at a time. The process is gone with the object.
class SoundEncoding {
  struct Private {};  // start() alone makes one

 public:
  // For 16-bit mono of `rate` Hz. kUnsupported: this machine writes no such format, with those that
  // there are; kUnavailable: the program is not there.
  [[nodiscard]] static Result<std::unique_ptr<SoundEncoding>> start(Os& os,
                                                                    const WorkerContext& context,
                                                                    SoundFormat format,
                                                                    uint32_t rate);
  explicit SoundEncoding(Private, std::unique_ptr<Child> child);
  ~SoundEncoding();
  SoundEncoding(const SoundEncoding&) = delete;
  SoundEncoding& operator=(const SoundEncoding&) = delete;

  // Whole samples; the bytes that are made by then.
  [[nodiscard]] Result<std::string> put(std::string_view pcm);
  [[nodiscard]] Result<std::string> finish();  // the rest

 private:
  [[nodiscard]] Result<std::string> ask(std::string_view line);

  std::unique_ptr<Child> child_;
};

// A whole wav that we made (16-bit mono, a head of 44 bytes) in another format; as it is for wav.
[[nodiscard]] Result<std::string> encode_wav(Os& os, const WorkerContext& context,
                                             SoundFormat format, std::string_view wav);

}  // namespace gantry
