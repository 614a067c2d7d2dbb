// Models that are one of several others, as a file says it.
#include "config/choice_keys.h"

#include <algorithm>
#include <charconv>
#include <set>

namespace gantry {

namespace {

constexpr std::string_view kDeviceWay = "#device=";
constexpr double kKeepUpMax = 100;
constexpr std::array<std::string_view, 7> kBeside = {"one_of",  "mode", "keep_up", "step_after",
                                                     "aliases", "kind", "macros"};

// What is wrong with a member; kNotFound where nobody has that name.
std::optional<Error> member_error(const Config& config, const MemberPlace& at) {
  const std::string name = member_model(at.member);
  const auto found = std::ranges::find(config.models, name, &ModelConfig::name);
  if (found == config.models.end()) {
    return Error{Code::kNotFound, at.place + ": there is no model " + in_quotes(name),
                 "name a model of the configuration or the shipped catalogue, not an alias"};
  }
  if (!found->one_of.empty()) {
    return Error{Code::kCorrupt, at.place + ": " + in_quotes(name) + " is one of others itself",
                 "name the models that it is one of"};
  }
  if (!found->kind.empty() && found->kind != kChosenKind) {
    return Error{Code::kCorrupt,
                 at.place + ": " + in_quotes(name) + " is a " + found->kind + " model, " +
                     in_quotes(at.choice) + " is one of " + std::string(kChosenKind) + " models",
                 "name models of one kind"};
  }
  return std::nullopt;
}

Result<void> check_member_name(ConfigReader& reader, const YamlNode& node,
                               const std::string& member) {
  const size_t mark = member.find('#');
  if (mark == std::string::npos) return {};
  const std::string_view way = std::string_view(member).substr(mark);
  const bool device = way.starts_with(kDeviceWay) && way.size() > kDeviceWay.size();
  if (device && way.find('#', 1) == way.npos) return {};
  return fail(reader.error(node, in_quotes(member) + " is no model and no device of one",
                           "NAME, or NAME#device=gpu0"));
}

bool takes_effect(std::string_view name) {
  const auto keys = model_keys();
  const auto key = std::ranges::find(keys, name, &ConfigKey<ModelKeyState>::name);
  return key != keys.end() && key->read != nullptr;
}

}  // namespace

std::string_view mode_name(Mode mode) { return kModes[static_cast<size_t>(mode)]; }

std::optional<Mode> mode_of(std::string_view name) {
  const auto found = std::ranges::find(kModes, name);
  if (found == kModes.end()) return std::nullopt;
  return static_cast<Mode>(found - kModes.begin());
}

std::string member_model(std::string_view member) {
  return std::string(member.substr(0, member.find('#')));
}

Result<void> read_one_of(ConfigReader& reader, const YamlNode& node, ModelKeyState* state) {
  auto members = reader.texts(node);
  if (!members) return fail(members.error());
  if (members->size() < 2 || members->size() > kMembersMax) {
    return fail(reader.error(node, "one_of wants 2 to " + std::to_string(kMembersMax) + " models",
                             "name the best first"));
  }
  std::set<std::string> seen;
  for (size_t i = 0; i < members->size(); ++i) {
    const std::string& member = (*members)[i];
    auto sound = check_member_name(reader, node.items[i], member);
    if (!sound) return sound;
    if (member_model(member) == state->model->name) {
      return fail(reader.error(node.items[i], in_quotes(member) + " cannot be one of itself",
                               "give one of the two another name"));
    }
    if (!seen.insert(member).second) {
      return fail(reader.error(node.items[i], in_quotes(member) + " is there twice"));
    }
  }
  state->model->one_of = std::move(*members);
  return {};
}

Result<void> read_mode(ConfigReader& reader, const YamlNode& node, ModelKeyState* state) {
  auto word = reader.text(node);
  if (!word) return fail(word.error());
  const std::optional<Mode> mode = mode_of(*word);
  if (!mode) {
    return fail(reader.error(node, in_quotes(*word) + " is no mode",
                             "accuracy, balanced or speed"));
  }
  state->model->mode = *mode;
  return {};
}

Result<void> read_keep_up(ConfigReader& reader, const YamlNode& node, ModelKeyState* state) {
  auto word = reader.text(node);
  if (!word) return fail(word.error());
  double value = 0;
  const auto [end, bad] = std::from_chars(word->data(), word->data() + word->size(), value);
  const bool whole = bad == std::errc() && end == word->data() + word->size();
  if (!whole || !(value > 0 && value <= kKeepUpMax)) {
    return fail(reader.error(node, in_quotes(*word) + " is no share of real time",
                             "seconds of work for a second of sound, such as 0.5"));
  }
  state->model->keep_up = value;
  return {};
}

Result<bool> check_choice(ConfigReader& reader, const YamlEntry& entry, ModelConfig* model) {
  const bool choice = entry.value.find("one_of") != nullptr;
  for (const YamlEntry& key : entry.value.entries) {
    const std::string& name = key.key.text;
    const bool beside = std::ranges::find(kBeside, name) != kBeside.end();
    if (choice && !beside && takes_effect(name)) {
      return fail(reader.error(key.key, in_quotes(name) + " beside one_of",
                               "say it of the models that are named there"));
    }
    if (!choice && (name == "mode" || name == "keep_up" || name == "step_after")) {
      return fail(reader.error(key.key, in_quotes(name) + " without one_of",
                               "name the models that it is one of"));
    }
  }
  if (!choice) return false;
  if (model->name.find('#') != std::string::npos) {
    return fail(reader.error(entry.key, "a # in the name of one of several models",
                             "give it another name"));
  }
  if (!model->kind.empty() && model->kind != kChosenKind) {
    return fail(reader.error(*entry.value.find("kind"), "one of several " + model->kind +
                                                            " models is not chosen",
                             "one_of is for " + std::string(kChosenKind) + " models"));
  }
  model->kind = kChosenKind;
  return true;
}

void note_members(const ConfigReader& reader, const YamlEntry& entry, const ModelConfig& model,
                  std::vector<MemberPlace>* members) {
  std::erase_if(*members, [&](const MemberPlace& old) { return old.choice == model.name; });
  const YamlNode* list = entry.value.find("one_of");
  for (size_t i = 0; i < model.one_of.size(); ++i) {
    members->push_back({model.name, model.one_of[i], place(reader.path(), list->items[i])});
  }
}

Result<void> check_own_members(ConfigReader& reader, const YamlNode& map,
                               const FileKeyState& state) {
  for (const YamlEntry& entry : map.entries) {
    const YamlNode* list = entry.value.find("one_of");
    if (list == nullptr) continue;
    for (const YamlNode& item : list->items) {
      const auto wrong =
          member_error(*state.config, {entry.key.text, item.text, place(reader.path(), item)});
      if (!wrong) continue;
      if (wrong->code != Code::kNotFound) return fail(*wrong);
      reader.warn(item, in_quotes(item.text) + " is no model of this file");
    }
  }
  return {};
}

Result<void> check_members(const Config& config, std::span<const MemberPlace> members) {
  for (const MemberPlace& member : members) {
    std::optional<Error> wrong = member_error(config, member);
    if (!wrong) continue;
    wrong->code = Code::kCorrupt;
    return fail(std::move(*wrong));
  }
  return {};
}

}  // namespace gantry
