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

Result<json> parse_object(std::string_view line, Bytes most = kSpeechLineMax) {
  if (line.size() > most.n) return malformed("the line is too long");
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
std::optional<Millis> millis_in(const json& number) {
  if (!number.is_number_integer()) return std::nullopt;
  const auto value = number.get<int64_t>();
  if (value < 0 || value > 366LL * 24 * 3600 * 1000) return std::nullopt;
  return Millis(value);
}

std::optional<Millis> millis_of(const json& object, const char* key) {
  const auto found = object.find(key);
  return found == object.end() ? std::nullopt : millis_in(*found);
}

bool is_fraction(const std::optional<double>& value) {
  return value && *value >= 0 && *value <= 1;
}

json segment_json(const Segment& s) {
  json segment = {{"start_ms", s.start.count()},
                  {"end_ms", s.end.count()},
                  {"text", s.text},
                  {"confidence", std::round(s.confidence * 10000) / 10000}};
  if (!s.encoder.empty()) segment["encoder"] = s.encoder;
  if (s.avg_logprob) segment["avg_logprob"] = std::round(*s.avg_logprob * 10000) / 10000;
  if (s.no_speech) segment["no_speech_prob"] = std::round(*s.no_speech * 10000) / 10000;
  if (s.low_confidence) segment["low_confidence"] = true;
  for (const Word& word : s.words) {
    segment["words"].push_back({{"start_ms", word.start.count()},
                                {"end_ms", word.end.count()},
                                {"word", word.text},
                                {"probability", std::round(word.probability * 10000) / 10000}});
  }
  return segment;
}

json done_json(const SpeechDone& done) {
  json line = {{"done", true}, {"audio_ms", done.audio.count()}};
  for (const EncoderChange& change : done.encoder_changes) {
    line["encoder_changes"].push_back({{"from", change.from},
                                       {"to", change.to},
                                       {"cause", change.cause},
                                       {"at_ms", change.at.count()}});
  }
  return line;
}

Result<SpeechAnswer> parse_done(const json& object) {
  const std::optional<Millis> audio = millis_of(object, "audio_ms");
  if (!audio) return malformed("done without a length");
  SpeechDone done{*audio};
  const auto changes = object.find("encoder_changes");
  if (changes == object.end()) return done;
  if (!changes->is_array() || changes->size() > kEncoderChangesMax) {
    return malformed("changes of the encoder are no short list");
  }
  for (const json& change : *changes) {
    const std::optional<Millis> at = change.is_object() ? millis_of(change, "at_ms") : std::nullopt;
    if (!at) return malformed("a change of the encoder without a time");
    done.encoder_changes.push_back(
        {text_of(change, "from"), text_of(change, "to"), text_of(change, "cause"), *at});
  }
  return done;
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

Result<std::vector<Word>> parse_words(const json& words) {
  if (!words.is_array()) return malformed("words are no list");
  std::vector<Word> out;
  for (const json& each : words) {
    if (!each.is_object()) return malformed("a word is not an object");
    const std::optional<Millis> start = millis_of(each, "start_ms");
    const std::optional<Millis> end = millis_of(each, "end_ms");
    const std::optional<double> probability = number_of(each, "probability");
    if (!start || !end || *end < *start || !is_fraction(probability)) {
      return malformed("a word without sound times or probability");
    }
    out.push_back({*start, *end, text_of(each, "word"), *probability});
  }
  return out;
}

Result<Segment> parse_segment(const json& segment) {
  if (!segment.is_object()) return malformed("a segment is not an object");
  const std::optional<Millis> start = millis_of(segment, "start_ms");
  const std::optional<Millis> end = millis_of(segment, "end_ms");
  const std::optional<double> confidence = number_of(segment, "confidence");
  if (!start || !end || *end < *start || !is_fraction(confidence)) {
    return malformed("a segment without sound times or confidence");
  }
  Segment out{*start, *end, text_of(segment, "text"), *confidence, {}, text_of(segment, "encoder")};
  out.avg_logprob = number_of(segment, "avg_logprob");
  out.no_speech = number_of(segment, "no_speech_prob");
  const auto low = segment.find("low_confidence");
  out.low_confidence = low != segment.end() && *low == true;
  if (const auto words = segment.find("words"); words != segment.end()) {
    Result<std::vector<Word>> parsed = parse_words(*words);
    if (!parsed) return fail(parsed.error());
    out.words = std::move(*parsed);
  }
  return out;
}

Result<SpeechAnswer> parse_progress(const json& object) {
  SpeechProgress progress;
  const std::optional<double> fraction = number_of(object, "progress");
  if (!is_fraction(fraction)) return malformed("no progress between 0 and 1");
  progress.fraction = *fraction;
  if (object.contains("heard_ms")) {
    const std::optional<Millis> heard = millis_of(object, "heard_ms");
    if (!heard) return malformed("no time up to which it has heard");
    progress.heard = *heard;
  }
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
  Result<Segment> segment = parse_segment(*found);
  if (!segment) return fail(segment.error());
  progress.segment = std::move(*segment);
  return progress;
}

}  // namespace

std::string speech_line(const SpeechAnswer& answer) {
  if (const auto* ready = std::get_if<SpeechReady>(&answer)) {
    json line = {{"ready", true}, {"window_ms", ready->window.count()}};
    if (ready->rate > 0) line["rate"] = ready->rate;
    if (!ready->encoder.empty()) line["encoder"] = ready->encoder;
    return dump(line);
  }
  if (const auto* progress = std::get_if<SpeechProgress>(&answer)) {
    json line = {{"progress", std::clamp(progress->fraction, 0.0, 1.0)}};
    if (progress->heard > Millis(0)) line["heard_ms"] = progress->heard.count();
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
    return dump(done_json(*done));
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
  json line = {{"op", "transcribe"}, {"wav", call.wav}};
  if (call.from > Millis(0)) line["from_ms"] = call.from.count();
  if (call.speech) {
    json& times = line["speech_ms"] = json::array();
    for (const SpeechSpan& stretch : *call.speech) {
      times.push_back(stretch.start.count());
      times.push_back(stretch.end.count());
    }
  }
  return dump(line);
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
    return SpeechReady{*window, static_cast<uint32_t>(rate), text_of(*object, "encoder")};
  }
  if (object->contains("done")) return parse_done(*object);
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

// Pairs of times that never run backwards.
Result<std::vector<SpeechSpan>> parse_stretches(const json& times) {
  if (!times.is_array() || times.size() % 2 != 0 || times.size() / 2 > kStretchesMax) {
    return malformed("stretches of speech are no list of pairs");
  }
  std::vector<SpeechSpan> out;
  Millis last{0};
  for (size_t i = 0; i < times.size(); i += 2) {
    const std::optional<Millis> start = millis_in(times[i]), end = millis_in(times[i + 1]);
    if (!start || !end || *start < last || *end < *start) {
      return malformed("stretches of speech that run backwards");
    }
    out.push_back({*start, *end});
    last = *end;
  }
  return out;
}

}  // namespace

Result<SpeechCall> parse_speech_call(std::string_view line) {
  const Result<json> object = parse_object(line, kSpeechCallMax);
  if (!object) return fail(object.error());
  const std::string op = text_of(*object, "op");
  if (op == "cancel") return SpeechCall{.cancel = true, .wav = {}};
  if (op == "speak") return parse_speak(*object);
  if (op == "diarize") return parse_diarize(*object);
  const std::string wav = text_of(*object, "wav");
  if (op != "transcribe" || wav.empty()) return malformed("no such request");
  const auto from = object->contains("from_ms") ? millis_of(*object, "from_ms") : Millis(0);
  if (!from) return malformed("no time to begin at");
  SpeechCall call{.wav = wav, .from = *from};
  if (const auto speech = object->find("speech_ms"); speech != object->end()) {
    Result<std::vector<SpeechSpan>> stretches = parse_stretches(*speech);
    if (!stretches) return fail(stretches.error());
    call.speech = std::move(*stretches);
  }
  return call;
}

}  // namespace gantry
