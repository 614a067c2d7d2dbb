// Names: what a user writes to a row of the tables, and to a card.
#include "model/catalogue.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "base/nearest.h"
#include "model/catalogue_cards.h"
#include "model/tensor_type.h"
#include "model/text.h"

namespace gantry {

namespace {

constexpr size_t kNameMax = 96;  // of what is looked up at all

std::string lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), [](unsigned char c) { return std::tolower(c); });
  return out;
}

std::string family_of(std::string_view name) {
  return std::string(name.substr(0, std::min(name.find(':'), name.size())));
}

template <class Row>
const Row* find(std::span<const Row> rows, std::string_view name) {
  const auto found = std::ranges::find(rows, name, &Row::name);
  return found == rows.end() ? nullptr : &*found;
}

// The row's name: itself, an alias, or the family's first.
std::string known_name(const std::string& wanted) {
  const auto alias = find(catalogue_aliases(), wanted);
  const std::string name = alias != nullptr ? std::string(alias->entry) : wanted;
  for (const CatalogueEntry& entry : catalogue_entries()) {
    if (entry.name == name || entry.family == name) return entry.name;
  }
  return {};
}

// "qwen3:8b-instruct-q4_k_m": the longest end that is a quantisation is one, and words that say
// nothing about the shape go.
void take_tag(std::string* name, std::string* mix) {
  if (mix->empty()) {
    for (size_t dash = name->find('-'); dash != name->npos; dash = name->find('-', dash + 1)) {
      if (!parse_mix(name->substr(dash + 1))) continue;
      *mix = name->substr(dash + 1);
      name->resize(dash);
      break;
    }
  }
  for (const std::string_view word : {"-instruct", "-chat", "-it", "-text", "-base"}) {
    if (name->ends_with(word)) name->resize(name->size() - word.size());
  }
}

struct Asked {
  std::string name;  // of an entry; empty: not known
  std::optional<Mix> mix;
  std::string bad_mix;
};

Asked asked_for(std::string_view text) {
  const std::string all = lower(text.substr(0, kNameMax));
  const size_t at = std::min(all.find('@'), all.size());
  std::string name = all.substr(0, at), mix = at < all.size() ? all.substr(at + 1) : "";
  Asked asked;
  if (at < all.size() && mix.empty()) asked.bad_mix = "@";
  asked.name = known_name(name);
  if (asked.name.empty()) {
    take_tag(&name, &mix);
    asked.name = known_name(name);
  }
  if (!mix.empty()) asked.mix = parse_mix(mix);
  if (!mix.empty() && !asked.mix) asked.bad_mix = mix;
  return asked;
}

Error unknown(std::string_view name) {
  std::vector<std::string> known;
  for (const CatalogueEntry& entry : catalogue_entries()) known.push_back(entry.name);
  for (const CatalogueAlias& alias : catalogue_aliases()) known.emplace_back(alias.name);
  const std::string asked = lower(name.substr(0, std::min(name.find('@'), kNameMax)));
  return {Code::kNotFound, fmt::format("the catalogue has no model {}", quoted(name)),
          "the nearest it has is " + nearest_name(known, asked)};
}

Error no_such_mix(const std::string& name, std::string_view mix, bool speech) {
  std::string list;
  for (const Mix known : mixes()) {
    if (speech && !speech_mix(known)) continue;
    list += (list.empty() ? "" : " ") + std::string(mix_name(known));
  }
  return {Code::kUnsupported, fmt::format("{} does not come in {}", name, quoted(mix)),
          "use one of " + list};
}

CatalogueModel language_model(const LanguageShape& shape, Mix mix) {
  CatalogueModel model;
  model.card = language_card(shape, mix);
  model.mix = mix;
  if (const EncoderShape* encoder = find(encoder_shapes(), shape.encoder)) {
    model.mmproj = encoder_card(*encoder, shape.size.embd);
  }
  return model;
}

CatalogueModel declared_model(const DeclaredShape& shape) {
  CatalogueModel model;
  model.declared = DeclaredModel{shape.weights,    shape.device,
                                 shape.host,       shape.host_only,
                                 shape.operations, shape.sequential_bytes,
                                 std::string(shape.source)};
  return model;
}

Result<CatalogueModel> model_of(const std::string& name, std::optional<Mix> mix) {
  if (const LanguageShape* shape = find(language_shapes(), name)) {
    return language_model(*shape, mix.value_or(shape->usual));
  }
  if (const SpeechShape* shape = find(speech_shapes(), name)) {
    if (mix && !speech_mix(*mix)) return fail(no_such_mix(name, mix_name(*mix), true));
    CatalogueModel model;
    model.mix = mix.value_or(Mix::kF16);
    model.card = speech_card(*shape, *model.mix);
    return model;
  }
  if (mix) {
    return fail(Code::kUnsupported, name + " comes as its program keeps it",
                "leave @" + std::string(mix_name(*mix)) + " out");
  }
  return declared_model(*find(declared_shapes(), name));
}

