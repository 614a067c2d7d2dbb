// A card as JSON for programs and as text for people.
#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>

#include "model/card.h"

namespace gantry {

namespace {

// Pairs that people use: the same type for K and V.
constexpr std::array<uint32_t, 4> kContexts = {4096, 8192, 32768, 131072};
constexpr std::array kShownTypes = {CacheType::kF16, CacheType::kQ8_0, CacheType::kQ4_0};

// Rows of the context table: the usual ones below what the model was trained for, then that.
std::vector<uint32_t> shown_contexts(const ModelCard& card) {
  std::vector<uint32_t> out;
  std::copy_if(kContexts.begin(), kContexts.end(), std::back_inserter(out),
               [&](uint32_t context) { return context < card.context_trained; });
  if (card.context_trained > 0) out.push_back(card.context_trained);
  return out;
}

nlohmann::json sliced_json(const Sliced& sliced) {
  return {{"bytes", sliced.bytes}, {"row", sliced.row}, {"block", sliced.block}};
}

nlohmann::json groups_json(const ModelCard& card) {
  nlohmann::json out = nlohmann::json::array();
  for (const TensorGroup& group : card.groups) {
    nlohmann::json row = {{"part", part_name(group.part)},
                          {"bytes", group.bytes.n},
                          {"tensors", group.tensors}};
    if (group.part == Part::kLayer) row["layer"] = group.layer;
    if (group.expert_bytes.n > 0) row["expert_bytes"] = group.expert_bytes.n;
    row["sizes"] = group.sizes;
    if (!group.expert_sizes.empty()) row["expert_sizes"] = group.expert_sizes;
    row["types"] = group.types;
    if (!group.expert_types.empty()) row["expert_types"] = group.expert_types;
    if (group.heads.bytes > 0) row["heads"] = sliced_json(group.heads);
    if (group.width.bytes > 0) row["width"] = sliced_json(group.width);
    out.push_back(std::move(row));
  }
  return out;
}

nlohmann::json kv_json(const ModelCard& card) {
  nlohmann::json per_token = nlohmann::json::object();
  for (const CacheType type : kCacheTypes) {
    if (!card.check_cache(type, type)) continue;
    per_token[std::string(cache_type_name(type))] = card.kv_bytes_per_token(type, type).n;
  }
  nlohmann::json table = nlohmann::json::array();
  for (const uint32_t context : shown_contexts(card)) {
    nlohmann::json row = {{"context", context}};
    for (const CacheType type : kCacheTypes) {
      if (!card.check_cache(type, type)) continue;
      row[std::string(cache_type_name(type))] = card.kv_bytes(context, type, type).n;
    }
    table.push_back(std::move(row));
  }
  nlohmann::json layers = nlohmann::json::array();
  for (const LayerKv& layer : card.kv) {
    layers.push_back({{"k_width", layer.k_width},
                      {"v_width", layer.v_width},
                      {"k_head", layer.k_head},
                      {"v_head", layer.v_head},
                      {"window", layer.window}});
  }
  return {{"bytes_per_token", std::move(per_token)},
          {"bytes_at", std::move(table)},
          {"layers", std::move(layers)}};
}

void add_line(std::string& out, std::string_view label, const std::string& value) {
  fmt::format_to(std::back_inserter(out), "{:<15} {}\n", label, value);
}

std::string with_bytes(Bytes bytes) {
  return fmt::format("{} ({} B)", format_bytes(bytes), bytes.n);
}

void add_groups(std::string& out, const ModelCard& card) {
  for (const Part part : {Part::kEmbedding, Part::kLayer, Part::kOutput, Part::kEncoder,
                          Part::kProjector, Part::kOther}) {
    if (part == Part::kLayer) {
      for (const TensorGroup& group : card.groups) {
        if (group.part != part) continue;
        const std::string experts =
            group.expert_bytes.n > 0
                ? fmt::format(", {} of it in experts", format_bytes(group.expert_bytes))
                : "";
        add_line(out, fmt::format("  layer {}", group.layer), with_bytes(group.bytes) + experts);
      }
    } else if (const Bytes bytes = card.bytes_in(part); bytes.n > 0) {
      add_line(out, fmt::format("  {}", part_name(part)), with_bytes(bytes));
    }
  }
}

void add_cache(std::string& out, const ModelCard& card) {
  if (card.kv.empty()) {
    add_line(out, "KV cache", "none");
  } else {
    std::string types;
    for (const CacheType type : kCacheTypes) {
      if (!card.check_cache(type, type)) continue;
      fmt::format_to(std::back_inserter(types), "{}{} {}", types.empty() ? "" : ", ",
                     cache_type_name(type), card.kv_bytes_per_token(type, type).n);
    }
    add_line(out, "KV per token", types + " bytes");
    const auto windowed = std::count_if(card.kv.begin(), card.kv.end(),
                                        [](const LayerKv& layer) { return layer.window > 0; });
    if (windowed > 0) {
      add_line(out, "KV windows", fmt::format("{} of {} layers", windowed, card.kv.size()));
    }
    for (const uint32_t context : shown_contexts(card)) {
      std::string row;
      for (const CacheType type : kShownTypes) {
        if (!card.check_cache(type, type)) continue;
        fmt::format_to(std::back_inserter(row), "{}{} {}", row.empty() ? "" : ", ",
                       cache_type_name(type), format_bytes(card.kv_bytes(context, type, type)));
      }
      add_line(out, fmt::format("KV at {}", context), row);
    }
  }
  if (card.state_bytes.n > 0) {
    add_line(out, "fixed state", with_bytes(card.state_bytes) + " per sequence");
  }
}

}  // namespace

nlohmann::json card_json(const ModelCard& card) {
  nlohmann::json out = {
      {"format", card.format == ModelFormat::kGguf ? "gguf" : "whisper"},
      {"architecture", card.architecture},
      {"name", card.name},
      {"quantisation", card.quantisation},
      {"file_bytes", card.file_bytes.n},
      {"weight_bytes", card.weight_bytes.n},
      {"parameters", card.parameters},
      {"layers", card.layers},
      {"embd", card.embd},
      {"heads", card.heads},
      {"heads_kv", card.heads_kv},
      {"ffn", card.ffn},
      {"vocab", card.vocab},
      {"context_trained", card.context_trained},
      {"experts", card.experts},
      {"experts_used", card.experts_used},
      {"has_chat_template", card.has_chat_template},
      {"state_bytes", card.state_bytes.n},
      {"groups", groups_json(card)},
      {"kv", kv_json(card)},
  };
  for (const Part part : {Part::kEmbedding, Part::kLayer, Part::kOutput, Part::kEncoder,
                          Part::kProjector, Part::kOther}) {
    out["bytes"][std::string(part_name(part))] = card.bytes_in(part).n;
  }
  if (card.expert_ffn > 0) out["expert_ffn"] = card.expert_ffn;
  if (card.shared_ffn > 0) out["shared_ffn"] = card.shared_ffn;
  if (const Mixer& mixer = card.mixer; mixer.kernel > 0) {
    out["mixer"] = {{"kernel", mixer.kernel}, {"inner", mixer.inner}, {"state", mixer.state},
                    {"groups", mixer.groups}, {"steps", mixer.steps}};
  }
  if (card.audio_layers > 0) out["audio_layers"] = card.audio_layers;
  if (!card.audio_projector.empty()) {
    out["audio_projector"] = card.audio_projector;
    out["audio_mels"] = card.audio_mels;
    out["audio_channels"] = card.audio_channels;
    const AudioStyle& audio = card.audio;
    out["audio"] = {{"embd", audio.embd}, {"heads", audio.heads}, {"ffn", audio.ffn},
                    {"taps", audio.taps}, {"inner", audio.inner}, {"shared", audio.shared.n}};
  }
  if (card.format == ModelFormat::kWhisper) {
    out["audio_context"] = card.audio_context;
    out["audio_mels"] = card.audio_mels;
    out["text_context"] = card.text_context;
  }
  if (card.image_size > 0) {
    out["image_size"] = card.image_size;
    out["patch_size"] = card.patch_size;
    const VisionStyle& style = card.vision;
    out["vision"] = {{"projector", style.projector}, {"merge", style.merge},
                     {"full_every", style.full_every}, {"deepstack", style.deepstack},
                     {"norm_before", style.norm_before}, {"norm_behind", style.norm_behind},
                     {"registers", style.registers}, {"inner", style.inner}};
  }
  return out;
}

std::string card_text(const ModelCard& card) {
  std::string out;
  add_line(out, "architecture",
           card.name.empty() ? card.architecture
                             : fmt::format("{} ({})", card.architecture, card.name));
  add_line(out, "quantisation", card.quantisation);
  add_line(out, "parameters", fmt::format("{}", card.parameters));
  std::string layers = fmt::format("{}", card.layers);
  if (card.audio_layers > 0) layers += fmt::format(", audio encoder {}", card.audio_layers);
  add_line(out, "layers", layers);
  std::string shape = fmt::format("embedding {}, heads {}", card.embd, card.heads);
  if (card.heads_kv != card.heads) shape += fmt::format(" ({} for KV)", card.heads_kv);
  if (card.vocab > 0) shape += fmt::format(", vocabulary {}", card.vocab);
  add_line(out, "dimensions", shape);
  if (card.experts > 0) {
    add_line(out, "experts", fmt::format("{}, {} used per token", card.experts, card.experts_used));
  }
  if (card.image_size > 0 && card.patch_size > 0) {
    add_line(out, "image", fmt::format("{0} x {0}, patches of {1}", card.image_size,
                                       card.patch_size));
    if (!card.vision.projector.empty()) add_line(out, "projector", card.vision.projector);
  }
  if (!card.audio_projector.empty()) {
    add_line(out, "hears", fmt::format("{}, {} mel bins", card.audio_projector, card.audio_mels));
  }
  if (card.context_trained > 0) {
    add_line(out, "context", fmt::format("{} tokens trained", card.context_trained));
  }
  add_line(out, "file", with_bytes(card.file_bytes));
  add_line(out, "weights", with_bytes(card.weight_bytes));
  add_groups(out, card);
  add_cache(out, card);
  return out;
}

}  // namespace gantry
