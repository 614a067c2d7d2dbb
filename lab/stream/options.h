// What lab/stream/logits is asked to do: the flags and the script of actions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace gantry::logits {

struct Action {
  std::string name;   // prompt, decode, image, clear, context, abort, seconds, wait, ...
  std::string value;  // after the equals sign
  int64_t number = 0;
};

struct Options {
  std::vector<std::string> models;  // all loaded at once, each with its own contexts
  std::string out;                  // rows of context k go to OUT.k
  std::string load = "mmap";        // mmap, none, dio
  std::string device;               // by name; empty: all there are
  std::string callback;             // a part of tensor names: watched, and hashed
  std::string override_pattern;     // tensors that stay on the CPU
  std::string lora;
  std::string projector;  // of a vision model
  std::string rpc;        // host:port
  std::string rpc_library;
  std::string kv_type = "f16";
  int layers = 0;  // -ngl
  int threads = 1;
  int context = 1024;
  int batch = 512;
  int micro_batch = 512;
  int contexts = 1;  // each in its own thread
  int sequences = 1;
  int rows = 4;  // logits rows kept at the end of each prompt
  int loads = 1;
  bool flash = false;
  bool repack = false;
  bool embeddings = false;
  bool verbose = false;
  std::vector<Action> script;
};

// Nothing, and one line on stderr, when the arguments make no sense.
[[nodiscard]] std::optional<Options> parse_options(int count, char** words);

}  // namespace gantry::logits
