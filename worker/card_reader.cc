// Maps the files and hands them to the pure parser.
#include "worker/card_reader.h"

#include <nlohmann/json.hpp>

#include "base/os.h"
#include "model/card.h"

namespace gantry {

namespace {

Result<nlohmann::json> read_one(Os& os, const std::string& path) {
  const Result<std::unique_ptr<MappedFile>> file = os.map_file(path);
  if (!file) return fail(file.error());
  const Result<ModelCard> card = read_card((*file)->bytes());
  if (card) return card_json(*card);
  Error error = card.error();
  error.message = base_name(path) + ": " + error.message;
  return fail(std::move(error));
}

}  // namespace

Result<std::string> read_cards(const std::string& file, const std::string& mmproj) {
  const std::unique_ptr<Os> os = make_real_os();
  Result<nlohmann::json> out = read_one(*os, file);
  if (out && !mmproj.empty()) {
    const Result<nlohmann::json> second = read_one(*os, mmproj);
    if (!second) return fail(second.error());
    out = nlohmann::json{{"model", *out}, {"mmproj", *second}};
  }
  if (!out) return fail(out.error());
  return out->dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace gantry
