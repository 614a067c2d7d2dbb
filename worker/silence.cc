// Voice activity by loudness: an adaptive threshold with hysteresis, then padding and cutting.
#include "worker/silence.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace gantry {

namespace {

// In half decibels.
constexpr int kAudible = 80;        // -60 dBFS: below is silence whatever surrounds it
constexpr int kRiseMin = 10;        // speech stands 5 dB above the floor at least,
constexpr int kRiseMax = 24;        // 12 dB at most is asked of it
constexpr int kBelowPeak = 72;      // what is 36 dB below the loudest is no speech
constexpr int kHysteresis = 6;      // speech ends 3 dB below where it begins

// In frames of 20 ms.
constexpr uint32_t kBlock = 250;        // thresholds change every 5 s,
constexpr uint32_t kBlocksAround = 2;   // from the 25 s around
constexpr auto kPauseMin = static_cast<uint32_t>(kPauseLeast / kFrame);
constexpr uint32_t kLoudMin = 4;        // less than 80 ms of loud frames is a click
constexpr uint32_t kPad = 10;           // 200 ms of margin
constexpr uint32_t kSmooth = 5;         // the quietest place is judged over 100 ms

using Histogram = std::array<uint32_t, 256>;

int percentile(const Histogram& counts, uint32_t total, double fraction) {
  const auto rank = static_cast<uint32_t>(fraction * total);
  uint32_t seen = 0;
  for (size_t level = 0; level < counts.size(); ++level) {
    seen += counts[level];
    if (seen > rank) return static_cast<int>(level);
  }
  return static_cast<int>(counts.size()) - 1;
}

// Where speech begins, for the block of frames beginning at `block`.
int threshold_at(std::span<const uint8_t> levels, uint32_t block) {
  const auto size = static_cast<uint32_t>(levels.size());
  const uint32_t reach = kBlocksAround * kBlock;
  const uint32_t from = block > reach ? block - reach : 0;
  const uint32_t to = std::min(size, block + kBlock + reach);
  Histogram counts{};
  for (uint32_t i = from; i < to; ++i) ++counts[levels[i]];
  const int floor = percentile(counts, to - from, 0.10);
  const int peak = percentile(counts, to - from, 0.95);
  const int rise = std::clamp((peak - floor) * 35 / 100, kRiseMin, kRiseMax);
  return std::max({floor + rise, peak - kBelowPeak, kAudible});
}

// Runs of speech without padding; pauses shorter than kPauseMin are part of them.
std::vector<Piece> loud_voices(std::span<const uint8_t> levels) {
  std::vector<Piece> voices;
  const auto size = static_cast<uint32_t>(levels.size());
  int enter = 0;
  bool open = false;
  uint32_t voice = 0, hush = 0, loud = 0;  // hush: one past the last frame that was not quiet
  const auto close = [&] {
    if (open && loud >= kLoudMin) voices.push_back({voice, hush, voice, hush});
    open = false;
    loud = 0;
  };
  for (uint32_t i = 0; i < size; ++i) {
    if (i % kBlock == 0) enter = threshold_at(levels, i);
    if (levels[i] >= enter) {
      if (!open) voice = i;
      open = true;
      ++loud;
    }
    if (open && levels[i] >= enter - kHysteresis) hush = i + 1;
    if (open && i + 1 - hush >= kPauseMin) close();
  }
  close();
  return voices;
}

// The same of a detector's stretches, which may be of anybody's making.
std::vector<Piece> told_voices(std::span<const SpeechSpan> speech, uint32_t size) {
  std::vector<Piece> voices;
  const auto frame = [size](Millis time) {
    return static_cast<uint32_t>(std::clamp<int64_t>(time / kFrame, 0, size));
  };
  for (const SpeechSpan& stretch : speech) {
    const uint32_t voice = frame(stretch.start);
    const uint32_t hush = frame(stretch.end + kFrame - Millis(1));
    if (hush < voice + kLoudMin || (!voices.empty() && voice < voices.back().voice)) continue;
    if (!voices.empty() && voice < voices.back().hush + kPauseMin) {
      voices.back().hush = voices.back().end = std::max(voices.back().hush, hush);
    } else {
      voices.push_back({voice, hush, voice, hush});
    }
  }
  return voices;
}

// Gives each voice its margins: half of the pause to the neighbour at most.
void pad(std::vector<Piece>* pieces, uint32_t size) {
  for (size_t i = 0; i < pieces->size(); ++i) {
    Piece& p = (*pieces)[i];
    const uint32_t before = i == 0 ? p.voice : (p.voice - (*pieces)[i - 1].hush) / 2;
    const uint32_t after =
        i + 1 == pieces->size() ? size - p.hush : ((*pieces)[i + 1].voice - p.hush) / 2;
    p.begin = p.voice - std::min(kPad, before);
    p.end = p.hush + std::min(kPad, after);
  }
}

// The last quietest frame of [from, to).
uint32_t quietest(std::span<const uint8_t> levels, uint32_t from, uint32_t to) {
  uint32_t best = from, best_sum = UINT32_MAX;
  for (uint32_t i = from; i < to; ++i) {
    const uint32_t low = i >= kSmooth / 2 ? i - kSmooth / 2 : 0;
    const uint32_t high = std::min(low + kSmooth, static_cast<uint32_t>(levels.size()));
    uint32_t sum = 0;
    for (uint32_t j = low; j < high; ++j) sum += levels[j];
    if (sum <= best_sum) {
      best_sum = sum;
      best = i;
    }
  }
  return best;
}

void split(std::span<const uint8_t> levels, Piece piece, uint32_t limit,
           std::vector<Piece>* out) {
  while (piece.end - piece.begin > limit) {
    const uint32_t cut = quietest(levels, piece.begin + limit / 2, piece.begin + limit);
    out->push_back({piece.begin, cut, std::min(piece.voice, cut), std::min(piece.hush, cut)});
    piece.begin = cut;
    piece.voice = std::max(piece.voice, cut);
    piece.hush = std::max(piece.hush, cut);
  }
  if (piece.hush > piece.voice) out->push_back(piece);
}

std::vector<Piece> join(const std::vector<Piece>& pieces, uint32_t limit) {
  std::vector<Piece> joined;
  for (const Piece& p : pieces) {
    if (!joined.empty() && p.end - joined.back().begin <= limit) {
      joined.back().end = p.end;
      joined.back().hush = p.hush;
    } else {
      joined.push_back(p);
    }
  }
  return joined;
}

}  // namespace

