// The order of several models by speed, and what each mode takes of it.
#include "foreman/choice.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

namespace gantry {

namespace {

// Places are compared by this: a larger one is faster.
struct Pace {
  double factor = std::numeric_limits<double>::infinity();
  bool guessed = false;
  size_t place = 0;

  bool faster_than(const Pace& other) const {
    if (factor != other.factor) return factor < other.factor;
    if (guessed != other.guessed) return guessed;
    // The list begins with the best: what comes later is there because it is faster.
    return guessed ? place > other.place : place < other.place;
  }
};

std::vector<Pace> paces_of(std::span<const Candidate> all) {
  std::vector<Pace> paces;
  double least = std::numeric_limits<double>::infinity();
  for (size_t i = 0; i < all.size(); ++i) {
    if (all[i].factor) least = std::min(least, *all[i].factor);
    paces.push_back({all[i].factor.value_or(least), !all[i].factor, i});
  }
  return paces;
}

}  // namespace

std::vector<size_t> ladder(std::span<const Candidate> best_first, Mode mode, double keep_up,
                           const std::string& current) {
  const std::vector<Pace> paces = paces_of(best_first);
  std::vector<size_t> by_speed;  // the slowest first
  for (size_t i = 0; i < best_first.size(); ++i) {
    if (best_first[i].fits) by_speed.push_back(i);
  }
  if (by_speed.empty()) return {};
  size_t taken = by_speed.front();
  std::ranges::sort(by_speed, [&](size_t a, size_t b) { return paces[b].faster_than(paces[a]); });
  const auto keeps_up = [&](size_t i) {
    const bool used = best_first[i].name == current;
    return !best_first[i].factor || *best_first[i].factor <= keep_up * (used ? kKeepUpSlack : 1);
  };
  if (mode == Mode::kSpeed) taken = by_speed.back();
  if (mode == Mode::kBalanced) {
    taken = by_speed.back();
    for (size_t i = best_first.size(); i-- > 0;) {
      if (best_first[i].fits && keeps_up(i)) taken = i;
    }
  }
  return {std::ranges::find(by_speed, taken), by_speed.end()};
}

std::string factor_text(const Candidate& candidate) {
  if (!candidate.factor) return "not measured yet";
  return fmt::format("{:.2g} s of work for a second of sound, {}", *candidate.factor,
                     candidate.measured ? "measured" : "predicted");
}

std::string taken_why(const Candidate& taken, Mode mode, double keep_up) {
  const std::string figure = factor_text(taken);
  if (mode == Mode::kAccuracy) return "accuracy: the first that can be had here";
  if (mode == Mode::kSpeed) return "speed: the fastest that fits; " + figure;
  const bool slow = taken.factor && *taken.factor > keep_up * kKeepUpSlack;
  return fmt::format("balanced: {}; {}",
                     slow ? fmt::format("none keeps up with {:.2g}, the fastest", keep_up)
                          : "the best that keeps up",
                     figure);
}

}  // namespace gantry
