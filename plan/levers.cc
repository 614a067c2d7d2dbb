// Settings of the levers, from what costs nobody anything to what everybody sees.
#include "plan/levers.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <utility>

#include "plan/need.h"

namespace gantry {

namespace {

constexpr std::array kWords = {std::pair{Shortage::kWait, "wait"},
                               std::pair{Shortage::kShrink, "shrink"},
                               std::pair{Shortage::kCpu, "cpu"},
                               std::pair{Shortage::kCloud, "cloud"},
                               std::pair{Shortage::kRefuse, "refuse"}};

// How much a step gives up: time alone first, then quality, then what was asked for.
constexpr uint32_t kBatchStep = 1;
constexpr uint32_t kEncoderStep = 1;
constexpr uint32_t kCacheStep = 3;
constexpr uint32_t kContextStep = 4;
constexpr uint32_t kAlternativeStep = 25;  // more than all of the others together
constexpr uint32_t kCellsStep = 256;       // what llama.cpp rounds contexts to
constexpr std::array<uint32_t, 2> kBatches = {256, 64};

using Settings = std::vector<Setting>;

// Each setting once more for each value that `change` accepts.
template <class Value, class Change>
void vary(Settings* settings, const std::vector<Value>& values, uint32_t step, Change change) {
  const size_t before = settings->size();
  for (size_t v = 0; v < values.size(); ++v) {
    for (size_t i = 0; i < before; ++i) {
      Setting setting = (*settings)[i];
      std::string words = change(&setting.wish, values[v]);
      if (words.empty()) continue;
      setting.given_up.push_back(std::move(words));
      setting.steps += step * static_cast<uint32_t>(v + 1);
      settings->push_back(std::move(setting));
    }
  }
}

std::string smaller_batch(Wish* wish, uint32_t tokens) {
  const uint32_t before = std::min(wish->ubatch, std::max(context_of(*wish), 1U));
  if (tokens >= before || is_encoder(*wish) || wish->embeddings) return {};
  wish->ubatch = tokens;
  return "batches of " + std::to_string(tokens) + " tokens instead of " + std::to_string(before);
}

std::string encoder_to_cpu(Wish* wish, bool) {
  if (!wish->mmproj) return {};
  wish->encoder_on_cpu = true;
  return "the vision encoder is on the CPU";
}

std::string smaller_cache(Wish* wish, CacheType type) {
  const ModelCard& card = *wish->card;
  const uint32_t context = context_of(*wish);
  if (card.kv.empty() || !card.check_cache(type, type)) return {};
  if (card.kv_bytes(context, type, type) >=
      card.kv_bytes(context, wish->cache_k, wish->cache_v)) {
    return {};
  }
  std::string before(cache_type_name(wish->cache_k));
  if (wish->cache_v != wish->cache_k) before += "/" + std::string(cache_type_name(wish->cache_v));
  wish->cache_k = wish->cache_v = type;
  return "the KV cache is " + std::string(cache_type_name(type)) + " instead of " + before;
}

// Three quarters, half and a quarter of what was wished, and the least.
std::vector<uint32_t> shorter_contexts(const Wish& wish) {
  std::vector<uint32_t> out;
  const uint32_t all = context_of(wish), least = wish.levers.context_least;
  if (least == 0 || least >= all) return out;
  for (const uint64_t quarters : {3U, 2U, 1U}) {
    const auto tokens = static_cast<uint32_t>(quarters * all / 4 / kCellsStep * kCellsStep);
    if (tokens > least && tokens < all && (out.empty() || tokens < out.back())) {
      out.push_back(tokens);
    }
  }
  out.push_back(least);
  return out;
}

std::string shorter_context(Wish* wish, uint32_t tokens) {
  const uint32_t before = context_of(*wish);
  wish->context = tokens;
  return "a context of " + std::to_string(tokens) + " instead of " + std::to_string(before) +
         " tokens";
}

Settings levers_of(Setting as_wished) {
  const Levers levers = as_wished.wish.levers;
  const std::vector<uint32_t> contexts = shorter_contexts(as_wished.wish);
  Settings settings = {std::move(as_wished)};
  if (levers.smaller_batch) {
    vary(&settings, std::vector(kBatches.begin(), kBatches.end()), kBatchStep, smaller_batch);
  }
  if (levers.encoder_on_cpu) {
    vary(&settings, std::vector<char>{1}, kEncoderStep, encoder_to_cpu);
  }
  const std::vector<CacheType> caches(
      levers.caches.begin(), levers.caches.begin() + std::min<ptrdiff_t>(
                                                         2, std::ssize(levers.caches)));
  vary(&settings, caches, kCacheStep, smaller_cache);
  vary(&settings, contexts, kContextStep, shorter_context);
  return settings;
}

Setting with_alternative(const Wish& wish, const Alternative& other) {
  Setting setting{wish, other.name, {other.name + " instead of " + wish.name}, 0};
  setting.wish.card = other.card;
  setting.wish.mmproj = other.mmproj;
  setting.wish.dry_runs = other.dry_runs;
  const bool same = !other.card.kv.empty() &&
                    other.card.check_cache(wish.cache_k, wish.cache_v).has_value();
  if (!same) setting.wish.cache_k = setting.wish.cache_v = CacheType::kF16;
  return setting;
}

bool same_word(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, [](unsigned char x, unsigned char y) {
    return std::tolower(x) == std::tolower(y);
  });
}

// "Q4_K" is meant by "Q4_K_M" too: the suffix is a mixture, not a type.
bool is_type(std::string_view wanted, const ModelCard& card) {
  if (same_word(wanted, card.quantisation)) return true;
  const size_t cut = wanted.rfind('_');
  const bool mixture = cut != std::string_view::npos && cut + 2 == wanted.size() &&
                       std::isalpha(static_cast<unsigned char>(wanted.back())) != 0;
  return mixture && wanted.size() > 4 && same_word(wanted.substr(0, cut), card.quantisation);
}

}  // namespace

