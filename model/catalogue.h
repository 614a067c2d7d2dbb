// Well-known models as facts: the shapes that their authors published, so that a plan needs no
// download. A card made from a shape has the tensors that the file would have, with their bytes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/card.h"
#include "model/quantize.h"

namespace gantry {

// A model that a program of its own runs: its files are not ours to read.
struct DeclaredModel {
  Bytes weights;        // as the program keeps them
  Bytes device;         // on the accelerator that it computes on, without a runtime context
  Bytes host;           // of its process beside that
  Bytes host_only;      // of its process without an accelerator
  // Work for one second of sound: in one pass over it, and one step after the other.
  double operations = 0;      // floating point
  double sequential_bytes = 0;  // weights read again for each step
  std::string source;   // of these figures
};

struct CatalogueModel {
  std::string name;      // in full: "llama3:8b@Q4_K_M"
  std::string family;    // "llama3"
  std::string about;
  std::optional<Mix> mix;
  ModelCard card;        // empty where `declared` is set
  std::optional<ModelCard> mmproj;  // the vision encoder that comes with it, in F16
  std::optional<DeclaredModel> declared;
};

// A row of the catalogue, without a quantisation.
struct CatalogueEntry {
  std::string name;            // "llama3:8b"
  std::string family;
  double published = 0;        // parameters, as its authors count them; 0: they do not
  std::string about;
};
std::vector<CatalogueEntry> catalogue_entries();

// "llama3:8b@Q4_K_M", "llama3:8b" (at its usual quantisation), "llama3" (the usual size),
// "llama3:8b-instruct-q4_K_M" (as Ollama tags it), "whisper:large-v3", "xtts:v2"; case is ignored.
// kNotFound with the nearest known name as remedy; kUnsupported for a quantisation that the model
// does not come in.
[[nodiscard]] Result<CatalogueModel> catalogue_model(std::string_view name);
// Whether it could be a name of the catalogue at all: no path, a known family.
bool is_catalogue_name(std::string_view name);

// The same model in the next smaller quantisations, the largest first; then smaller models of the
// family at the quantisation of `name`, the largest first. For those who look for less.
std::vector<std::string> smaller_quantisations(std::string_view name);
std::vector<std::string> smaller_models(std::string_view name);

}  // namespace gantry
