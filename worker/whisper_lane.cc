// Calls libwhisper for a piece, reads what it heard, and asks for it in another order.
#include "worker/whisper_lane.h"

#include <fmt/format.h>
#include <whisper.h>

#include <algorithm>
#include <cmath>

#include "worker/encoder_hook.h"
#include "worker/words.h"

namespace gantry {

namespace {

void trim(std::string* text) {
  text->erase(0, text->find_first_not_of(" \t\r\n"));
  text->erase(text->find_last_not_of(" \t\r\n") + 1);
}

double log_probability(std::span<const float> logits, int token) {
  const double most = *std::ranges::max_element(logits);
  double sum = 0;
  for (const float logit : logits) sum += std::exp(logit - most);
  return logits[static_cast<size_t>(token)] - most - std::log(sum);
}

}  // namespace

Result<std::unique_ptr<WhisperLane>> WhisperLane::make(whisper_context* context,
                                                       EncoderTurns* encoders) {
  Result<WhisperState> state = make_state(context);
  if (!state) return fail(state.error());
  return std::unique_ptr<WhisperLane>(new WhisperLane(context, encoders, std::move(*state)));
}

void WhisperLane::encode(std::span<const float> mel, uint32_t mels, uint32_t frames,
                         std::span<float> states, uint32_t width) {
  if (!encoders_->encode(turn_, mel, mels, frames, states, width)) lost_ = true;
}

whisper_full_params WhisperLane::params(const LaneOptions& options) const {
  // Greedy at temperature zero without fallback: the same recording gives the same text.
  whisper_full_params p = whisper_full_default_params(WHISPER_SAMPLING_GREEDY);
  p.greedy.best_of = 1;  // more would reserve a vocabulary of floats for each
  p.temperature_inc = 0;
  p.n_threads = options.threads;
  p.language = options.language.c_str();
  p.print_progress = false;
  p.print_timestamps = false;
  p.no_context = true;   // a mistake in one piece does not spread
  p.suppress_nst = true;  // no "(music)"
  p.single_segment = !options.paragraphs;
  p.token_timestamps = options.paragraphs;
  p.abort_callback = [](void* data) { return static_cast<const WhisperLane*>(data)->given_up(); };
  p.abort_callback_user_data = const_cast<WhisperLane*>(this);
  return p;
}

Result<std::vector<Segment>> WhisperLane::recognise(const Piece& piece,
                                                    std::span<const int16_t> pcm,
                                                    const LaneOptions& options,
                                                    const std::function<bool()>& stop) {
  samples_.resize(pcm.size());
  std::ranges::transform(pcm, samples_.begin(),
                         [](int16_t s) { return static_cast<float>(s) / 32768.0F; });
  stop_ = &stop;
  for (;;) {
    turn_ = encoders_->turn();
    lost_ = false;
    hook_encoder(context_, state_.get(), turn_.on_ggml ? nullptr : this);
    const int status = whisper_full_with_state(context_, state_.get(), params(options),
                                               samples_.data(), static_cast<int>(samples_.size()));
    std::vector<Segment> segments;
    if (status == 0 && !given_up()) segments = read(piece, options);
    if (stop()) return fail(Code::kCancelled, "cancelled");
    if (lost_) {
      encoders_->step_down(turn_, frame_time(piece.begin));
      continue;
    }
    if (status == 0) return segments;
    return fail(Code::kWorkerFailed, fmt::format("the speech engine failed with {} at {} ms",
                                                 status, frame_time(piece.begin).count()));
  }
}

std::string WhisperLane::language() const {
  return whisper_lang_str(whisper_full_lang_id_from_state(state_.get()));
}

std::vector<Segment> WhisperLane::read(const Piece& piece, const LaneOptions& options) {
  std::vector<Segment> segments;
  for (int i = 0; i < whisper_full_n_segments_from_state(state_.get()); ++i) {
    Segment segment = segment_at(i, piece, options);
    if (!segment.text.empty()) segments.push_back(std::move(segment));
  }
  if (!segments.empty()) weigh(piece, options, &segments);
  return segments;
}

Segment WhisperLane::segment_at(int i, const Piece& piece, const LaneOptions& options) const {
  whisper_state* s = state_.get();
  Segment segment;
  segment.text = whisper_full_get_segment_text_from_state(s, i);
  trim(&segment.text);
  // An utterance of its own is timed by its loudness, which is exact to a frame; paragraphs by the
  // model, whose times are held within the piece.
  const Millis voice = frame_time(piece.voice), hush = frame_time(piece.hush);
  const Millis begin = frame_time(piece.begin);
  segment.start = voice;
  segment.end = hush;
  if (options.paragraphs) {
    const Millis t0(10 * whisper_full_get_segment_t0_from_state(s, i));
    const Millis t1(10 * whisper_full_get_segment_t1_from_state(s, i));
    segment.start = std::clamp(begin + t0, voice, hush);
    segment.end = std::clamp(begin + t1, segment.start, hush);
  }
  double sum = 0, logs = 0;
  std::vector<HeardToken> tokens;
  for (int t = 0; t < whisper_full_n_tokens_from_state(s, i); ++t) {
    const whisper_token_data token = whisper_full_get_token_data_from_state(s, i, t);
    if (token.id >= whisper_token_eot(context_)) continue;
    sum += double{token.p};
    logs += double{token.plog};
    tokens.push_back({whisper_full_get_token_text_from_state(context_, s, i, t), double{token.p},
                      begin + Millis(10 * token.t0), begin + Millis(10 * token.t1)});
  }
  const auto count = static_cast<double>(std::max<size_t>(tokens.size(), 1));
  segment.confidence = std::clamp(sum / count, 0.0, 1.0);
  segment.avg_logprob = logs / count;
  segment.no_speech = double{whisper_full_get_segment_no_speech_prob_from_state(s, i)};
  segment.words = join_words(tokens, has_blanks(language()), {segment.start, segment.end},
                             options.paragraphs ? WordTimes::kTokens : WordTimes::kLetters);
  if (options.names_encoder) segment.encoder = turn_.device;
  return segment;
}

// The gain is of the piece: its segments were decoded from one sound, each after those before it.
void WhisperLane::weigh(const Piece& piece, const LaneOptions& options,
                        std::vector<Segment>* segments) {
  double heard = 0;
  uint32_t tokens = 0;
  for (int i = 0; i < whisper_full_n_segments_from_state(state_.get()); ++i) {
    for (int t = 0; t < whisper_full_n_tokens_from_state(state_.get(), i); ++t) {
      const whisper_token_data token = whisper_full_get_token_data_from_state(state_.get(), i, t);
      if (token.id >= whisper_token_eot(context_)) continue;
      heard += double{token.plog};
      ++tokens;
    }
  }
  std::vector<Evidence> evidence;
  for (const Segment& s : *segments) {
    evidence.push_back({*s.avg_logprob, *s.no_speech, letters_in(s.text), s.end - s.start, tokens});
  }
  std::optional<double> gained;
  if (std::ranges::any_of(evidence, asks_gain)) gained = gain(piece, heard, tokens, options);
  for (size_t i = 0; i < segments->size(); ++i) {
    evidence[i].gain = gained;
    (*segments)[i].low_confidence = is_doubtful(evidence[i]);
  }
}

// Nothing where the engine fails or has been told to stop.
std::optional<double> WhisperLane::gain(const Piece& piece, double heard, uint32_t tokens,
                                        const LaneOptions& options) {
  const double enough = heard - kGainMin * tokens;
  std::vector<float> other(samples_.rbegin(), samples_.rend());
  const std::optional<double> backwards = log_probability_of(other, enough, options);
  if (!backwards) return std::nullopt;
  if (*backwards <= enough) return (heard - *backwards) / tokens;
  // Few words are as good backwards by chance ("open the kitchen window" was): another order.
  other = samples_;
  const size_t size = other.size();
  const auto voice = std::min<size_t>((piece.voice - piece.begin) * kFrameSamples, size);
  const auto hush = std::clamp<size_t>((piece.hush - piece.begin) * kFrameSamples, voice, size);
  const auto at = [&other](size_t i) { return other.begin() + static_cast<ptrdiff_t>(i); };
  std::rotate(at(voice), at(voice + (hush - voice) / 2), at(hush));
  const std::optional<double> swapped = log_probability_of(other, enough, options);
  if (!swapped) return std::nullopt;
  return (heard - std::min(*backwards, *swapped)) / tokens;
}

// Of the piece's words, had this been its sound; `enough` or less as soon as it cannot be more.
std::optional<double> WhisperLane::log_probability_of(std::span<const float> sound, double enough,
                                                      const LaneOptions& options) {
  whisper_state* s = state_.get();
  if (whisper_pcm_to_mel_with_state(context_, s, sound.data(), static_cast<int>(sound.size()),
                                    options.threads) != 0 ||
      whisper_encode_with_state(context_, s, 0, options.threads) != 0 || given_up()) {
    return std::nullopt;
  }
  std::vector<whisper_token> fed = {whisper_token_sot(context_)};
  if (whisper_is_multilingual(context_) != 0) {
    fed.push_back(whisper_token_lang(context_, whisper_full_lang_id_from_state(s)));
    fed.push_back(whisper_token_transcribe(context_));
  }
  const size_t before = fed.size();
  for (int i = 0; i < whisper_full_n_segments_from_state(s); ++i) {
    for (int t = 0; t < whisper_full_n_tokens_from_state(s, i); ++t) {
      fed.push_back(whisper_full_get_token_id_from_state(s, i, t));
    }
  }
  fed.resize(std::min<size_t>(fed.size(), static_cast<size_t>(whisper_n_text_ctx(context_))));
  const auto words = static_cast<size_t>(whisper_token_eot(context_));
  double sum = 0;
  for (size_t i = 0; i + 1 < fed.size() && sum > enough; ++i) {
    if (given_up() || whisper_decode_with_state(context_, s, &fed[i], 1, static_cast<int>(i),
                                                options.threads) != 0) {
      return std::nullopt;
    }
    if (i + 1 < before || fed[i + 1] >= static_cast<int>(words)) continue;
    sum += log_probability({whisper_get_logits_from_state(s), words}, fed[i + 1]);
  }
  return sum;
}

}  // namespace gantry