std::optional<uint32_t> turn_of(const Wish& wish, Shortage word) {
  if (wish.shortage.empty()) {
    if (word == Shortage::kWait || word == Shortage::kCpu) return 0;
    if (word == Shortage::kShrink) return 1;
    return std::nullopt;
  }
  for (uint32_t i = 0; i < wish.shortage.size(); ++i) {
    if (wish.shortage[i] == Shortage::kRefuse) return std::nullopt;
    if (wish.shortage[i] == word) return i + 1;
  }
  return std::nullopt;
}

uint32_t turns_of(const Wish& wish) {
  uint32_t last = 0;
  for (const auto& [word, name] : kWords) last = std::max(last, turn_of(wish, word).value_or(0));
  return last;
}

std::vector<Setting> settings_of(const Wish& wish, bool shrink) {
  if (!shrink || wish.engine != EngineKind::kLlama || !wish.card) {
    Settings only = {{wish, {}, {}, 0}};
    if (!shrink || !wish.card) return only;
    for (const Alternative& other : wish.alternatives) {
      Setting setting = with_alternative(wish, other);
      setting.steps = kAlternativeStep * static_cast<uint32_t>(only.size());
      only.push_back(std::move(setting));
    }
    return only;
  }
  Settings settings = levers_of({wish, {}, {}, 0});
  uint32_t turn = 0;
  for (const Alternative& other : wish.alternatives) {
    // As wished, and with everything else given up too; what lies between is seldom asked for.
    Settings ways = levers_of(with_alternative(wish, other));
    ++turn;
    for (size_t i = 0; i < ways.size(); i += std::max<size_t>(1, ways.size() - 1)) {
      ways[i].steps += kAlternativeStep * turn;
      settings.push_back(std::move(ways[i]));
    }
  }
  std::ranges::stable_sort(settings, {}, &Setting::steps);
  return settings;
}

Result<void> insist_on_type(std::string_view compute_type, Wish* wish) {
  if (!wish->card || is_type(compute_type, *wish->card)) {
    wish->alternatives.clear();
    return {};
  }
  std::string known = wish->card->quantisation;
  for (Alternative& other : wish->alternatives) {
    if (!is_type(compute_type, other.card)) {
      known += ", " + other.card.quantisation;
      continue;
    }
    Alternative taken = std::move(other);
    wish->card = std::move(taken.card);
    wish->mmproj = std::move(taken.mmproj);
    wish->dry_runs = std::move(taken.dry_runs);
    wish->insisted = taken.name;
    wish->alternatives.clear();
    return {};
  }
  return fail(Code::kUsage,
              wish->name + " has no file of the type " + std::string(compute_type.substr(0, 32)),
              "its files are " + known + "; name another among its alternatives");
}

std::string_view shortage_name(Shortage word) {
  for (const auto& [known, name] : kWords) {
    if (known == word) return name;
  }
  return "refuse";
}

Result<Shortage> parse_shortage(std::string_view word) {
  for (const auto& [known, name] : kWords) {
    if (word == name) return known;
  }
  return fail(Code::kUsage, "\"" + std::string(word.substr(0, 64)) + "\" is nothing to do when "
                            "memory is short",
              "wait, shrink, cpu, cloud or refuse");
}

}  // namespace gantry
