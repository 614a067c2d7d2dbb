// Slots of experts; the one whose next use is expected last goes first.
#include "stream/experts.h"

#include <algorithm>
#include <string>

namespace gantry {

namespace {

// Chosen with bench/experts, where halving or doubling any of them moves no hit rate by more than
// a point.
constexpr double kFast = 1.0 / 32;   // share of the newest turn in the averages
constexpr double kSlow = 1.0 / 256;
constexpr double kRate = 0.02;       // step of the weights' descent
constexpr uint64_t kTurnsFirst = 8;  // before that the averages say too little to learn from

double dot(const std::array<double, 3>& a, const std::array<double, 3>& b) {
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

}  // namespace

ExpertCache::ExpertCache(ExpertCacheShape shape)
    : shape_(shape),
      pasts_(static_cast<size_t>(shape.banks) * shape.experts),
      banks_(shape.banks) {
  free_.reserve(shape.slots);
  for (uint32_t slot = shape.slots; slot > 0; --slot) free_.push_back(slot - 1);
  for (Bank& bank : banks_) bank.present.reserve(shape.experts);
}

Result<std::vector<ExpertMove>> ExpertCache::use(uint32_t bank, std::span<const uint32_t> used) {
  if (bank >= shape_.banks || (!used.empty() && used.back() >= shape_.experts)) {
    return fail(Code::kInternal, "an expert outside of the cache's shape was asked for");
  }
  if (used.size() > shape_.slots) {
    return fail(Code::kDoesNotFit,
                "a batch uses " + std::to_string(used.size()) +
                    " experts of a layer, the cache has " + std::to_string(shape_.slots) +
                    " slots",
                "give the expert cache more bytes, or use a smaller batch (-ub)");
  }
  ++step_;
  for (const uint32_t expert : used) past(bank, expert).used = step_;
  learn(bank, used.size());
  // The turn changed this bank's chances, and no other's.
  const auto sooner = [&](uint32_t a, uint32_t b) {
    const double chance_a = past(bank, a).chance, chance_b = past(bank, b).chance;
    return chance_a != chance_b ? chance_a > chance_b : a < b;
  };
  std::vector<uint32_t>& present = banks_[bank].present;
  std::sort(present.begin(), present.end(), sooner);
  std::vector<ExpertMove> moves;
  for (const uint32_t expert : used) {
    Past& entry = past(bank, expert);
    if (entry.slot != kNoSlot) continue;
    if (free_.empty()) {
      entry.slot = evict();
    } else {
      entry.slot = free_.back();
      free_.pop_back();
    }
    present.insert(std::upper_bound(present.begin(), present.end(), expert, sooner), expert);
    moves.push_back({expert, entry.slot});
  }
  hits_ += used.size() - moves.size();
  misses_ += moves.size();
  return moves;
}

// chance = weights . (last, fast, slow), with weights that follow the trace by normalised least
// mean squares: independent draws put all weight on the slow average, tokens that repeat each
// other's experts on the last turn.
void ExpertCache::learn(uint32_t index, size_t used) {
  Bank& bank = banks_[index];
  bank.step = step_;
  // A batch that uses every expert tells nothing about any.
  const double told = 1 - static_cast<double>(used) / shape_.experts;
  if (told <= 0) return;
  const double newest = 1.0 / static_cast<double>(++bank.turns);  // plain averages at first
  const double fast = std::max(kFast, newest) * told;
  const double slow = std::max(kSlow, newest) * told;
  std::array<double, 3> slope{};
  double length = 1e-9;
  for (uint32_t expert = 0; expert < shape_.experts; ++expert) {
    Past& entry = past(index, expert);
    const double now = entry.used == step_ ? 1.0 : 0.0;
    const double error = now - dot(weights_, entry.averages);
    for (size_t i = 0; i < slope.size(); ++i) slope[i] += error * entry.averages[i];
    length += dot(entry.averages, entry.averages);
    entry.averages[0] = now * told;
    entry.averages[1] += (now - entry.averages[1]) * fast;
    entry.averages[2] += (now - entry.averages[2]) * slow;
  }
  if (bank.turns > kTurnsFirst) {
    for (size_t i = 0; i < slope.size(); ++i) weights_[i] += kRate * told * slope[i] / length;
  }
  for (uint32_t expert = 0; expert < shape_.experts; ++expert) {
    Past& entry = past(index, expert);
    entry.chance = std::clamp(dot(weights_, entry.averages), kChanceMin, 1.0);
  }
}

double ExpertCache::next_use(uint32_t bank, uint32_t expert) const {
  const uint64_t ago = step_ - banks_[bank].step;
  const double turn = ago >= shape_.banks ? 0.0 : static_cast<double>(shape_.banks - ago);
  return turn + shape_.banks * (1 / pasts_[index(bank, expert)].chance - 1);
}

// Within a bank the order of next uses is that of the chances, so each bank has one candidate.
uint32_t ExpertCache::evict() {
  double latest = -1;
  uint32_t from = 0;
  size_t at = 0;
  for (uint32_t bank = 0; bank < shape_.banks; ++bank) {
    const std::vector<uint32_t>& present = banks_[bank].present;
    size_t i = present.size();
    // Never one that the batch at hand uses; only the bank at hand has such.
    while (i > 0 && past(bank, present[i - 1]).used == step_) --i;
    if (i == 0) continue;
    const double next = next_use(bank, present[i - 1]);
    if (next > latest) {
      latest = next;
      from = bank;
      at = i - 1;
    }
  }
  std::vector<uint32_t>& present = banks_[from].present;
  Past& victim = past(from, present[at]);
  present.erase(present.begin() + static_cast<std::ptrdiff_t>(at));
  return std::exchange(victim.slot, kNoSlot);
}

void ExpertCache::drop(uint32_t bank, uint32_t expert) {
  Past& entry = past(bank, expert);
  if (entry.slot == kNoSlot) return;
  free_.push_back(std::exchange(entry.slot, kNoSlot));
  std::erase(banks_[bank].present, expert);
}

std::optional<uint32_t> ExpertCache::slot(uint32_t bank, uint32_t expert) const {
  const uint32_t slot = pasts_[index(bank, expert)].slot;
  return slot == kNoSlot ? std::nullopt : std::make_optional(slot);
}

}  // namespace gantry