uint8_t frame_level(std::span<const int16_t> samples) {
  if (samples.empty()) return 0;
  int64_t sum = 0, squares = 0;
  for (const int16_t s : samples) {
    sum += s;
    squares += static_cast<int64_t>(s) * s;
  }
  const auto n = static_cast<double>(samples.size());
  const double mean = static_cast<double>(sum) / n;
  const double power = (static_cast<double>(squares) / n - mean * mean) / (32768.0 * 32768.0);
  if (power <= 1e-10) return 0;
  return static_cast<uint8_t>(std::clamp(std::lround(2 * (10 * std::log10(power) + 100)), 0L,
                                         200L));
}

CutOptions cut_options(const Hearing& hearing, Millis window, Millis join) {
  CutOptions options{.window = window, .join = join};
  if (hearing.speech) options.speech = *hearing.speech;
  return options;
}

std::vector<Piece> cut_speech(std::span<const uint8_t> levels, const CutOptions& options) {
  const auto limit = std::max<uint32_t>(10, static_cast<uint32_t>(options.window / kFrame));
  const auto size = static_cast<uint32_t>(levels.size());
  std::vector<Piece> voices =
      options.speech ? told_voices(*options.speech, size) : loud_voices(levels);
  pad(&voices, size);
  std::vector<Piece> pieces;
  for (const Piece& voice : voices) split(levels, voice, limit, &pieces);
  if (options.join == Millis(0)) return pieces;
  return join(pieces, static_cast<uint32_t>(options.join / kFrame));
}

size_t skip_heard(std::vector<Piece>* pieces, Millis from) {
  const auto frame = static_cast<uint32_t>(std::clamp<int64_t>(from / kFrame, 0, UINT32_MAX));
  const auto next = std::ranges::find_if(*pieces, [&](const Piece& p) { return p.end > frame; });
  if (next != pieces->end()) {
    next->begin = std::max(next->begin, frame);
    next->voice = std::max(next->voice, frame);
    next->hush = std::max(next->hush, frame);
  }
  return static_cast<size_t>(next - pieces->begin());
}

}  // namespace gantry
