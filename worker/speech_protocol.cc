// JSON lines between a speech worker and its client, checked field by field.
#include "worker/speech_protocol.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/base64.h"
#include "model/text.h"

namespace gantry {

namespace {

using nlohmann::json;

constexpr std::array kCodes{
    Code::kUsage,     Code::kNotFound, Code::kCorrupt,   Code::kTooLarge,
    Code::kUnsupported, Code::kPermission, Code::kDiskFull, Code::kIo,
    Code::kBusy,      Code::kTimeout,  Code::kCancelled, Code::kDoesNotFit,
    Code::kUnavailable, Code::kWorkerFailed, Code::kConflict, Code::kInternal};

Code code_of(std::string_view name) {
  const auto found =
      std::ranges::find_if(kCodes, [name](Code code) { return code_name(code) == name; });
  return found == kCodes.end() ? Code::kWorkerFailed : *found;
}

// Text of a model may hold half of a character: replaced, never thrown.
std::string dump(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

auto malformed(std::string_view what) {
  return fail(Code::kCorrupt, "speech protocol: " + std::string(what));
}

Result<json> parse_object(std::string_view line) {
  if (line.size() > kSpeechLineMax.n) return malformed("the line is too long");
  json value = json::parse(line, nullptr, false);
  if (!value.is_object()) return malformed("not a JSON object");
  return value;
}

std::string text_of(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

std::optional<double> number_of(const json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number()) return std::nullopt;
  return found->get<double>();
}

// Milliseconds within a year: whatever is beyond is no time of a recording.
std::optional<Millis> millis_of(const json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number_integer()) return std::nullopt;
  const auto value = found->get<int64_t>();
  if (value < 0 || value > 366LL * 24 * 3600 * 1000) return std::nullopt;
  return Millis(value);
}

bool is_fraction(const std::optional<double>& value) {
  return value && *value >= 0 && *value <= 1;
}

json segment_json(const Segment& s) {
  return {{"start_ms", s.start.count()},
          {"end_ms", s.end.count()},
          {"text", s.text},
          {"confidence", std::round(s.confidence * 10000) / 10000}};
}

Result<SpeakerTurn> parse_turn(const json& turn) {
  if (!turn.is_object()) return malformed("a turn is not an object");
  const std::optional<Millis> start = millis_of(turn, "start_ms");
  const std::optional<Millis> end = millis_of(turn, "end_ms");
  const std::optional<double> speaker = number_of(turn, "speaker");
  if (!start || !end || *end < *start || !speaker || *speaker < 0 || *speaker >= kSpeakersMax) {
    return malformed("a turn without sound times or speaker");
  }
  return SpeakerTurn{*start, *end, static_cast<uint32_t>(*speaker)};
}

Result<SpeechAnswer> parse_progress(const json& object) {
  SpeechProgress progress;
  const std::optional<double> fraction = number_of(object, "progress");
  if (!is_fraction(fraction)) return malformed("no progress between 0 and 1");
  progress.fraction = *fraction;
  if (object.contains("turn")) {
    const Result<SpeakerTurn> turn = parse_turn(object["turn"]);
    if (!turn) return fail(turn.error());
    progress.turn = *turn;
  }
  if (object.contains("pcm")) {
    const std::optional<std::string> pcm = base64_bytes(text_of(object, "pcm"));
    if (!pcm || pcm->empty() || pcm->size() % 2 != 0) return malformed("sound of half a sample");
    progress.pcm = *pcm;
  }
  const auto found = object.find("segment");
  if (found == object.end()) return progress;
  if (!found->is_object()) return malformed("a segment is not an object");
  const std::optional<Millis> start = millis_of(*found, "start_ms");
  const std::optional<Millis> end = millis_of(*found, "end_ms");
  const std::optional<double> confidence = number_of(*found, "confidence");
  if (!start || !end || *end < *start || !is_fraction(confidence)) {
    return malformed("a segment without sound times or confidence");
  }
  progress.segment = Segment{*start, *end, text_of(*found, "text"), *confidence};
  return progress;
}

}  // namespace

std::string speech_line(const SpeechAnswer& answer) {
  if (const auto* ready = std::get_if<SpeechReady>(&answer)) {
    json line = {{"ready", true}, {"window_ms", ready->window.count()}};
    if (ready->rate > 0) line["rate"] = ready->rate;
    return dump(line);
  }
  if (const auto* progress = std::get_if<SpeechProgress>(&answer)) {
    json line = {{"progress", std::clamp(progress->fraction, 0.0, 1.0)}};
    if (progress->segment) line["segment"] = segment_json(*progress->segment);
    if (const auto& turn = progress->turn) {
      line["turn"] = {{"start_ms", turn->start.count()},
                      {"end_ms", turn->end.count()},
                      {"speaker", turn->speaker}};
    }
    if (!progress->pcm.empty()) line["pcm"] = base64(progress->pcm);
    return dump(line);
  }
  if (const auto* done = std::get_if<SpeechDone>(&answer)) {
    return dump({{"done", true}, {"audio_ms", done->audio.count()}});
  }
  const Error& error = std::get<Error>(answer);
  return dump({{"error",
                {{"code", code_name(error.code)},
                 {"message", error.message},
                 {"remedy", error.remedy}}}});
}

std::string speech_line(const SpeechCall& call) {
  if (call.cancel) return dump({{"op", "cancel"}});
  if (const auto& said = call.utterance) {
    return dump({{"op", "speak"}, {"text", said->text}, {"voice", said->voice},
                 {"speed", said->speed}});
  }
  if (const auto& wish = call.speakers) {
    json line = {{"op", "diarize"}, {"wav", call.wav}, {"speakers", wish->speakers}};
    if (wish->threshold) line["threshold"] = *wish->threshold;
    return dump(line);
  }
  return dump({{"op", "transcribe"}, {"wav", call.wav}});
}

Result<SpeechAnswer> parse_speech_answer(std::string_view line) {
  const Result<json> object = parse_object(line);
  if (!object) return fail(object.error());
  if (const auto error = object->find("error"); error != object->end()) {
    if (!error->is_object()) return malformed("an error is not an object");
    return Error{code_of(text_of(*error, "code")), text_of(*error, "message"),
                 text_of(*error, "remedy")};
  }
  if (object->contains("ready")) {
    const std::optional<Millis> window = millis_of(*object, "window_ms");
    if (!window) return malformed("ready without a window");
    const double rate = number_of(*object, "rate").value_or(0);
    if (rate != 0 && !(rate >= kSoundRateMin && rate <= kSoundRateMax)) {
      return malformed("ready with a rate that no sound has");
    }
    return SpeechReady{*window, static_cast<uint32_t>(rate)};
  }
  if (object->contains("done")) {
    const std::optional<Millis> audio = millis_of(*object, "audio_ms");
    if (!audio) return malformed("done without a length");
    return SpeechDone{*audio};
  }
  return parse_progress(*object);
}

namespace {

Result<SpeechCall> parse_speak(const json& object) {
  const Utterance said{text_of(object, "text"), text_of(object, "voice"),
                       number_of(object, "speed").value_or(1)};
  if (said.text.empty() || said.text.size() > kUtteranceMax || !is_clean_text(said.text)) {
    return malformed("a text that cannot be spoken");
  }
  if (!(said.speed >= kSpeedMin && said.speed <= kSpeedMax)) return malformed("no such speed");
  return SpeechCall{.utterance = said};
}

Result<SpeechCall> parse_diarize(const json& object) {
  const std::string wav = text_of(object, "wav");
  const double speakers = number_of(object, "speakers").value_or(0);
  const std::optional<double> threshold = number_of(object, "threshold");
  if (wav.empty() || !(speakers >= 0 && speakers <= kSpeakersMax) ||
      (threshold && !(*threshold >= 0 && *threshold <= kSpeakerThresholdMax))) {
    return malformed("no such request");
  }
  return SpeechCall{.wav = wav, .speakers = SpeakerWish{static_cast<uint32_t>(speakers),
                                                        threshold}};
}

}  // namespace

Result<SpeechCall> parse_speech_call(std::string_view line) {
  const Result<json> object = parse_object(line);
  if (!object) return fail(object.error());
  const std::string op = text_of(*object, "op");
  if (op == "cancel") return SpeechCall{.cancel = true, .wav = {}};
  if (op == "speak") return parse_speak(*object);
  if (op == "diarize") return parse_diarize(*object);
  const std::string wav = text_of(*object, "wav");
  if (op != "transcribe" || wav.empty()) return malformed("no such request");
  return SpeechCall{.cancel = false, .wav = wav};
}

}  // namespace gantry
