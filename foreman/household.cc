// Words of the configuration in those of the plan.
#include "foreman/household.h"

#include <algorithm>
#include <iterator>

#include "plan/levers.h"

namespace gantry {

namespace {

// A quarter of what is wished is the least where nothing else is said.
constexpr uint32_t kContextShare = 4;
constexpr const char* kHost = "cpu";

Result<void> set_levers(const DemandConfig& config, Wish* wish) {
  for (const std::string& word : config.allow) {
    if (word == "context") {
      const uint32_t trained = wish->card ? wish->card->context_trained : 0;
      const uint32_t wished = wish->context == 0 ? std::max(trained, 1U) : wish->context;
      wish->levers.context_least = config.context_least.value_or(wished / kContextShare);
    } else if (word == "encoder") {
      wish->levers.encoder_on_cpu = true;
    } else if (word == "batch") {
      wish->levers.smaller_batch = true;
    } else if (word == "gpu-only") {
      wish->levers.cpu = false;
    } else {
      const Result<CacheType> type = parse_cache_type(word);
      if (!type) return fail(type.error());
      wish->levers.caches.push_back(*type);
    }
  }
  return {};
}

// Those whom the groups keep from `name`, on whatever device.
std::vector<std::string> never_beside(const Config& config, const std::string& name) {
  if (config.groups.empty()) return {};
  Demand demand;
  for (const ModelConfig& model : config.models) demand.wishes.push_back({.name = model.name});
  add_groups(config, &demand);
  std::vector<std::string> others;
  for (const std::vector<std::string>& apart : demand.apart) {
    if (std::ranges::find(apart, name) == apart.end()) continue;
    std::ranges::copy_if(apart, std::back_inserter(others),
                         [&](const std::string& other) { return other != name; });
  }
  return others;
}

Bytes total_of(const Machine& machine, const std::string& device) {
  const auto found = std::ranges::find(machine.devices, device, &Device::name);
  return found == machine.devices.end() ? machine.memory.total : found->total;
}

bool holds(const GroupConfig& group, const std::string& name) {
  return std::ranges::find(group.members, name) != group.members.end();
}

}  // namespace

Result<void> set_demand(const DemandConfig& config, Wish* wish) {
  wish->purpose = config.purpose;
  wish->priority = config.priority;
  wish->latency = config.latency == "batch" ? Latency::kBatch : Latency::kInteractive;
  wish->device = config.device;
  wish->cap = config.cap;
  wish->usage.share = config.share;
  for (const auto& [from, to] : {std::pair{config.prompt_tokens, &wish->usage.prompt_tokens},
                                 {config.output_tokens, &wish->usage.output_tokens},
                                 {config.audio_s, &wish->usage.audio_s}}) {
    if (from) *to = *from;
  }
  for (const std::string& word : config.shortage) {
    const Result<Shortage> parsed = parse_shortage(word);
    if (!parsed) return fail(parsed.error());
    wish->shortage.push_back(*parsed);
  }
  return set_levers(config, wish);
}

void add_groups(const Config& config, Demand* demand) {
  std::vector<std::string> names;
  for (const Wish& wish : demand->wishes) names.push_back(wish.name);
  for (const GroupConfig& group : config.groups) {
    std::vector<std::string> members, others;
    for (const std::string& name : names) {
      const bool persistent = std::ranges::any_of(config.groups, [&](const GroupConfig& other) {
        return other.persistent && holds(other, name);
      });
      if (holds(group, name)) {
        members.push_back(name);
      } else if (!persistent) {
        others.push_back(name);
      }
    }
    if (members.empty()) continue;
    if (group.swap && members.size() > 1) demand->apart.push_back(members);
    if (group.persistent && (!group.swap || members.size() == 1)) {
      demand->stay.insert(demand->stay.end(), members.begin(), members.end());
      continue;  // others cannot unload it, nor it them
    }
    if (!group.exclusive) continue;
    for (const std::string& member : members) {
      for (const std::string& other : others) demand->apart.push_back({member, other});
    }
  }
}

void keep_apart(const Config& config, const Machine& machine, const ModelConfig& model,
                Loadable* loadable) {
  const std::string name = model.name.substr(0, model.name.find('#'));  // whichever way it streams
  const std::vector<std::string> others = never_beside(config, name);
  for (Share& share : loadable->shares) {
    // Every worker has some host memory: that is where two of them meet for certain.
    if (share.device == kHost && !others.empty()) {
      share.is.push_back("model " + name);
      for (const std::string& other : others) share.never.push_back("model " + other);
    }
    // Who runs on an accelerator is not in the way of those who run on the processor.
    if (share.device == kHost && loadable->device != kHost) continue;
    share.whole = model.whole_device && share.device == loadable->device;
    for (size_t i = 0; i < config.exclusive.size(); ++i) {
      const ExclusiveConfig& rule = config.exclusive[i];
      if (rule.below && total_of(machine, share.device) >= *rule.below) continue;
      const auto own = [&](const std::string& word) {
        return word == loadable->kind || word == model.demand.purpose || word == name;
      };
      if (std::ranges::none_of(rule.classes, own)) continue;
      for (const std::string& word : rule.classes) {
        (own(word) ? share.is : share.never).push_back(std::to_string(i) + " " + word);
      }
    }
  }
}

}  // namespace gantry
