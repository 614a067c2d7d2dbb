// Times of parts, added up; where they overlap, the longer one.
#include "plan/speed.h"

#include <algorithm>
#include <cmath>

#include "plan/need.h"
#include "plan/slice.h"
#include "plan/speed_work.h"

namespace gantry {

namespace {

// The calibration's attention reads each byte of an F16 cache for four queries: operations on it.
constexpr double kCalibratedFlop = 4;
constexpr double kAttentionCells = 256;  // llama.cpp attends to whole steps of so many
// A type without a rate of its own takes that of the nearest by bits; more than this share of bytes
// would make the prediction a guess.
constexpr double kGuessedShare = 0.1;
// Tokens a second that a speaker's words come to: 2.5 words of 1.4 tokens.
constexpr double kSpokenTokens = 3.5;
constexpr double kPromptTokens = 4;      // a whisper decoder starts with
constexpr double kFramesPerSecond = 50;  // of a whisper encoder
constexpr double kConvolutions = 1.05;   // its two convolutions beside the layers
constexpr double kEmbdWhisper = 18;      // rows between its matrices, as in llama.cpp's layers
constexpr double kWhisperSteps = 34;     // operations of a text layer, cross attention included
constexpr double kMediaSpeed = 200;      // seconds of sound decoded in one second
// From exec to an answer without a byte of weights, and for each token of the vocabulary (strings,
// tables, sampler): seen with llama-server on two cores.
constexpr double kStartSeconds = 0.3, kVocabularySeconds = 2.5e-6;
constexpr double kAcceleratorSeconds = 0.3;  // a runtime context
constexpr double kDefaultStep = 3e-6;
constexpr double kCrossingSeconds = 10e-6;  // one copy to or from an accelerator, waited for
constexpr uint32_t kOffloadBatch = 32;  // host weights visit the accelerator for larger ones
// Cards that add up partial results. No two cards were here: these follow from what was published
// with llama.cpp's pull request 19378 for four RTX 4090 at PCIe 4.0 x16 and a 1B model in F16. One
// token took 2.44 ms instead of 3.18 on one card after the other, of which reading explains 1.3: of
// the rest 32 sums with two waits each have 18 us a wait. Prompts were read at 17,800 tokens/s:
// sums of 512 tokens passed at 4.4 GB/s, 0.35 of what copies over the host do.
constexpr double kSumSeconds = 18e-6, kSumShare = 0.35;

// A number, and whether measurements stand behind it.
struct Seconds {
  double s = 0;
  bool known = true;
  Seconds& operator+=(const Seconds& other) {
    s += other.s;
    known = known && other.known;
    return *this;
  }
};

Seconds longer(const Seconds& a, const Seconds& b) {
  return {std::max(a.s, b.s), a.known && b.known};
}

const Device* device_of(const Machine& machine, const std::string& name) {
  const auto found = std::ranges::find(machine.devices, name, &Device::name);
  return found == machine.devices.end() ? nullptr : &*found;
}

// One device's rates, with what is assumed where there are none.
class Rates {
 public:
  Rates(const Machine& machine, const std::string& name, bool plain)
      : device_(device_of(machine, name)), plain_(plain), host_(name == kHost) {}

  const Device* device() const { return device_; }

