// The planner's formula for any configuration, also those that no flag of `gantry plan` names.
// Reads rows of JSON, one a line; writes one line for each: {"id", "weights", "kv", "compute",
// "overhead"} of host memory and {"device": {...}} where layers are on one, or {"id",
// "error"}.
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>

#include "base/os.h"
#include "plan/need.h"

namespace {

using nlohmann::json;
using gantry::Result;

Result<gantry::ModelCard> card_of(gantry::Os& os, const std::string& path) {
  Result<std::unique_ptr<gantry::MappedFile>> file = os.map_file(path);
  if (!file) return gantry::fail(file.error());
  return gantry::read_card((*file)->bytes());
}

Result<gantry::Wish> wish_of(gantry::Os& os, const json& row) {
  Result<gantry::ModelCard> card = card_of(os, row.at("file").get<std::string>());
  if (!card) return gantry::fail(card.error());
  gantry::Wish wish;
  wish.name = "model";
  wish.card = std::move(*card);
  if (const std::string mmproj = row.value("mmproj", ""); !mmproj.empty()) {
    Result<gantry::ModelCard> beside = card_of(os, mmproj);
    if (!beside) return gantry::fail(beside.error());
    wish.mmproj = std::move(*beside);
  }
  if (const std::string draft = row.value("draft", ""); !draft.empty()) {
    Result<gantry::ModelCard> small = card_of(os, draft);
    if (!small) return gantry::fail(small.error());
    wish.draft = std::move(*small);
  }
  if (const std::string lora = row.value("lora", ""); !lora.empty()) {
    const Result<gantry::FileInfo> info = os.stat(lora);
    if (!info) return gantry::fail(info.error());
    wish.lora = info->size;
    wish.adapters = 1;
  }
  wish.context = row.at("context_each").get<uint32_t>();
  wish.parallel = row.at("parallel").get<uint32_t>();
  wish.ubatch = row.at("ubatch").get<uint32_t>();
  wish.flash_attention = row.at("flash").get<bool>();
  wish.embeddings = row.at("embeddings").get<bool>();
  for (const auto& [key, type] :
       {std::pair{"cache_k", &wish.cache_k}, {"cache_v", &wish.cache_v}}) {
    Result<gantry::CacheType> parsed = gantry::parse_cache_type(row.at(key).get<std::string>());
    if (!parsed) return gantry::fail(parsed.error());
    *type = *parsed;
  }
  return wish;
}

json parts(const gantry::Need& need) {
  return {{"weights", need.weights.n}, {"kv", need.kv.n}, {"compute", need.compute.n},
          {"overhead", need.overhead.n}};
}

json answer(gantry::Os& os, const json& row) {
  const json id = row.at("id");
  const Result<gantry::Wish> wish = wish_of(os, row);
  if (!wish) return {{"id", id}, {"error", wish.error().message}};
  // llama.cpp counts the output as one layer more.
  const auto layers = row.at("gpu_layers").get<uint32_t>();
  const std::vector<gantry::Need> needs =
      gantry::needs_of(*wish, layers == 0 ? "" : "gpu0", layers == 0 ? 0 : layers - 1, {});
  json out = parts(needs.back());
  out["id"] = id;
  if (needs.size() > 1) out["device"] = parts(needs.front());
  return out;
}

}  // namespace

int main() {
  const std::unique_ptr<gantry::Os> os = gantry::make_real_os();
  for (std::string line; std::getline(std::cin, line);) {
    try {
      std::cout << answer(*os, json::parse(line)).dump() << std::endl;
    } catch (const json::exception& error) {
      std::fprintf(stderr, "gantry: a row is not as expected: %s\n", error.what());
      return 2;
    }
  }
}
