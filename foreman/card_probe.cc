// Starting the probe and reading its answer.
#include "foreman/card_probe.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/limits.h"
#include "foreman/ask_worker.h"

namespace gantry {

namespace {

using nlohmann::json;

std::optional<Part> parse_part(const std::string& name) {
  for (const Part part : {Part::kEmbedding, Part::kLayer, Part::kOutput, Part::kEncoder,
                          Part::kProjector, Part::kOther}) {
    if (part_name(part) == name) return part;
  }
  return std::nullopt;
}

// What a worker of another version does not say nobody cuts.
Sliced read_sliced(const json& row, const char* key) {
  if (!row.contains(key)) return {};
  const json& in = row.at(key);
  return {in.at("bytes").get<uint64_t>(), in.at("row").get<uint64_t>(),
          in.at("block").get<uint32_t>()};
}

// Throws json::exception on a missing key or a wrong type; parse_card catches it.
void read_groups(const json& groups, ModelCard* card) {
  for (const json& row : groups) {
    TensorGroup group;
    group.part = parse_part(row.at("part").get<std::string>()).value_or(Part::kOther);
    group.layer = row.value("layer", -1);
    group.bytes.n = row.at("bytes").get<uint64_t>();
    group.expert_bytes.n = row.value("expert_bytes", uint64_t{0});
    group.tensors = row.at("tensors").get<uint32_t>();
    group.sizes = row.value("sizes", std::vector<uint64_t>{});
    group.expert_sizes = row.value("expert_sizes", std::vector<uint64_t>{});
    group.types = row.value("types", std::map<std::string, uint64_t>{});
    group.expert_types = row.value("expert_types", std::map<std::string, uint64_t>{});
    group.heads = read_sliced(row, "heads");
    group.width = read_sliced(row, "width");
    card->groups.push_back(std::move(group));
  }
}

void read_kv(const json& layers, ModelCard* card) {
  for (const json& row : layers) {
    LayerKv kv;
    kv.k_width = row.at("k_width").get<uint32_t>();
    kv.v_width = row.at("v_width").get<uint32_t>();
    kv.k_head = row.at("k_head").get<uint32_t>();
    kv.v_head = row.at("v_head").get<uint32_t>();
    kv.window = row.at("window").get<uint32_t>();
    card->kv.push_back(kv);
  }
}

void read_fields(const json& in, ModelCard* card) {
  card->format =
      in.at("format").get<std::string>() == "whisper" ? ModelFormat::kWhisper : ModelFormat::kGguf;
  in.at("architecture").get_to(card->architecture);
  in.at("name").get_to(card->name);
  in.at("quantisation").get_to(card->quantisation);
  in.at("file_bytes").get_to(card->file_bytes.n);
  in.at("weight_bytes").get_to(card->weight_bytes.n);
  in.at("parameters").get_to(card->parameters);
  in.at("layers").get_to(card->layers);
  in.at("embd").get_to(card->embd);
  in.at("heads").get_to(card->heads);
  in.at("heads_kv").get_to(card->heads_kv);
  in.at("ffn").get_to(card->ffn);
  in.at("vocab").get_to(card->vocab);
  in.at("context_trained").get_to(card->context_trained);
  in.at("experts").get_to(card->experts);
  in.at("experts_used").get_to(card->experts_used);
  in.at("has_chat_template").get_to(card->has_chat_template);
  in.at("state_bytes").get_to(card->state_bytes.n);
  card->expert_ffn = in.value("expert_ffn", 0U);
  card->shared_ffn = in.value("shared_ffn", 0U);
  if (const auto mixer = in.find("mixer"); mixer != in.end()) {
    card->mixer = {mixer->at("kernel").get<uint32_t>(), mixer->at("inner").get<uint32_t>(),
                   mixer->at("state").get<uint32_t>(), mixer->at("groups").get<uint32_t>(),
                   mixer->at("steps").get<uint32_t>()};
  }
  card->audio_layers = in.value("audio_layers", 0U);
  card->audio_context = in.value("audio_context", 0U);
  card->audio_mels = in.value("audio_mels", 0U);
  card->text_context = in.value("text_context", 0U);
  card->audio_channels = in.value("audio_channels", 0U);
  card->audio_projector = in.value("audio_projector", std::string());
  if (const auto audio = in.find("audio"); audio != in.end()) {
    card->audio = {audio->at("embd").get<uint32_t>(), audio->at("heads").get<uint32_t>(),
                   audio->at("ffn").get<uint32_t>(), audio->at("taps").get<uint32_t>(),
                   audio->at("inner").get<uint32_t>(), Bytes{audio->at("shared").get<uint64_t>()}};
  }
  card->image_size = in.value("image_size", 0U);
  card->patch_size = in.value("patch_size", 0U);
  if (const auto vision = in.find("vision"); vision != in.end()) {
    VisionStyle& style = card->vision;
    vision->at("projector").get_to(style.projector);
    vision->at("merge").get_to(style.merge);
    vision->at("full_every").get_to(style.full_every);
    vision->at("deepstack").get_to(style.deepstack);
    vision->at("norm_before").get_to(style.norm_before);
    vision->at("norm_behind").get_to(style.norm_behind);
    vision->at("registers").get_to(style.registers);
    vision->at("inner").get_to(style.inner);
  }
  read_groups(in.at("groups"), card);
  read_kv(in.at("kv").at("layers"), card);
}

Result<std::string> ask(Os& os, const WorkerAsk& ask) {
  Result<WorkerAnswer> answer = ask_worker(os, ask);
  if (!answer) return fail(answer.error());
  if (answer->line) return std::move(*answer->line);
  const std::string& file = ask.argv[2];
  if (answer->late) {
    return fail(Code::kTimeout,
                fmt::format("reading {} took longer than {} s", file, ask.max.count() / 1000),
                "check the disk it lies on");
  }
  if (!answer->words.empty()) return fail(Code::kCorrupt, answer->words);
  return fail(Code::kCorrupt,
              fmt::format("{} cannot be read as a model (its reader ended: {})", file,
                          answer->end),
              "get the file again");
}

}  // namespace

Result<ModelCard> parse_card(const json& in) {
  ModelCard card;
  try {
    read_fields(in, &card);
  } catch (const json::exception& e) {
    return fail(Code::kInternal, fmt::format("the card of a model is not understood: {}", e.what()),
                "gantryd and gantry-worker must be of one version");
  }
  return card;
}

CardReader card_probe(Os& os, const std::string& worker_exe, const std::string& scratch) {
  return [&os, worker_exe, scratch](const std::string& file,
                                    const std::string& mmproj) -> Result<Cards> {
    std::vector<std::string> argv = {worker_exe, "card", file};
    if (!mmproj.empty()) argv.push_back(mmproj);
    Result<std::string> line =
        ask(os, {argv, {}, error_file(scratch, "card"), kCardProbeMax});
    if (!line) return fail(line.error());
    const json answer = json::parse(*line, nullptr, false);
    if (!answer.is_object()) {
      return fail(Code::kInternal, "the card of " + file + " is not JSON",
                  "gantryd and gantry-worker must be of one version");
    }
    if (mmproj.empty()) {
      Result<ModelCard> card = parse_card(answer);
      if (!card) return fail(card.error());
      return Cards{std::move(*card), std::nullopt};
    }
    Result<ModelCard> model = parse_card(answer.value("model", json()));
    if (!model) return fail(model.error());
    Result<ModelCard> second = parse_card(answer.value("mmproj", json()));
    if (!second) return fail(second.error());
    return Cards{std::move(*model), std::move(*second)};
  };
}

}  // namespace gantry
