// Bytes of one model, by kind and device: the formulas. docs of each figure stand in need.cc.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <vector>

#include "plan/plan.h"

namespace gantry {

constexpr uint32_t kContextDefault = 4096;
constexpr uint32_t kUbatchMax = 1U << 20;
constexpr uint32_t kSequencesMax = 1U << 12;
constexpr const char* kHost = "cpu";  // the name of host memory in needs and shares

// The product, or the maximum where it does not fit 64 bits: such a need never fits.
uint64_t product(std::initializer_list<uint64_t> factors);

uint32_t layers_of(const Wish& wish);   // 0 for commands and the media decoder
uint32_t context_of(const Wish& wish);  // as planned; 0 where there is none
bool flash_of(const Wish& wish);
bool is_encoder(const Wish& wish);      // llama engine without a KV cache: embeddings
bool is_tied(const ModelCard& card);    // the output matrix is the embedding once more
Wish with_context(Wish wish, uint32_t context);

// A runtime context of an accelerator, in host memory and on the device. Not seen here; in the
// range that drivers are known for.
constexpr Bytes kAcceleratorHost = MiB(200);
constexpr Bytes kAcceleratorDevice = MiB(300);

// Cache and state of so many layers, of all sequences.
Bytes layer_kv(const Wish& wish, uint32_t first, uint32_t count);
// llama.cpp's graph buffer for one physical batch, and the work buffer beside it on the CPU.
Bytes llama_graph_bytes(const Wish& wish);
Bytes llama_work_bytes(const Wish& wish);
// Rows of logits for all sequences: one each, or what a draft guessed and one more.
uint64_t answers_of(const Wish& wish);
// Answers on their way to the caller, in host memory.
Bytes output_bytes(const Wish& wish);
// Of encoders beside a model, with what the engine loads once for each of two.
Bytes encoder_weights(const ModelCard& mmproj);
// The graphs of wish.mmproj, for one image and for half a minute of sound.
Bytes vision_graph_bytes(const Wish& wish);
// whisper.cpp's four graphs on the accelerator, where there is one, and in host memory, which is
// last; on the CPU only what its worker ever touches of the decoder's.
std::vector<Bytes> whisper_graph_bytes(const ModelCard& card, bool on_accelerator);
// OpenVINO's libraries in whisper's worker, and an encoder that it has compiled for the CPU.
Bytes openvino_encoder_bytes(const ModelCard& card);
// Sound on its way through whisper's worker, and the work buffer of the CPU.
Bytes whisper_sound_bytes(const ModelCard& card);
// One process: libraries, vocabulary, request handling.
Bytes overhead_bytes(const Wish& wish);

// With the last `resident` layers on `accelerator` (empty: none). Host memory comes last and is
// always there. A command that declares nothing needs `host_budget`.
std::vector<Need> needs_of(const Wish& wish, const std::string& accelerator, uint32_t resident,
                           Bytes host_budget);
// The same over several accelerators, in the model's order: what is in no split is computed on the
// CPU and comes first; the last split has the output. One need a split, then host memory.
std::vector<Need> needs_of(const Wish& wish, const std::vector<Split>& splits, Bytes host_budget);

// The same again for many splits of one wish, which must outlive it: what they have in common is
// found out once.
class NeedTable {
 public:
  explicit NeedTable(const Wish& wish);
  ~NeedTable();
  NeedTable(const NeedTable&) = delete;
  NeedTable& operator=(const NeedTable&) = delete;
  std::vector<Need> of(const std::vector<Split>& splits, Bytes host_budget);

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

// What decoding one token reads on the accelerator and on the host, half the context filled.
struct Touched {
  double accelerator = 0;
  double host = 0;
};
Touched touched_per_token(const Wish& wish, uint32_t resident);

}  // namespace gantry
