// Requests over HTTP, answers checked; a server that breaks its word is ended.
#include "worker/audio_command.h"

#include <algorithm>
#include <atomic>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numbers>
#include <optional>

#include "worker/audio_wire.h"
#include "worker/levels.h"

namespace gantry {

namespace {

constexpr Bytes kAnswerMax = MiB(16);
constexpr const char* kTestSentence = "Ready.";

// A second of a tone: whoever hears words in it is no worse for it.
std::vector<int16_t> test_sound() {
  std::vector<int16_t> samples(kSampleRate);
  for (size_t i = 0; i < samples.size(); ++i) {
    const double turn = 2 * std::numbers::pi * 440 * static_cast<double>(i) / kSampleRate;
    samples[i] = static_cast<int16_t>(3'000 * std::sin(turn));
  }
  return samples;
}

class AudioCommand final : public Worker {
 public:
  AudioCommand(std::unique_ptr<Worker> server, const WorkerSpec& spec, AudioLimits limits)
      : server_(std::move(server)), name_(spec.model), voice_(spec.voice), limits_(limits),
        llama_(spec.engine == EngineKind::kLlama) {
    if (llama_) limits_.piece = kLlamaPiece;
    if (const std::string test = option("test_s"); !test.empty()) {
      double seconds = 0;
      const auto [end, error] = std::from_chars(test.data(), test.data() + test.size(), seconds);
      if (error == std::errc() && seconds > 0) {
        limits_.test = Millis(static_cast<int64_t>(seconds * 1000));
      }
    }
  }

  int pid() const override { return server_->pid(); }
  const http::Address& address() const override { return server_->address(); }
  Result<void> alive() override { return server_->alive(); }
  void stop() override { server_->stop(); }
  uint32_t sound_rate() const override { return rate_; }
  std::optional<StreamCounters> stream_counters() const override {
    return server_->stream_counters();
  }

  Result<void> ready(const http::Cancel& cancel) override {
    if (Result<void> up = server_->ready(cancel); !up || llama_) return up;
    Result<void> tested = test(cancel);
    if (tested || cancel) return tested;
    Error error = tested.error();
    error.message = name_ + " did not pass its test at start-up: it " + error.message;
    if (error.code != Code::kTimeout) error.code = Code::kWorkerFailed;
    server_->stop();
    return fail(std::move(error));
  }

  Result<std::vector<Segment>> transcribe(
      const Hearing& hearing, const http::Cancel& cancel,
      const std::function<void(const Segment&, Progress)>& on_segment) override {
    if (voice_.engine != "speech") return server_->transcribe(hearing, cancel, on_segment);
    Result<WavFile> wav = WavFile::open(hearing.wav);
    if (!wav) return fail(wav.error());
    const Result<std::vector<uint8_t>> levels = wav_levels(&*wav, cancel);
    if (!levels) return fail(levels.error());
    std::vector<Segment> out;
    std::vector<Piece> pieces =
        cut_speech(*levels, cut_options(hearing, limits_.piece, limits_.piece));
    for (size_t i = skip_heard(&pieces, hearing.from); i < pieces.size(); ++i) {
      const Piece& piece = pieces[i];
      const Result<std::vector<int16_t>> samples = piece_samples(&*wav, piece);
      if (!samples) return fail(samples.error());
      Result<std::vector<Segment>> heard = hear(*samples, limits_.silent, cancel);
      if (!heard) return broken(heard.error());
      const Progress progress{static_cast<double>(piece.end) /
                                  static_cast<double>(levels->size()),
                              frame_time(piece.begin)};
      for (Segment& segment : *heard) {
        // A model that only writes tells no times.
        segment.start = llama_ ? frame_time(piece.voice) : segment.start + frame_time(piece.begin);
        segment.end = llama_ ? frame_time(piece.hush) : segment.end + frame_time(piece.begin);
        if (on_segment) on_segment(segment, progress);
        out.push_back(std::move(segment));
      }
    }
    return out;
  }

  Result<std::vector<SpeakerTurn>> diarize(
      const std::string& path, const SpeakerWish& wish, const http::Cancel& cancel,
      const std::function<void(Progress)>& on_progress) override {
    if (voice_.engine != "diarization") return Worker::diarize(path, wish, cancel, on_progress);
    Result<WavFile> wav = WavFile::open(path);
    if (!wav) return fail(wav.error());
    if (wav->info().duration() > limits_.diarize) {
      return fail(Code::kTooLarge, "an external engine tells speakers apart in one hour at most",
                  "cut the recording into parts");
    }
    const Result<std::vector<int16_t>> samples = wav->read(0, wav->info().samples);
    if (!samples) return fail(samples.error());
    Result<std::vector<SpeakerTurn>> turns = tell_apart(*samples, wish, limits_.silent, cancel);
    if (!turns) return broken(turns.error());
    if (on_progress) on_progress(Progress{1});
    return turns;
  }

  Result<void> speak(const Utterance& utterance, const http::Cancel& cancel,
                     const std::function<bool(std::string_view)>& on_pcm) override {
    if (voice_.engine != "voice") return Worker::speak(utterance, cancel, on_pcm);
    const Result<std::string> voice = voice_named(utterance.voice);
    if (!voice) return fail(voice.error());
    const Result<uint32_t> rate =
        say({utterance.text, *voice, utterance.speed}, limits_.silent, cancel, on_pcm);
    if (!rate) return broken(rate.error());
    if (*rate == rate_) return {};
    return broken({Code::kCorrupt, "makes sound of another rate than at its start"});
  }

 private:
  std::string option(std::string_view name) const {
    for (const auto& [key, value] : voice_.options) {
      if (key == name) return value;
    }
    return "";
  }

  // What an answer of the wrong shape and one that does not come end: what the server does is not
  // known any more. A request that it refused leaves it as it was.
  tl::unexpected<Error> broken(Error error) {
    const bool refused = error.code == Code::kUsage || error.code == Code::kNotFound ||
                         error.code == Code::kCancelled;
    if (!refused) {
      if (Result<void> there = server_->alive(); !there) return fail(there.error());
      server_->stop();
      if (error.code != Code::kTimeout) error.code = Code::kWorkerFailed;
    }
    if (error.code != Code::kCancelled) error.message = name_ + " " + error.message;
    return fail(std::move(error));
  }

  Result<void> test(const http::Cancel& cancel) {
    if (voice_.engine == "speech") {
      const auto heard = hear(test_sound(), limits_.test, cancel);
      return heard ? Result<void>() : fail(heard.error());
    }
    if (voice_.engine == "diarization") {
      const auto turns = tell_apart(test_sound(), {}, limits_.test, cancel);
      return turns ? Result<void>() : fail(turns.error());
    }
    const Result<std::string> voice = voice_named("");
    if (!voice) return fail(voice.error());
    const Result<uint32_t> rate =
        say({kTestSentence, *voice, 1}, limits_.test, cancel, [](std::string_view) {
          return true;
        });
    if (!rate) return fail(rate.error());
    rate_ = *rate;
    return {};
  }

  // What the configuration calls a voice, as the server calls it.
  Result<std::string> voice_named(const std::string& voice) const {
    const bool first = voice.empty() || voice == "default";
    if (voice_.voices.empty()) return first ? std::string("default") : voice;
    if (first) return voice_.voices.front().second;
    std::string known;
    for (const auto& [name, id] : voice_.voices) {
      if (name == voice) return id;
      known += (known.empty() ? "" : ", ") + name;
    }
    return fail(Code::kNotFound, "there is no voice " + voice, "there are " + known);
  }

  std::vector<std::pair<std::string, std::string>> form_fields() const {
    std::vector<std::pair<std::string, std::string>> fields;
    const std::string model = option("model"), language = option("language");
    fields.emplace_back("model", model.empty() ? name_ : model);
    if (!language.empty()) fields.emplace_back("language", language);
    return fields;
  }

  Result<std::vector<Segment>> hear(std::span<const int16_t> samples, Millis limit,
                                    const http::Cancel& cancel) {
    auto fields = form_fields();
    fields.emplace_back("response_format", llama_ ? "json" : "verbose_json");
    if (llama_) {
      fields.emplace_back("temperature", "0");
      fields.emplace_back("max_tokens", std::to_string(kHeardTokens));
    }
    const Result<std::string> body =
        ask(audio_form("/v1/audio/transcriptions", fields, samples), limit, cancel, nullptr);
    if (!body) return fail(body.error());
    const Millis length(static_cast<int64_t>(samples.size() * 1000 / kSampleRate));
    return llama_ ? parse_written(*body, length, kHeardTokens) : parse_heard(*body, length);
  }

  Result<std::vector<SpeakerTurn>> tell_apart(std::span<const int16_t> samples,
                                              const SpeakerWish& asked, Millis limit,
                                              const http::Cancel& cancel) {
    // What a request says stands before what the model's configuration says.
    const bool silent = asked.speakers == 0 && !asked.threshold;
    const SpeakerWish& wish = silent ? voice_.speakers : asked;
    auto fields = form_fields();
    fields.emplace_back("response_format", "json");
    if (wish.speakers > 0) fields.emplace_back("num_speakers", std::to_string(wish.speakers));
    if (wish.threshold) fields.emplace_back("threshold", std::to_string(*wish.threshold));
    const Result<std::string> body =
        ask(audio_form("/v1/audio/diarization", fields, samples), limit, cancel, nullptr);
    if (!body) return fail(body.error());
    return parse_diarized(*body);
  }

  // The rate of what it said.
  Result<uint32_t> say(const Utterance& utterance, Millis limit, const http::Cancel& cancel,
                       const std::function<bool(std::string_view)>& on_pcm) {
    nlohmann::json order = {{"input", utterance.text},
                            {"voice", utterance.voice},
                            {"speed", utterance.speed},
                            {"response_format", "wav"}};
    for (const auto& [key, value] : form_fields()) order[key] = value;
    const http::Request request{
        .method = "POST",
        .target = "/v1/audio/speech",
        .headers = {{"Content-Type", "application/json"}},
        .body = order.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)};
    WavStream wav;
    const auto take = [&](std::string_view piece) -> Result<bool> {
      Result<bool> more = wav.take(piece, on_pcm);
      if (more && wav.bytes() > limits_.sound.n) {
        return fail(Code::kTooLarge, "does not stop to speak");
      }
      return more;
    };
    const Result<std::string> said = ask(request, limit, cancel, take);
    if (!said) return fail(said.error());
    if (wav.bytes() == 0) return fail(Code::kCorrupt, "made no sound");
    return wav.rate();
  }

  // The body of an answer with status 200, or what `take` made of it piece by piece. All of a test
  // must come within its limit, of other answers each byte.
  Result<std::string> ask(const http::Request& request, Millis limit, const http::Cancel& cancel,
                          const std::function<Result<bool>(std::string_view)>& take) {
    const RealClock clock;
    const Millis deadline = clock.steady() + limit;
    const bool whole = limit == limits_.test;
    int status = 0;
    std::string body;
    std::optional<Error> wrong;
    http::FetchOptions options;
    options.idle_timeout = limit;
    options.body_max = limits_.sound + kAnswerMax;
    options.cancel = &cancel;
    options.on_head = [&status](const http::Response& head) {
      status = head.status;
      return true;
    };
    options.on_piece = [&](std::string_view piece) {
      if (whole && clock.steady() > deadline) {
        wrong = Error{Code::kTimeout, "did not answer in time"};
      } else if (status == 200 && take) {
        const Result<bool> more = take(piece);
        if (more) return *more;
        wrong = more.error();
      } else if (body.size() + piece.size() > kAnswerMax.n) {
        wrong = Error{Code::kCorrupt, "does not stop to answer"};
      } else {
        body += piece;
      }
      return !wrong;
    };
    const Result<http::Response> answer = http::fetch(server_->address(), request, options);
    if (wrong) return fail(*wrong);
    if (!answer) {
      Error error = answer.error();
      if (error.code == Code::kTimeout) error.message = "did not answer in time";
      return fail(std::move(error));
    }
    if (status != 200) return fail(refused_by(status, body));
    return body;
  }

  const std::unique_ptr<Worker> server_;
  const std::string name_;
  const VoiceSpec voice_;
  AudioLimits limits_;
  const bool llama_;
  std::atomic<uint32_t> rate_{0};
};

}  // namespace

std::unique_ptr<Worker> make_audio_command(std::unique_ptr<Worker> server, const WorkerSpec& spec,
                                           AudioLimits limits) {
  return std::make_unique<AudioCommand>(std::move(server), spec, limits);
}

}  // namespace gantry