  double step_s() const {
    return device_ != nullptr && device_->step_s ? *device_->step_s : rated() ? kDefaultStep : 0;
  }
  const Rate* find(const std::string& name) const {
    if (device_ == nullptr) return nullptr;
    const auto found = std::ranges::find(device_->rates, name, &Rate::quantisation);
    return found == device_->rates.end() ? nullptr : &*found;
  }
  // The kind's own, or without one what is nearest to it; null where there are no rates at all.
  const Rate* of(const Matrices& kind, bool* guessed) const {
    *guessed = !rated();
    if (*guessed) return nullptr;
    const std::string experts = kind.experts ? "/experts" : "";
    const std::string plain = plain_ ? "/plain" : "";
    for (const std::string& name : {kind.type + experts + plain, kind.type + experts,
                                    kind.type + plain, kind.type}) {
      if (const Rate* found = find(name)) return found;
    }
    *guessed = true;
    const Rate* best = nullptr;
    const double bits = bits_of(kind.type);
    double least = HUGE_VAL;
    for (const Rate& rate : device_->rates) {
      if (rate.quantisation.find_first_of("/ abcdefghijklmnopqrstuvwxyz") != std::string::npos) {
        continue;  // no plain type
      }
      const double apart = std::abs(bits_of(rate.quantisation) - bits);
      if (apart >= least) continue;
      least = apart;
      best = &rate;
    }
    return best;
  }
  double memory() const {
    if (device_ != nullptr && device_->bandwidth.memory_bytes_per_s.value_or(0) > 0) {
      return *device_->bandwidth.memory_bytes_per_s;
    }
    return host_ ? Assumed{}.cpu_bytes_per_s : Assumed{}.gpu_bytes_per_s;
  }
  bool memory_known() const {
    return device_ != nullptr && device_->bandwidth.memory_bytes_per_s.value_or(0) > 0;
  }
  double flop() const { return host_ ? Assumed{}.cpu_flop_per_s : Assumed{}.gpu_flop_per_s; }
  bool rated() const { return device_ != nullptr && !device_->rates.empty(); }