double bits(Mix mix) {
  const TensorType& type = *tensor_type(mix_base(mix));
  return 8.0 * type.bytes / type.block;
}

}  // namespace

std::vector<CatalogueEntry> catalogue_entries() {
  std::vector<CatalogueEntry> out;
  const auto add = [&](std::string_view name, double published, std::string_view about) {
    out.push_back({std::string(name), family_of(name), published, std::string(about)});
  };
  for (const LanguageShape& row : language_shapes()) {
    const char* plain = row.encoder.empty() ? "text" : "text and images";
    add(row.name, row.published, row.size.about.empty() ? plain : row.size.about);
  }
  for (const SpeechShape& row : speech_shapes()) add(row.name, row.published, "speech to text");
  for (const DeclaredShape& row : declared_shapes()) add(row.name, row.published, row.about);
  return out;
}

bool is_catalogue_name(std::string_view name) {
  if (name.empty() || name.size() > kNameMax || name.find('/') != name.npos) return false;
  return !asked_for(name).name.empty();
}

Result<CatalogueModel> catalogue_model(std::string_view text) {
  const Asked asked = asked_for(text);
  if (asked.name.empty() || text.size() > kNameMax) return fail(unknown(text));
  if (!asked.bad_mix.empty()) {
    const bool speech = find(speech_shapes(), asked.name) != nullptr;
    return fail(no_such_mix(asked.name, asked.bad_mix, speech));
  }
  Result<CatalogueModel> model = model_of(asked.name, asked.mix);
  if (!model) return model;
  for (const CatalogueEntry& entry : catalogue_entries()) {
    if (entry.name == asked.name) model->about = entry.about;
  }
  model->family = family_of(asked.name);
  model->name = asked.name;
  if (model->mix) model->name += "@" + std::string(mix_name(*model->mix));
  return model;
}

std::vector<std::string> smaller_quantisations(std::string_view text) {
  const Result<CatalogueModel> model = catalogue_model(text);
  if (!model || !model->mix) return {};
  const std::string name = asked_for(text).name;
  const bool speech = find(speech_shapes(), name) != nullptr;
  Bytes last = model->card.weight_bytes;
  std::vector<std::string> out;
  // One of each width: those that people publish.
  for (const Mix mix : {Mix::kQ8_0, Mix::kQ6_K, Mix::kQ5_K_M, Mix::kQ5_0, Mix::kQ4_K_M, Mix::kQ4_0,
                        Mix::kQ3_K_M, Mix::kQ2_K}) {
    const bool simple = mix == Mix::kQ5_0 || mix == Mix::kQ4_0;  // whisper's, for its widths
    if (mix == *model->mix || bits(mix) > bits(*model->mix)) continue;
    if (speech ? !speech_mix(mix) : simple) continue;
    const Result<CatalogueModel> smaller = model_of(name, mix);
    if (!smaller || smaller->card.weight_bytes >= last) continue;
    last = smaller->card.weight_bytes;
    out.push_back(name + "@" + std::string(mix_name(mix)));
  }
  return out;
}

std::vector<std::string> smaller_models(std::string_view text) {
  const Asked asked = asked_for(text);
  const std::vector<CatalogueEntry> entries = catalogue_entries();
  const auto self = std::ranges::find(entries, asked.name, &CatalogueEntry::name);
  if (self == entries.end()) return {};
  std::vector<CatalogueEntry> smaller;
  for (const CatalogueEntry& entry : entries) {
    // "llama3.2" is of llama3's kind, as "qwen2.5" is of qwen2's.
    const bool same = entry.family == self->family ||
                      entry.family.starts_with(self->family + ".") ||
                      self->family.starts_with(entry.family + ".");
    const bool less = entry.published < 0.9 * self->published;  // not the same once more
    if (same && less && (entry.about == self->about)) smaller.push_back(entry);
  }
  std::ranges::stable_sort(smaller, std::ranges::greater{}, &CatalogueEntry::published);
  std::vector<std::string> out;
  double last = 0;
  for (const CatalogueEntry& entry : smaller) {
    if (entry.published == last || entry.name.ends_with(".en")) continue;
    last = entry.published;
    const std::string mix = asked.mix ? "@" + std::string(mix_name(*asked.mix)) : "";
    out.push_back(entry.name + mix);
  }
  return out;
}

}  // namespace gantry
