// Forms, JSON and wavs.
#include "worker/audio_wire.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "worker/speech_protocol.h"
#include "worker/wav.h"

namespace gantry {

namespace {

using nlohmann::json;

constexpr const char* kBoundary = "gantry-part-4f1c9e0d7a";
constexpr size_t kHeadMax = 64 << 10;   // of a wav
constexpr size_t kSegmentsMax = 10'000;  // of one piece
constexpr size_t kWordsMax = 200;        // of a server's error

void put(uint64_t value, int bytes, std::string* out) {
  for (int i = 0; i < bytes; ++i) *out += static_cast<char>(value >> (8 * i) & 0xFF);
}

std::string wav_of(std::span<const int16_t> samples) {
  const uint64_t bytes = samples.size() * 2;
  std::string out = "RIFF";
  put(36 + bytes, 4, &out);
  out += "WAVEfmt ";
  put(16, 4, &out);
  put(1, 2, &out);
  put(1, 2, &out);
  put(kSampleRate, 4, &out);
  put(kSampleRate * 2, 4, &out);
  put(2, 2, &out);
  put(16, 2, &out);
  out += "data";
  put(bytes, 4, &out);
  for (const int16_t sample : samples) put(static_cast<uint16_t>(sample), 2, &out);
  return out;
}

uint32_t number_at(std::string_view bytes, size_t at, int count) {
  uint32_t value = 0;
  for (int i = 0; i < count; ++i) {
    const auto byte = static_cast<unsigned char>(bytes[at + static_cast<size_t>(i)]);
    value |= static_cast<uint32_t>(byte) << (8 * i);
  }
  return value;
}

std::string printable(std::string_view text) {
  std::string out;
  for (const char c : text.substr(0, kWordsMax)) {
    out += static_cast<unsigned char>(c) >= 0x20 && c != 0x7F ? c : ' ';
  }
  return out;
}

std::string trimmed(std::string text) {
  text.erase(0, text.find_first_not_of(" \t\r\n"));
  text.erase(text.find_last_not_of(" \t\r\n") + 1);
  return text;
}

tl::unexpected<Error> no(const std::string& what, std::string_view body) {
  return fail(Code::kCorrupt, "answered " + what + ": " + printable(body.substr(0, 80)),
              "check that its command serves what the model's kind says");
}

std::string text_of(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

// Seconds that are a time of a recording.
std::optional<Millis> time_of(const json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number()) return std::nullopt;
  const double seconds = found->get<double>();
  if (!(seconds >= 0 && seconds <= 366.0 * 24 * 3600)) return std::nullopt;
  return Millis(std::llround(seconds * 1000));
}

double confidence_of(const json& segment) {
  const auto found = segment.find("avg_logprob");
  if (found == segment.end() || !found->is_number()) return 1;
  const double mean = std::exp(found->get<double>());
  return std::isfinite(mean) ? std::clamp(mean, 0.0, 1.0) : 0;
}

std::string label_of(const json& turn) {
  const auto found = turn.find("speaker");
  if (found == turn.end()) return "";
  if (found->is_string()) return found->get<std::string>();
  return found->is_number_integer() ? std::to_string(found->get<int64_t>()) : "";
}

struct Labelled {
  SpeakerTurn turn;
  std::string label;
};

}  // namespace

http::Request audio_form(const std::string& target,
                         const std::vector<std::pair<std::string, std::string>>& fields,
                         std::span<const int16_t> samples) {
  http::Request request{.method = "POST", .target = target};
  const std::string mark = std::string("--") + kBoundary;
  for (const auto& [name, value] : fields) {
    request.body += mark + "\r\nContent-Disposition: form-data; name=\"" + name + "\"\r\n\r\n" +
                    value + "\r\n";
  }
  request.body += mark +
                  "\r\nContent-Disposition: form-data; name=\"file\"; filename=\"audio.wav\"\r\n"
                  "Content-Type: audio/wav\r\n\r\n" +
                  wav_of(samples) + "\r\n" + mark + "--\r\n";
  request.headers = {{"Content-Type", std::string("multipart/form-data; boundary=") + kBoundary}};
  return request;
}

Result<std::vector<Segment>> parse_heard(std::string_view body, Millis length) {
  const json page = json::parse(body, nullptr, false);
  if (!page.is_object() || !page.contains("text") || !page["text"].is_string()) {
    return no("no transcript", body);
  }
  std::vector<Segment> segments;
  const auto found = page.find("segments");
  if (found == page.end() || found->is_null()) {
    Segment whole{Millis(0), length, trimmed(page["text"].get<std::string>())};
    if (!whole.text.empty()) segments.push_back(std::move(whole));
    return segments;
  }
  if (!found->is_array() || found->size() > kSegmentsMax) return no("no list of segments", body);
  for (const json& entry : *found) {
    if (!entry.is_object()) return no("a segment that is none", body);
    const std::optional<Millis> start = time_of(entry, "start"), end = time_of(entry, "end");
    if (!start || !end || *end < *start) return no("a segment without sound times", body);
    Segment segment{std::min(*start, length), std::min(*end, length),
                    trimmed(text_of(entry, "text")), confidence_of(entry)};
    if (!segment.text.empty()) segments.push_back(std::move(segment));
  }
  std::ranges::stable_sort(segments, {}, &Segment::start);
  return segments;
}

Result<std::vector<Segment>> parse_written(std::string_view body, Millis length, uint32_t most) {
  Result<std::vector<Segment>> heard = parse_heard(body, length);
  if (!heard) return heard;
  constexpr std::string_view kLanguage = "language ", kWords = "<asr_text>";
  for (Segment& segment : *heard) {
    const size_t words = segment.text.find(kWords);
    if (!segment.text.starts_with(kLanguage) || words == std::string::npos) continue;
    segment.text = trimmed(segment.text.substr(words + kWords.size()));
  }
  std::erase_if(*heard, [](const Segment& segment) { return segment.text.empty(); });
  const json page = json::parse(body, nullptr, false);
  const json usage = page.value("usage", json::object());
  const json tokens = usage.is_object() ? usage.value("output_tokens", json()) : json();
  const bool cut = tokens.is_number_unsigned() && tokens.get<uint64_t>() >= most;
  for (Segment& segment : *heard) segment.low_confidence = cut;
  return heard;
}

Result<std::vector<SpeakerTurn>> parse_diarized(std::string_view body) {
  const json page = json::parse(body, nullptr, false);
  const char* key = page.is_object() && page.contains("turns") ? "turns" : "segments";
  if (!page.is_object() || !page.contains(key) || !page[key].is_array() ||
      page[key].size() > kSegmentsMax) {
    return no("no turns", body);
  }
  std::vector<Labelled> all;
  for (const json& entry : page[key]) {
    if (!entry.is_object()) return no("a turn that is none", body);
    const std::optional<Millis> start = time_of(entry, "start"), end = time_of(entry, "end");
    std::string label = label_of(entry);
    if (!start || !end || *end < *start || label.empty()) {
      return no("a turn without sound times or speaker", body);
    }
    all.push_back({{*start, *end, 0}, std::move(label)});
  }
  std::ranges::stable_sort(all, {}, [](const Labelled& l) { return l.turn.start; });
  std::map<std::string, uint32_t> numbers;
  std::vector<SpeakerTurn> turns;
  for (Labelled& one : all) {
    one.turn.speaker =
        numbers.emplace(one.label, static_cast<uint32_t>(numbers.size())).first->second;
    turns.push_back(one.turn);
  }
  if (numbers.size() > kSpeakersMax) return no("more speakers than there can be", body);
  return turns;
}

Error refused_by(int status, std::string_view body) {
  const json page = json::parse(body, nullptr, false);
  std::string words;
  if (page.is_object()) {
    for (const char* key : {"error", "detail", "message"}) {
      if (words.empty()) words = text_of(page, key);
    }
    if (const auto error = page.find("error"); error != page.end() && error->is_object()) {
      words = text_of(*error, "message");
    }
  }
  const std::string message = "answered with status " + std::to_string(status) + ": " +
                              printable(words.empty() ? body : std::string_view(words));
  const Code code = status == 404   ? Code::kNotFound
                    : status >= 500 ? Code::kWorkerFailed
                                    : Code::kUsage;
  return {code, message, "see its log"};
}

Result<void> WavStream::read_head() {
  const auto corrupt = [](const char* what) {
    return fail(Code::kCorrupt, std::string("answered ") + what,
                "have it make 16-bit mono wavs");
  };
  if (pending_.size() < 12) return {};
  if (!pending_.starts_with("RIFF") || pending_.compare(8, 4, "WAVE") != 0) {
    return corrupt("no wav");
  }
  uint32_t rate = 0;
  for (size_t at = 12; at + 8 <= pending_.size();) {
    const size_t size = number_at(pending_, at + 4, 4);
    if (pending_.compare(at, 4, "data") == 0) {
      if (rate == 0) return corrupt("a wav without a format");
      rate_ = rate;
      begun_ = true;
      pending_.erase(0, at + 8);
      return {};
    }
    if (at + 8 + size > pending_.size()) break;
    if (pending_.compare(at, 4, "fmt ") == 0) {
      const bool plain = size >= 16 && number_at(pending_, at + 8, 2) == 1 &&
                         number_at(pending_, at + 10, 2) == 1 &&
                         number_at(pending_, at + 22, 2) == 16;
      rate = plain ? number_at(pending_, at + 12, 4) : 0;
      if (rate < kSoundRateMin || rate > kSoundRateMax) return corrupt("a wav of another kind");
    }
    at += 8 + size + size % 2;
  }
  if (pending_.size() > kHeadMax) return corrupt("a wav whose sound does not begin");
  return {};
}

Result<bool> WavStream::take(std::string_view piece,
                             const std::function<bool(std::string_view)>& on_pcm) {
  pending_ += piece;
  if (!begun_) {
    if (Result<void> sound = read_head(); !sound) return fail(sound.error());
    if (!begun_) return true;
  }
  const size_t whole = pending_.size() / 2 * 2;
  if (whole == 0) return true;
  const std::string pcm = pending_.substr(0, whole);
  pending_.erase(0, whole);
  bytes_ += whole;
  return on_pcm(pcm);
}

}  // namespace gantry