 private:
  const Device* device_;
  bool plain_, host_;
};

// Of `tokens` through the matrices at once.
Seconds matrices_seconds(const Rates& rates, const std::vector<Matrices>& all, double tokens) {
  Seconds sum;
  double guessed_bytes = 0, bytes_all = 0;
  for (const Matrices& one : all) {
    bool guessed = false;
    const Rate* rate = rates.of(one, &guessed);
    const double touched = one.bytes * std::min(1.0, one.used * tokens);
    const double flop = 2 * one.weights * one.used * tokens;
    bytes_all += touched;
    if (guessed) guessed_bytes += touched;
    if (rate != nullptr) {
      sum.s += std::max(touched / rate->decode_bytes_per_s, flop / rate->prefill_flop_per_s);
      continue;
    }
    const double moved = touched / rates.memory(), computed = flop / rates.flop();
    sum.s += tokens > 1 ? std::max(moved, computed) : moved;
    if (tokens > 1 || !rates.memory_known()) sum.known = false;
  }
  if (rates.rated() && guessed_bytes > kGuessedShare * bytes_all) sum.known = false;
  return sum;
}

double whole_cells(double tokens) {
  return std::ceil(std::max(tokens, 1.0) / kAttentionCells) * kAttentionCells;
}

// Scores and values of `tokens` over a cache of so many cells; a layer with a window sees that.
Seconds attention_seconds(const Rates& rates, const Wish& wish, const PartWork& work,
                          double tokens, double cells) {
  double flop = 2 * tokens * cells * work.score_width;
  double full = work.score_width;
  for (const auto& [window, width] : work.windows) {
    flop += 2 * tokens * std::min(cells, window + tokens) * width;
    full += width;
  }
  if (flop <= 0) return {};
  const double bytes =
      work.cache_bytes * cells * (full > 0 ? flop / (2 * tokens * cells * full) : 0);
  const Rate* rate = rates.find(flash_of(wish) ? "attention/flash" : "attention");
  if (rate == nullptr) {
    if (tokens > 1) return {std::max(bytes / rates.memory(), flop / rates.flop()), false};
    return {bytes / rates.memory(), rates.memory_known()};
  }
  if (tokens > 1) return {std::max(bytes / rates.memory(), flop / rate->prefill_flop_per_s), true};
  // More queries a byte make it slower, fewer do not make it faster.
  return {std::max(bytes, flop / kCalibratedFlop) / rate->decode_bytes_per_s, true};
}

Seconds activation_seconds(const Rates& rates, const PartWork& work, double tokens) {
  const Rate* rate = rates.find("activations");
  const double per_s = rate == nullptr ? rates.memory() : rate->decode_bytes_per_s;
  // Of a single token they are in the caches: what they cost is the step. A state never is.
  const double bytes = work.state_bytes * tokens + (tokens > 1 ? work.activations * tokens : 0);
  return {bytes / per_s, bytes <= 0 || rate != nullptr || rates.memory_known()};
}

// One pass of `tokens` through a part, after `past` tokens of the same sequence. `answers`: rows
// that go through the output matrix.
Seconds pass_seconds(const Rates& rates, const Wish& wish, const PartWork& work, double tokens,
                     double past, double answers) {
  Seconds sum = matrices_seconds(rates, work.layers, tokens);
  if (answers > 0) sum += matrices_seconds(rates, work.output, answers);
  const double cells = is_encoder(wish) ? tokens : whole_cells(past + tokens);
  sum += attention_seconds(rates, wish, work, tokens, cells);
  sum += activation_seconds(rates, work, tokens);
  sum.s += work.steps * rates.step_s();
  return sum;
}

// ---- streaming

// Until so many of the streamed bytes are where they are used.
Seconds arrival_seconds(const Machine& machine, const StreamPlan& plan, double bytes) {
  const double all = static_cast<double>(plan.streamed.n);
  const double hosted = static_cast<double>(std::min(plan.host_budget, plan.streamed).n);
  const double from_disk = all <= 0 ? 0 : bytes * (1 - hosted / all);
  Seconds out;
  if (from_disk > 0) {
    const std::optional<double> disk = machine.disk.read_bytes_per_s;
    out.known = disk.value_or(0) > 0;
    out.s = from_disk / (out.known ? *disk : Assumed{}.disk_bytes_per_s);
  }
  if (plan.device == kHost || bytes <= 0) return out;
  const Device* device = device_of(machine, plan.device);
  const std::optional<double> link =
      device == nullptr ? std::nullopt : device->bandwidth.host_copy_bytes_per_s;
  const bool known = link.value_or(0) > 0;
  return longer(out, {bytes / (known ? *link : Assumed{}.link_bytes_per_s), known});
}

// Bytes that move for one pass of so many tokens.
double arriving(const Wish& wish, const StreamPlan& plan, double tokens) {
  const double all = static_cast<double>((plan.streamed - plan.experts).n);
  if (tokens <= 1 || wish.card->experts == 0) return std::min(plan.per_token, all);
  return std::min(all, plan.per_token * tokens);  // a large batch visits every expert once
}

// ---- passes of a whole model

struct Pass {
  double tokens = 1, past = 0, answers = 1;
};

// Beside an accelerator large batches carry the host's weights there, instead of computing here.
Seconds offloaded(const Machine& machine, const Wish& wish, const PartWork& work,
                  const std::string& accelerator, const Pass& pass) {
  const Rates rates(machine, accelerator, false);
  double bytes = 0;
  for (const Matrices& one : work.layers) bytes += one.bytes;
  const Device* device = rates.device();
  const std::optional<double> link =
      device == nullptr ? std::nullopt : device->bandwidth.host_copy_bytes_per_s;
  const bool known = link.value_or(0) > 0;
  Seconds sum{bytes / (known ? *link : Assumed{}.link_bytes_per_s), known};
  sum += pass_seconds(rates, wish, work, pass.tokens, pass.past, 0);
  return sum;
}

class Model {
 public:
  Model(const Machine& machine, const Wish& wish, const Choice& choice)
      : machine_(machine), wish_(wish), choice_(choice), parts_(parts_of(wish, choice)) {
    const bool sliced = choice.split_mode == SplitMode::kTensor;
    for (const Stretch& part : parts_) {
      if (!sliced || work_.empty()) work_.push_back(work_of(wish, part));
      rates_.emplace_back(machine, part.device, part.plain);
    }
    if (sliced) slice();
  }

