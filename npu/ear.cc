// Turns, and the worker behind them.
#include "npu/ear.h"

#include <fmt/format.h>

#include <algorithm>

#include "model/card.h"

namespace gantry {

namespace {

constexpr Millis kLookAgain{50};  // whether the caller is still there

}  // namespace

Result<std::unique_ptr<EarModel>> EarModel::open(Os& os, const WorkerContext& context,
                                                 EarOptions options) {
  const Result<std::unique_ptr<MappedFile>> file = os.map_file(options.file);
  if (!file) return fail(file.error());
  const Result<ModelCard> card = read_card((*file)->bytes());
  if (!card) return fail(card.error());
  if (card->format != ModelFormat::kWhisper) {
    return fail(Code::kUnsupported, options.name + " recognises no speech",
                "give a whisper model, a ggml file");
  }
  std::unique_ptr<EarModel> self(new EarModel(os, context, std::move(options)));
  self->status_.name = self->options_.name;
  return self;
}

Result<void> EarModel::take_turn(uint64_t* ticket, const http::Cancel& gone) {
  std::unique_lock lock(mutex_);
  if (line_.size() >= options_.queue_max) {
    return fail(Code::kBusy, fmt::format("{} recordings for {} wait already", line_.size(),
                                         options_.name),
                "try again later");
  }
  *ticket = ++tickets_;
  line_.push_back(*ticket);
  while (line_.front() != *ticket) {
    turns_.wait_for(lock, kLookAgain);
    if (!gone) continue;
    std::erase(line_, *ticket);
    turns_.notify_all();
    return fail(Code::kCancelled, "the caller left");
  }
  return {};
}

void EarModel::end_turn(uint64_t ticket) {
  const std::lock_guard lock(mutex_);
  std::erase(line_, ticket);
  turns_.notify_all();
}

Result<void> EarModel::load(const http::Cancel& gone) {
  if (worker_ && worker_->alive()) return {};
  const bool again = worker_ != nullptr;
  {
    const std::lock_guard lock(mutex_);
    status_.pid = 0;
    if (again) ++status_.restarts;
  }
  worker_.reset();
  WorkerSpec spec;
  spec.model = options_.name;
  spec.engine = EngineKind::kWhisper;
  spec.file = options_.file;
  spec.encoder = options_.encoder;
  Result<std::unique_ptr<Worker>> started = start_worker(os_, context_, spec);
  if (!started) return fail(started.error());
  if (Result<void> ready = (*started)->ready(gone); !ready) return ready;
  worker_ = std::move(*started);
  const std::lock_guard lock(mutex_);
  status_.pid = worker_->pid();
  return {};
}

Result<std::vector<Segment>> EarModel::attempt(const std::string& wav, const http::Cancel& gone) {
  if (Result<void> loaded = load(gone); !loaded) return fail(loaded.error());
  Result<std::vector<Segment>> segments =
      worker_->transcribe({wav}, gone, [](const Segment&, Progress) {});
  if (!segments) return segments;
  const std::lock_guard lock(mutex_);
  status_.changes = worker_->encoder_changes();
  if (!segments->empty()) status_.encoder = segments->back().encoder;
  return segments;
}

Result<std::vector<Segment>> EarModel::hear(const std::string& wav, Millis length,
                                            const http::Cancel& gone) {
  uint64_t ticket = 0;
  if (Result<void> turn = take_turn(&ticket, gone); !turn) return fail(turn.error());
  Result<std::vector<Segment>> out;
  // A process that was ended meanwhile is started again, once.
  for (int tries = 0; tries < 2; ++tries) {
    out = attempt(wav, gone);
    if (out || gone || !worker_ || worker_->alive()) break;
  }
  if (out) {
    const std::lock_guard lock(mutex_);
    ++status_.recordings;
    status_.heard += length;
  }
  end_turn(ticket);
  return out;
}

EarStatus EarModel::status() const {
  const std::lock_guard lock(mutex_);
  EarStatus out = status_;
  out.waiting = static_cast<uint32_t>(line_.size());
  out.loaded = out.pid != 0 && os_.start_time(out.pid).has_value();
  if (!out.loaded) out.pid = 0;
  return out;
}

}  // namespace gantry
