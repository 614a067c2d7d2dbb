// Fuzz target: whatever the bytes, read_card ends with a card or a typed error; a card prints and
// its sums agree.
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "model/card.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using gantry::ModelCard;
  const auto card = gantry::read_card({reinterpret_cast<const std::byte*>(data), size});
  if (!card) {
    const gantry::Error& error = card.error();
    if (error.message.empty() || error.remedy.empty()) std::abort();
    if (error.code != gantry::Code::kCorrupt && error.code != gantry::Code::kTooLarge &&
        error.code != gantry::Code::kUnsupported) {
      std::abort();
    }
    return 0;
  }
  gantry::Bytes sum;
  for (const gantry::TensorGroup& group : card->groups) sum += group.bytes;
  if (sum != card->weight_bytes || sum > card->file_bytes) std::abort();
  if (!card->kv.empty() && card->kv.size() != card->layers) std::abort();
  if (gantry::card_json(*card).dump().empty() || gantry::card_text(*card).empty()) std::abort();
  return 0;
}