  // Seconds of one device's part, in order; streamed models have one. Where tensors are split, all
  // are at work from the first to the last.
  Seconds part(size_t i, const Pass& pass) const {
    if (!sliced_.empty()) return once(pass);
    const bool answers = parts_[i].output && !is_encoder(wish_);
    if (parts_[i].device == kHost && parts_.size() > 1 && pass.tokens >= kOffloadBatch) {
      return offloaded(machine_, wish_, work_[i], parts_.back().device, pass);
    }
    Seconds out = pass_seconds(rates_[i], wish_, work_[i], pass.tokens, pass.past,
                               answers ? pass.answers : 0);
    if (!choice_.stream) return out;
    const Seconds arriving_s =
        arrival_seconds(machine_, *choice_.stream, arriving(wish_, *choice_.stream, pass.tokens));
    // An accelerator computes while bytes arrive. On the CPU what reads takes from what computes:
    // with a compute thread for each processor, 1.1 GB on their way made a pass of 7 s as much
    // longer as they took to arrive.
    if (parts_[i].device != kHost) return longer(out, arriving_s);
    out += arriving_s;
    return out;
  }
  Seconds once(const Pass& pass) const {
    if (!sliced_.empty()) {
      Seconds sum = at_once(pass);
      sum += waiting(pass.tokens);
      return sum;
    }
    Seconds sum;
    for (size_t i = 0; i < parts_.size(); ++i) sum += part(i, pass);
    for (size_t i = 1; i < parts_.size(); ++i) sum.s += crossing(i, pass);
    return sum;
  }
  // From one part to the next, through the host where both are accelerators. Too little to make
  // the sum a guess where a link was not measured.
  double crossing(size_t i, const Pass& pass) const {
    double seconds = 0;
    for (const Stretch* side : {&parts_[i - 1], &parts_[i]}) {
      const Device* device = device_of(machine_, side->device);
      if (side->device == kHost || device == nullptr) continue;
      const double link = device->bandwidth.host_copy_bytes_per_s.value_or(0);
      seconds += kCrossingSeconds + pass.tokens * wish_.card->embd * sizeof(float) /
                                        (link > 0 ? link : Assumed{}.link_bytes_per_s);
    }
    return seconds;
  }
  // A prompt of so many tokens in physical batches, the last one with an answer. Between the first
  // and the last they differ by the attention alone, which grows evenly: the mean of both.
  Seconds prompt(double tokens) const {
    const double batch = std::min(tokens, batch_tokens());
    const double passes = std::ceil(tokens / batch);
    if (passes <= 1) return once({tokens, 0, 1});
    const double rest = tokens - (passes - 1) * batch;
    const Seconds first = once({batch, 0, 0});
    const Seconds before_last = once({batch, tokens - rest - batch, 0});
    Seconds sum{(passes - 1) * (first.s + before_last.s) / 2, first.known && before_last.known};
    sum += once({rest, tokens - rest, 1});
    return sum;
  }
  double batch_tokens() const {
    const uint32_t context = std::max(context_of(wish_), 1U);
    const bool whole = is_encoder(wish_) || wish_.embeddings;
    return whole ? context : std::min(wish_.ubatch, context);
  }
  const std::vector<Stretch>& parts() const { return parts_; }

  // Of a pass whose tensors are split: the slowest device of each layer.
  Seconds at_once(const Pass& pass) const {
    Seconds sum;
    for (const std::vector<PartWork>& works : sliced_) {
      Seconds slowest;
      for (size_t d = 0; d < works.size(); ++d) {
        slowest = longer(slowest, work_s(d, works[d], pass));
      }
      slowest.s /= static_cast<double>(sliced_.size());
      sum += slowest;
    }
    return sum;
  }
  // Until all have all partial results.
  Seconds waiting(double tokens) const {
    const Reduction reduction = reduction_of(wish_, choice_.splits.size(), tokens);
    const std::optional<double> link = link_between(machine_, choice_.splits);
    const double rate = link.value_or(Assumed{}.link_bytes_per_s / 2);
    return {reduction.waits * kSumSeconds + reduction.bytes / (kSumShare * rate),
            link.has_value()};
  }
  // The same shares of whole layers, one device after the other.
  Seconds in_turn(const Pass& pass) const {
    Seconds sum;
    for (size_t d = 0; d < choice_.splits.size(); ++d) {
      const Seconds all = work_s(d, work_.front(), pass);
      sum += {all.s * share(d), all.known};
    }
    return sum;
  }

 private:
  double share(size_t d) const {
    double all = 0;
    for (const Split& split : choice_.splits) all += split.share;
    return choice_.splits[d].share / all;
  }
  Seconds work_s(size_t d, const PartWork& work, const Pass& pass) const {
    return pass_seconds(rates_[d], wish_, work, pass.tokens, pass.past,
                        is_encoder(wish_) ? 0 : pass.answers);
  }
  // An embedding that is the output matrix too is whole on each device.
  void slice() {
    const bool tied = is_tied(*wish_.card);
    for (const std::vector<Portion>& row : portions(wish_, choice_.splits)) {
      std::vector<PartWork>& works = sliced_.emplace_back();
      for (size_t d = 0; d < row.size(); ++d) {
        works.push_back(sliced_work(*wish_.card, work_.front(), row[d], tied ? 1 : share(d)));
      }
    }
  }

