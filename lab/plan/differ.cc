// The engine as a process, the formula as a function.
#include "lab/plan/differ.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>

#include "base/os.h"
#include "model/gguf.h"
#include "model/synth_file.h"
#include "plan/draw_vision.h"
#include "plan/need.h"

namespace gantry {

namespace {

constexpr uint64_t kSlack = 2 << 20;
constexpr double kShare = 0.01;

std::string command_of(const DifferPaths& paths, const std::string& file,
                       const Configuration& c) {
  std::string split, memory;
  for (size_t i = 0; i < c.gpus.size(); ++i) {
    const bool last = i + 1 == c.gpus.size();  // the output is one layer more
    split += fmt::format("{}{}", c.gpus[i] + (last ? 1 : 0), last ? "" : ",");
    memory += last ? "512GiB" : "512GiB,";
  }
  const uint32_t ubatch = c.embeddings ? c.context : std::min(c.ubatch, c.context);
  std::string out = fmt::format(
      "GANTRY_PHANTOM={} '{}' dry-run -m '{}' -c {} --np {} --ub {} --ctk {} --ctv {} --fa {}",
      memory, paths.worker, file, uint64_t{c.context} * c.parallel, c.parallel, ubatch,
      cache_type_name(c.cache_k), cache_type_name(c.cache_v), c.flash ? "on" : "off");
  if (c.embeddings) out += " --embeddings";
  if (c.gpus.empty()) return out + " --devices none";
  const uint32_t layers = std::accumulate(c.gpus.begin(), c.gpus.end(), 1U);
  return out + fmt::format(" --plugin '{}' --ngl {} --ts {}", paths.phantom, layers, split);
}

void add(std::vector<Difference>* out, const Need& need, const nlohmann::json& engine) {
  const auto of = [&](const char* key) { return engine.value(key, uint64_t{0}); };
  out->push_back({need.device, "weights", need.weights.n, of("model")});
  out->push_back({need.device, "kv", need.kv.n, of("context")});
  out->push_back({need.device, "compute", need.compute.n, of("compute")});
}

}  // namespace

Result<std::string> run_text(const std::string& command) {
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(::popen((command + " 2>&1").c_str(), "r"),
                                                   ::pclose);
  if (!pipe) return fail(Code::kInternal, "no process for " + command);
  std::string text;
  for (int c = std::fgetc(pipe.get()); c != EOF; c = std::fgetc(pipe.get())) {
    text += static_cast<char>(c);
  }
  return text;
}

Result<nlohmann::json> run_json(const std::string& command) {
  const Result<std::string> text = run_text(command);
  if (!text) return fail(text.error());
  const size_t brace = text->find('{');
  nlohmann::json out = brace == std::string::npos
                           ? nlohmann::json()
                           : nlohmann::json::parse(text->substr(brace), nullptr, false);
  if (!out.is_object()) return fail(Code::kWorkerFailed, command + ": " + *text);
  return out;
}

Result<ModelCard> card_of(const std::string& file) {
  const std::unique_ptr<Os> os = make_real_os();
  const Result<std::unique_ptr<MappedFile>> bytes = os->map_file(file);
  if (!bytes) return fail(bytes.error());
  return read_card((*bytes)->bytes());
}

std::string Configuration::text() const {
  std::string out = fmt::format("-c {} -np {} -ub {} -ctk {} -ctv {} -fa {}", context, parallel,
                                ubatch, cache_type_name(cache_k), cache_type_name(cache_v),
                                flash ? "on" : "off");
  if (embeddings) out += " --embeddings";
  if (!gpus.empty()) out += fmt::format(" gpus {}", fmt::join(gpus, "+"));
  return out;
}

double Difference::error() const {
  if (engine == 0) return formula == 0 ? 0 : 1;
  return (static_cast<double>(formula) - static_cast<double>(engine)) /
         static_cast<double>(engine);
}

bool Difference::within() const {
  const uint64_t off = formula > engine ? formula - engine : engine - formula;
  return off <= kSlack || std::abs(error()) <= kShare;
}

Result<std::string> sparse_model(const DifferPaths& paths, const SynthWish& wish) {
  const Result<SynthModel> model = synth_model(wish);
  if (!model) return fail(model.error());
  const std::string file = fmt::format("{}/{}-{}-{}-{}.gguf", paths.scratch, wish.shape, wish.quant,
                                       model->layers, wish.tied ? "tied" : "apart");
  if (Result<void> done = write_synth(*model, file, {.sparse = true}); !done) {
    return fail(done.error());
  }
  return file;
}

Result<std::string> sparse_encoder(const DifferPaths& paths, const std::string& model,
                                   uint32_t layers, const SynthEncoder& shape) {
  const std::unique_ptr<Os> os = make_real_os();
  const Result<std::unique_ptr<MappedFile>> bytes = os->map_file(model);
  if (!bytes) return fail(bytes.error());
  const Result<Gguf> base = read_gguf((*bytes)->bytes());
  if (!base) return fail(base.error());
  const Result<SynthModel> encoder = synth_projector(*base, layers, 1, shape);
  if (!encoder) return fail(encoder.error());
  const std::string file =
      fmt::format("{}/mmproj-{}-{}-{}-{}.gguf", paths.scratch, shape.projector, shape.image,
                  shape.embd, layers);
  if (Result<void> done = write_synth(*encoder, file, {.sparse = true}); !done) {
    return fail(done.error());
  }
  return file;
}

Result<std::vector<Difference>> differ_vision(const DifferPaths& paths, const std::string& model,
                                              const std::string& mmproj, bool flash) {
  const Result<Wish> wish = wish_of(model, {.flash = flash});
  if (!wish) return fail(wish.error());
  const Result<ModelCard> card = card_of(mmproj);
  if (!card) return fail(card.error());
  const Result<nlohmann::json> engine = run_json(
      fmt::format("'{}' dry-run -m '{}' --mmproj '{}' --devices none --fa {}", paths.worker, model,
                  mmproj, flash ? "on" : "off"));
  if (!engine) return fail(engine.error());
  const nlohmann::json& host = engine->at("host");
  return std::vector<Difference>{
      {"cpu", "encoder", card->weight_bytes.n, host.value("mmproj", uint64_t{0})},
      {"cpu", "image", draw_vision(*card, wish->card->embd, flash),
       host.value("mmproj_compute", uint64_t{0})}};
}

Result<Wish> wish_of(const std::string& file, const Configuration& c) {
  Result<ModelCard> card = card_of(file);
  if (!card) return fail(card.error());
  Wish wish;
  wish.name = file;
  wish.card = std::move(*card);
  wish.context = c.context;
  wish.parallel = c.parallel;
  wish.ubatch = c.ubatch;
  wish.cache_k = c.cache_k;
  wish.cache_v = c.cache_v;
  wish.flash_attention = c.flash;
  wish.embeddings = c.embeddings;
  return wish;
}

Result<std::vector<Difference>> differ(const DifferPaths& paths, const std::string& file,
                                       const Configuration& c) {
  const Result<Wish> wish = wish_of(file, c);
  if (!wish) return fail(wish.error());
  const bool possible = wish->card->check_cache(c.cache_k, c.cache_v).has_value();
  const Result<nlohmann::json> engine = run_json(command_of(paths, file, c));
  if (!possible && !engine) return std::vector<Difference>{};
  if (!engine) return fail(engine.error());
  std::vector<Split> splits;
  for (size_t i = 0; i < c.gpus.size(); ++i) {
    splits.push_back({fmt::format("gpu{}", i), c.gpus[i]});
  }
  const std::vector<Need> needs = needs_of(*wish, splits, {});
  std::vector<Difference> out;
  for (size_t i = 0; i + 1 < needs.size(); ++i) {
    const auto& devices = engine->at("devices");
    if (i < devices.size()) add(&out, needs[i], devices[i]);
  }
  add(&out, needs.back(), engine->at("host"));
  return out;
}

}  // namespace gantry
