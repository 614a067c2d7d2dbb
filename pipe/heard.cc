// Parts of a transcript, {"from_ms","until_ms","segments"}.
#include "pipe/heard.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>

#include "pipe/transcript.h"

namespace gantry {

namespace {

struct HeardPart {
  Millis until{0};
  std::vector<Segment> segments;
};

std::string part_name(size_t part) { return fmt::format("heard {}", part); }

// Nothing where it is damaged, or of a chain that broke off before it.
std::optional<HeardPart> read_part(const std::string& text, Millis from) {
  const nlohmann::json part = nlohmann::json::parse(text, nullptr, false);
  if (!part.is_object() || part.value("from_ms", nlohmann::json()) != from.count()) return {};
  const nlohmann::json end = part.value("until_ms", nlohmann::json());
  const Millis until{end.is_number_integer() ? end.get<int64_t>() : 0};
  Result<std::vector<Segment>> segments = parse_segments(part.value("segments", nlohmann::json()));
  if (until <= from || !segments) return {};
  return HeardPart{until, std::move(*segments)};
}

}  // namespace

Heard::Heard(JobContext& context) : context_(context) {
  while (const std::optional<std::string> kept = context_.checkpoint(part_name(parts_))) {
    std::optional<HeardPart> part = read_part(*kept, until_);
    if (!part) break;
    until_ = part->until;
    std::ranges::move(part->segments, std::back_inserter(segments_));
    ++parts_;
  }
  kept_ = segments_.size();
}

void Heard::add(const Segment& segment, Millis heard) {
  if (heard - until_ >= kHeardPart) keep(heard);
  segments_.push_back(segment);
}

void Heard::keep(Millis until) {
  const std::span<const Segment> fresh = std::span(segments_).subspan(kept_);
  const nlohmann::json part = {{"from_ms", until_.count()},
                               {"until_ms", until.count()},
                               {"segments", segments_json(fresh)}};
  const Result<void> saved = context_.save_checkpoint(
      part_name(parts_), part.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  if (saved) {
    kept_ = segments_.size();
    until_ = until;
    ++parts_;
  } else if (!warned_) {
    warned_ = true;
    context_.event({{"type", "warning"},
                    {"message", "the transcript so far could not be kept: " +
                                    saved.error().message}});
  }
}

}  // namespace gantry