  const Machine& machine_;
  const Wish& wish_;
  const Choice& choice_;
  std::vector<Stretch> parts_;
  std::vector<PartWork> work_;
  std::vector<std::vector<PartWork>> sliced_;  // (rotation, device), where tensors are split
  std::vector<Rates> rates_;
};

struct Tokens {
  double prompt = 1, output = 1;
};

// Of one use, within the context.
Tokens tokens_of(const Wish& wish) {
  const double context = std::max(context_of(wish), 1U);
  Tokens out;
  out.prompt = std::clamp(wish.usage.prompt_tokens, 1.0, context);
  out.output = std::clamp(wish.usage.output_tokens, 0.0, context);
  return out;
}

Pass middle_token(const Wish& wish) {
  const Tokens tokens = tokens_of(wish);
  const double context = std::max(context_of(wish), 1U);
  const double past = std::min(tokens.prompt + tokens.output / 2, context) - 1;
  return {1, std::max(past, 0.0), 1};
}

// ---- whisper

// Seconds of work for a second of sound: an encoder pass a window, a decoder pass a token.
Seconds whisper_seconds(const Machine& machine, const Wish& wish, const std::string& device) {
  const ModelCard& card = *wish.card;
  if (card.audio_context == 0) return {1, false};
  const Rates rates(machine, device, false);
  std::vector<Matrices> encoder, decoder;
  const auto take = [&](const TensorGroup& group, std::vector<Matrices>* out) {
    std::map<std::string, uint64_t> types = group.types;
    if (types.empty()) types[card.quantisation] = group.bytes.n;
    for (const auto& [type, bytes] : types) {
      const double size = static_cast<double>(bytes);
      out->push_back({type, false, size, 1, elements_of(type, size)});
    }
  };
  for (const TensorGroup& group : card.groups) {
    take(group, group.part == Part::kEncoder ? &encoder : &decoder);
  }
  Wish flash = wish;  // as whisper.cpp attends
  flash.flash_attention = true;
  const double frames = card.audio_context, width = card.embd;
  PartWork work;
  work.score_width = 2 * width * card.audio_layers;
  work.activations = 4 * card.audio_layers * (kEmbdWhisper * width + 3.0 * card.ffn);
  Seconds window = matrices_seconds(rates, encoder, frames);
  window.s *= kConvolutions;
  window += attention_seconds(rates, flash, work, frames, frames);
  window += activation_seconds(rates, work, frames);
  // Keys and values of the encoder's output, once for every layer of the decoder.
  const std::vector<Matrices> cross = {{card.quantisation, false, 0, 1,
                                        2 * width * width * card.layers}};
  window += matrices_seconds(rates, cross, frames);
  const double seconds = frames / kFramesPerSecond;
  Seconds token = matrices_seconds(rates, decoder, 1);
  PartWork text;
  text.score_width = 2 * width * card.layers;
  text.cache_bytes = 4 * width * card.layers;
  token += attention_seconds(rates, flash, text, 1, frames + card.text_context / 2.0);
  token.s += card.layers * kWhisperSteps * rates.step_s();
  const double tokens = seconds * kSpokenTokens + kPromptTokens;
  return {(window.s + tokens * token.s) / seconds, window.known && token.known};
}

// ---- loading

// Bytes that are read before the first answer, and those of them that go to an accelerator.
struct Loaded {
  double all = 0, copied = 0;
};

Loaded loaded_bytes(const Wish& wish, const Choice& choice) {
  Loaded out;
  for (const Need& need : choice.needs) {
    const double weights = static_cast<double>(need.weights.n);
    out.all += weights;
    if (need.device != kHost) out.copied += weights;
  }
  if (choice.stream) {  // places for what passes through are empty
    out.all -= static_cast<double>((choice.stream->ring + choice.stream->experts).n);
  }
  if (wish.card) out.all = std::min(out.all, 2 * static_cast<double>(wish.card->file_bytes.n));
  return {std::max(out.all, 0.0), out.copied};
}

// On the CPU alone engines rearrange weights while they load, on one thread.
double rearranging_seconds(const Machine& machine, const Wish& wish, const Choice& choice) {
  if (wish.engine != EngineKind::kLlama) return 0;
  const std::vector<Stretch> parts = parts_of(wish, choice);
  if (parts.size() != 1 || parts[0].device != kHost || parts[0].plain) return 0;
  const Rates rates(machine, kHost, false);
  const PartWork work = work_of(wish, parts[0]);
  double seconds = 0;
  for (const std::vector<Matrices>* all : {&work.layers, &work.output}) {
    for (const Matrices& one : *all) {
      const Rate* rate = rates.find(one.type + "/rearranging");
      if (rate != nullptr) seconds += one.bytes / rate->decode_bytes_per_s;
    }
  }
  return seconds;
}

Seconds loading(const Machine& machine, const Wish& wish, const Choice& choice) {
  if (!wish.card) return {kStartSeconds, wish.engine == EngineKind::kMedia};
  const Loaded loaded = loaded_bytes(wish, choice);
  const std::optional<double> disk = machine.disk.load_bytes_per_s ? machine.disk.load_bytes_per_s
                                                                   : machine.disk.read_bytes_per_s;
  Seconds out;
  out.known = disk.value_or(0) > 0;
  out.s = loaded.all / (out.known ? *disk : Assumed{}.disk_bytes_per_s);
  if (loaded.copied > 0) {
    const Device* device = device_of(machine, choice.device);
    const double link = device == nullptr
                            ? 0
                            : device->bandwidth.host_copy_bytes_per_s.value_or(0);
    out = longer(out, {loaded.copied / (link > 0 ? link : Assumed{}.link_bytes_per_s), link > 0});
    out.s += kAcceleratorSeconds;
  }
  out.s += rearranging_seconds(machine, wish, choice);
  out.s += kStartSeconds + kVocabularySeconds * wish.card->vocab;
  return out;
}

// ---- one use

struct Use {
  Seconds time;
  std::vector<std::pair<const Device*, double>> busy;  // seconds of each device at work
};

Seconds command_seconds(const Device* device, const Wish& wish) {
  if (device == nullptr || !wish.accelerated) return {Assumed{}.command_s, false};
  if (const auto seconds = sound_seconds(*device, *wish.accelerated, wish.usage.audio_s)) {
    return {*seconds, true};
  }
  const bool host = device->kind == DeviceKind::kCpu;
  const double flop = host ? Assumed{}.cpu_flop_per_s : Assumed{}.gpu_flop_per_s;
  const double read = host ? Assumed{}.cpu_bytes_per_s : Assumed{}.gpu_bytes_per_s;
  const Accelerated& work = *wish.accelerated;
  const double audio_s = wish.usage.audio_s;
  if (work.operations <= 0) return {Assumed{}.command_s * Assumed{}.gpu_flop_per_s / flop, false};
  return {audio_s * (work.operations / flop + work.sequential_bytes / read), false};
}

Use use_of(const Machine& machine, const Wish& wish, const Choice& choice) {
  Use use;
  const Device* host = machine.devices.empty() ? nullptr : &machine.devices.front();
  const auto simple = [&](double seconds, bool known) {
    use.time = {seconds, known};
    use.busy = {{host, seconds}};
    return use;
  };
  if (wish.engine == EngineKind::kMedia) return simple(wish.usage.audio_s / kMediaSpeed, false);
  if (wish.engine == EngineKind::kCommand || !wish.card) {
    const Device* there = choice.device.empty() ? host : device_of(machine, choice.device);
    const Seconds seconds = command_seconds(there, wish);
    simple(seconds.s, seconds.known);
    use.busy.front().first = there;
    return use;
  }
  if (wish.engine == EngineKind::kWhisper) {
    const std::string device = choice.resident > 0 ? choice.device : kHost;
    const Seconds factor = whisper_seconds(machine, wish, device);
    simple(factor.s * wish.usage.audio_s, factor.known);
    if (const Device* found = device_of(machine, device)) use.busy.front().first = found;
    return use;
  }
  const Model model(machine, wish, choice);
  const Tokens tokens = tokens_of(wish);
  use.time = model.prompt(tokens.prompt);
  // A queue's sequences share each pass.
  Pass pass = middle_token(wish);
  const double shared = wish.latency == Latency::kBatch ? std::max(wish.parallel, 1U) : 1;
  pass.tokens = pass.answers = shared;
  if (!is_encoder(wish) && !wish.embeddings) {
    const Seconds token = model.once(pass);
    use.time += {token.s * tokens.output / shared, token.known};
  }
  const Seconds prompt_pass = model.once({tokens.prompt, 0, 1});
  for (size_t i = 0; i < model.parts().size(); ++i) {
    // Parts follow each other: each is at work for its share of the time.
    const double share =
        prompt_pass.s > 0 ? model.part(i, {tokens.prompt, 0, 1}).s / prompt_pass.s : 1;
    use.busy.emplace_back(device_of(machine, model.parts()[i].device), share * use.time.s);
  }
  return use;
}

// At its limit where that is known: what works hard draws that, or a little less.
std::optional<double> watts(const Device* device) {
  if (device == nullptr) return std::nullopt;
  return device->power_limit_w ? device->power_limit_w : device->power_w;
}

Seconds joules_of(const Use& use) {
  Seconds sum;
  sum.known = use.time.known;
  for (const auto& [device, seconds] : use.busy) {
    const std::optional<double> power = watts(device);
    const bool gpu = device != nullptr && device->kind != DeviceKind::kCpu;
    sum += {seconds * power.value_or(gpu ? Assumed{}.gpu_w : Assumed{}.cpu_w), power.has_value()};
  }
  return sum;
}

std::optional<double> per_second(double tokens, const Seconds& seconds) {
  if (!seconds.known || seconds.s <= 0) return std::nullopt;
  return tokens / seconds.s;
}

std::optional<double> if_known(const Seconds& value) {
  return value.known ? std::optional<double>(value.s) : std::nullopt;
}

}  // namespace

Speed predict_speed(const Machine& machine, const Wish& wish, const Choice& choice) {
  Speed speed;
  if (!wish.card) {
    if (wish.accelerated) {
      const Seconds sound = use_of(machine, wish, choice).time;
      speed.real_time = if_known({sound.s / std::max(wish.usage.audio_s, 1.0), sound.known});
    }
    return speed;
  }
  speed.load_s = if_known(loading(machine, wish, choice));
  const Use use = use_of(machine, wish, choice);
  speed.joules = if_known(joules_of(use));
  if (wish.engine == EngineKind::kWhisper) {
    const Seconds factor =
        whisper_seconds(machine, wish, choice.resident > 0 ? choice.device : kHost);
    speed.real_time = if_known(factor);
    return speed;
  }
  const Model model(machine, wish, choice);
  const Tokens tokens = tokens_of(wish);
  speed.prefill = per_second(tokens.prompt, model.prompt(tokens.prompt));
  if (!is_encoder(wish)) speed.decode = per_second(1, model.once(middle_token(wish)));
  return speed;
}

double use_seconds(const Machine& machine, const Wish& wish, const Choice& choice) {
  return use_of(machine, wish, choice).time.s;
}

double load_seconds(const Machine& machine, const Wish& wish, const Choice& choice) {
  return loading(machine, wish, choice).s;
}

double use_joules(const Machine& machine, const Wish& wish, const Choice& choice) {
  return joules_of(use_of(machine, wish, choice)).s;
}

std::optional<double> sound_seconds(const Device& device, const Accelerated& work, double audio_s) {
  const auto rate = std::ranges::find(device.rates, "F32", &Rate::quantisation);
  if (rate == device.rates.end() || work.operations <= 0) return std::nullopt;
  if (rate->prefill_flop_per_s <= 0 || rate->decode_bytes_per_s <= 0) return std::nullopt;
  // What it holds is read once at least.
  const double read = static_cast<double>(work.device.n) + audio_s * work.sequential_bytes;
  return audio_s * work.operations / rate->prefill_flop_per_s + read / rate->decode_bytes_per_s;
}

AtOnce at_once(const Machine& machine, const Wish& wish, const Choice& choice) {
  const Model model(machine, wish, choice);
  const Pass token = middle_token(wish);
  AtOnce out;
  out.link_bytes_per_s = link_between(machine, choice.splits).value_or(0);
  out.link_s = model.waiting(token.tokens).s;
  out.saved_s = model.in_turn(token).s - model.at_once(token).s;
  return out;
}

}  // namespace gantry
