// Malformed model files, each with a name that states its fault, made the same way every time.
// Tests run them all; the fuzzers start from them. Tests only.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "model/forge.h"
#include "model/forge_whisper.h"

namespace gantry {

struct Fault {
  std::string name;   // "key_with_character_0x1b"
  std::string bytes;  // the file
  Code code;          // what read_card must answer
  std::string says;   // what its message must name, so that nothing else was the cause
};

class Faults {
 public:
  void add(std::string name, std::string bytes, Code code = Code::kCorrupt) {
    all_.push_back({std::move(name), std::move(bytes), code, says_});
  }
  // Of all that is added from here on.
  void saying(std::string says) { says_ = std::move(says); }
  // A right language model, changed.
  void language(std::string name, const std::function<void(GgufForge&)>& change,
                Code code = Code::kCorrupt) {
    GgufForge forge = forge_language();
    change(forge);
    add(std::move(name), forge.bytes(), code);
  }
  void whisper(std::string name, const std::function<void(WhisperForge&)>& change,
               Code code = Code::kCorrupt) {
    WhisperForge forge = forge_whisper();
    change(forge);
    add(std::move(name), forge.bytes(), code);
  }
  const std::vector<Fault>& all() const { return all_; }

 private:
  std::vector<Fault> all_;
  std::string says_;
};

std::vector<Fault> gguf_faults();      // the container: header, pairs, tensor table
std::vector<Fault> geometry_faults();  // well-formed containers whose facts are wrong
std::vector<Fault> whisper_faults();   // whisper files
std::vector<Fault> stranger_faults();  // files of other kinds

}  // namespace gantry
