// The keys of a model that is one of several others: `one_of`, `mode`, `keep_up`, `step_after`.
#pragma once

#include <array>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/keys.h"

namespace gantry {

inline constexpr std::array<std::string_view, 3> kModes = {"accuracy", "balanced", "speed"};
// What can be chosen among: kinds whose work has a figure for a second of sound.
inline constexpr std::string_view kChosenKind = "speech";
inline constexpr size_t kMembersMax = 16;

// The model that a member is, without the device that it is to compute on: "ear#device=gpu0".
std::string member_model(std::string_view member);

[[nodiscard]] Result<void> read_one_of(ConfigReader& r, const YamlNode& n, ModelKeyState* state);
[[nodiscard]] Result<void> read_mode(ConfigReader& r, const YamlNode& n, ModelKeyState* state);
[[nodiscard]] Result<void> read_keep_up(ConfigReader& r, const YamlNode& n, ModelKeyState* state);

// Once its keys are read: true where it is a choice, which then has its kind; an error where keys
// stand together that cannot.
[[nodiscard]] Result<bool> check_choice(ConfigReader& reader, const YamlEntry& entry,
                                        ModelConfig* model);
// Where its members are named, in the place of what an earlier file said of the same name.
void note_members(const ConfigReader& reader, const YamlEntry& entry, const ModelConfig& model,
                  std::vector<MemberPlace>* members);
// Of one file, by its `models:`: what is wrong with members that are there. Others are warned of.
[[nodiscard]] Result<void> check_own_members(ConfigReader& reader, const YamlNode& map,
                                             const FileKeyState& state);
// Of all files, once every model is known. kCorrupt with the place.
[[nodiscard]] Result<void> check_members(const Config& config,
                                         std::span<const MemberPlace> members);

}  // namespace gantry
