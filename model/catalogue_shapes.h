// The catalogue's tables: numbers that authors published with their models (config.json), and
// nothing that follows from them.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "model/catalogue.h"
#include "model/synth.h"
#include "model/whisper.h"

namespace gantry {

// Vocabularies, told apart for what they take in a file.
enum class Tokens {
  kLlama2, kMistral3, kTekken, kLlama3, kQwen, kGemma2, kGemma3, kPhi3, kPhi4, kPhi4Mini, kGranite,
  kSmol, kBert, kXlmRoberta,
};
// Metadata and tensor table of such a file: its size less the weights'. From published files.
Bytes metadata_bytes(Tokens tokens);

struct LanguageShape {
  std::string_view name;
  double published;  // parameters
  Tokens tokens;
  std::string_view encoder;  // of images; empty: it has none
  uint32_t window, every;    // all layers but each `every`-th see only `window` tokens
  Mix usual;
  std::string_view file_architecture;  // what files say where tensors are as another's; or empty
  SynthShape size;           // .name and .about: of the catalogue; .architecture decides tensors
};
std::span<const LanguageShape> language_shapes();

// How an encoder of images is built, beside its blocks.
enum class EncoderStyle { kQwen3Vl, kQwen25Vl, kSiglip };
struct EncoderShape {
  std::string_view name;
  EncoderStyle style;
  uint32_t layers, embd, ffn, heads, image, patch;
  std::array<uint32_t, 3> deepstack;  // blocks with projectors of their own; 0: no further ones
};
std::span<const EncoderShape> encoder_shapes();

struct SpeechShape {
  std::string_view name;
  double published;
  WhisperShape shape;
  uint32_t head_bytes;  // of the file before its tensors: filters and vocabulary
};
std::span<const SpeechShape> speech_shapes();

struct DeclaredShape {
  std::string_view name;
  double published;
  std::string_view about;
  Bytes weights, device, host, host_only;
  double operations, sequential_bytes;
  std::string_view source;
};
std::span<const DeclaredShape> declared_shapes();

// Other names that people use.
struct CatalogueAlias {
  std::string_view name, entry;
};
std::span<const CatalogueAlias> catalogue_aliases();

}  // namespace gantry
