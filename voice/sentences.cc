// Sentences are cut at full stops, then laid over the speech by their letters.
#include "voice/sentences.h"

#include <algorithm>
#include <cstdlib>
#include <string_view>

namespace gantry {

namespace {

// A pause this near to where letters say that a sentence ends is where it ends.
constexpr int64_t kNear = Millis(1'500) / kFrame;

std::vector<std::string> sentences_of(std::string_view text) {
  std::vector<std::string> sentences;
  std::string open;
  for (size_t i = 0; i < text.size(); ++i) {
    open += text[i];
    const bool ends = i + 1 == text.size() ||
                      (std::string_view(".?!").find(text[i]) != std::string_view::npos &&
                       text[i + 1] == ' ' && open.find(' ') != open.npos);
    if (!ends) continue;
    sentences.push_back(std::move(open));
    open.clear();
    if (i + 1 < text.size()) ++i;  // the blank between
  }
  return sentences;
}

// A place in the speech, the pauses left out, as frames of the recording: where what was said
// before it ends, and where the rest begins.
struct Place {
  uint32_t end = 0, begin = 0;
};

class Speech {
 public:
  explicit Speech(std::span<const Piece> voices) : voices_(voices) {
    for (const Piece& voice : voices) {
      length_ += voice.hush - voice.voice;
      ends_.push_back(length_);
    }
  }
  uint32_t length() const { return length_; }

  // The pause near `frame` that lies behind `after`, else the frame itself.
  uint32_t snapped(uint32_t frame, uint32_t after) const {
    const auto far = [frame](uint32_t end) { return std::abs(int64_t{end} - int64_t{frame}); };
    uint32_t best = frame;
    int64_t least = kNear + 1;
    for (const uint32_t end : ends_) {
      if (end <= after || end >= length_ || far(end) >= least) continue;
      least = far(end);
      best = end;
    }
    return best;
  }

  Place at(uint32_t frame) const {
    uint32_t before = 0;
    for (size_t i = 0; i < voices_.size(); before = ends_[i++]) {
      if (frame > ends_[i]) continue;
      const uint32_t end = voices_[i].voice + (frame - before);
      const bool pause = frame == ends_[i] && i + 1 < voices_.size();
      return {end, pause ? voices_[i + 1].voice : end};
    }
    return {voices_.back().hush, voices_.back().hush};
  }

 private:
  const std::span<const Piece> voices_;
  std::vector<uint32_t> ends_;  // of each utterance
  uint32_t length_ = 0;
};

}  // namespace

std::vector<Segment> place_sentences(const std::string& text, std::span<const Piece> voices) {
  const Speech speech(voices);
  std::vector<Segment> segments;
  uint32_t begin = voices.front().voice, last = 0;
  size_t letters = 0;
  for (std::string& sentence : sentences_of(text)) {
    letters += sentence.size() + 1;
    const auto share = static_cast<uint32_t>(uint64_t{speech.length()} * letters /
                                             (text.size() + 1));
    const uint32_t end = letters > text.size() ? speech.length() : speech.snapped(share, last);
    const Place place = speech.at(std::max(end, last));
    segments.push_back({frame_time(begin), frame_time(std::max(begin, place.end)),
                        std::move(sentence)});
    begin = std::max(begin, place.begin);
    last = std::max(end, last);
  }
  return segments;
}

}  // namespace gantry
