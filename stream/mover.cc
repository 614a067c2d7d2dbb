// The thread that keeps the ring ahead of use.
#include "stream/mover.h"

#include <pthread.h>
#include <csignal>

#include <chrono>
#include <cstring>
#include <utility>

#include "base/bytes.h"
#include "ggml-backend.h"

namespace gantry {
namespace {

using Clock = std::chrono::steady_clock;

uint64_t ns_since(Clock::time_point from) {
  return static_cast<uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - from).count());
}

ggml_tensor bytes_tensor(uint64_t bytes) {
  ggml_tensor tensor = {};
  tensor.type = GGML_TYPE_I8;
  tensor.ne[0] = static_cast<int64_t>(bytes);
  tensor.ne[1] = tensor.ne[2] = tensor.ne[3] = 1;
  tensor.nb[0] = 1;
  tensor.nb[1] = tensor.nb[2] = tensor.nb[3] = bytes;
  return tensor;
}

// Signals are the program's: its own threads handle them.
void block_signals() {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
}

}  // namespace

Mover::Mover(const Inner& inner, std::vector<Piece> pieces, Ring ring,
             std::unique_ptr<Loader> loader, StatsPage& stats, Trace& trace)
    : inner_(inner),
      pieces_(std::move(pieces)),
      loader_(std::move(loader)),
      stats_(stats),
      trace_(trace),
      ring_(std::move(ring)),
      errors_(pieces_.size()) {}

Result<std::unique_ptr<Mover>> Mover::make(const Inner& inner, std::vector<Piece> pieces,
                                           uint64_t ring_bytes, std::unique_ptr<Loader> loader,
                                           StatsPage& stats, Trace& trace) {
  std::vector<uint64_t> sizes;
  for (const Piece& piece : pieces) sizes.push_back(piece.image.bytes);
  RingPlan plan = plan_ring(sizes, ring_bytes);
  if (plan.bytes == 0) {
    return fail(Code::kDoesNotFit, "a ring of " + format_bytes({ring_bytes}) +
                                       " is smaller than the largest piece that streams");
  }
  const uint64_t bytes = plan.bytes;
  std::unique_ptr<Mover> mover(new Mover(inner, std::move(pieces), Ring(sizes, std::move(plan)),
                                         std::move(loader), stats, trace));
  auto buffer = inner.allocate(bytes);
  if (!buffer) return fail(buffer.error());
  mover->buffer_ = std::move(*buffer);
  if (const auto ok = mover->place(); !ok) return fail(ok.error());
  if (!inner.serial) mover->thread_ = std::thread([raw = mover.get()] { raw->run(); });
  return mover;
}

Mover::~Mover() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  work_.notify_all();
  loader_->wake();
  if (thread_.joinable()) thread_.join();
  loader_.reset();  // waits for reads into buffer_, which is freed first
}

Result<void> Mover::place() {
  std::byte* base = buffer_.aligned();
  for (size_t p = 0; p < pieces_.size(); p++) {
    Piece& piece = pieces_[p];
    for (size_t i = 0; i < piece.weights.size(); i++) {
      Weight& weight = *piece.weights[i];
      std::byte* at = base + ring_.at(p) + piece.image.at[i];
      const auto placed = place_clone(weight.clone, weight.tensor, buffer_.get(), at);
      if (!placed) return placed;
      const Part& part = piece.parts[i];
      if (inner_.host || part.space <= part.bytes) continue;
      const ggml_tensor padding = bytes_tensor(part.space - part.bytes);
      const auto padded = place_clone(piece.paddings.emplace_back(), &padding, buffer_.get(),
                                      at + part.bytes);
      if (!padded) return padded;
    }
  }
  return {};
}

void Mover::begin(size_t index) {
  const Piece& piece = pieces_[index];
  LoadJob job;
  job.tag = index;
  job.parts = &piece.parts;
  job.image = &piece.image;
  job.name = piece.name.c_str();
  std::byte* base = buffer_.aligned() + ring_.at(index);
  if (inner_.host) {
    job.direct = base;
    job.sink = [base, &piece](size_t part, uint64_t offset, const std::byte* data, size_t bytes) {
      std::memcpy(base + piece.image.at[part] + offset, data, bytes);
    };
  } else {
    for (ggml_tensor& padding : pieces_[index].paddings) {
      const std::vector<std::byte> zeros(ggml_nbytes(&padding));
      ggml_backend_tensor_set(&padding, zeros.data(), 0, zeros.size());
    }
    job.sink = [this, &piece](size_t part, uint64_t offset, const std::byte* data, size_t bytes) {
      const auto from = Clock::now();
      ggml_backend_tensor_set(&piece.weights[part]->clone, data, offset, bytes);
      stats_.copy_bytes += bytes;
      stats_.copy_ns += ns_since(from);
      if (trace_.on()) trace_.add(TraceRow::kCopy, piece.name, from, Clock::now(), bytes);
    };
  }
  loader_->begin(std::move(job));
}

void Mover::finish(const LoadDone& done) {
  const auto piece = static_cast<size_t>(done.tag);
  if (done.result) {
    ring_.loaded(piece);
    errors_[piece].reset();
    stats_.pieces_loaded++;
    uint64_t bytes = 0;
    for (const Part& part : pieces_[piece].parts) bytes += part.bytes;
    stats_.per_layer[std::min<uint32_t>(pieces_[piece].layer, kStatsLayersMax - 1)].loaded_bytes +=
        bytes;
  } else {
    ring_.failed(piece);
    errors_[piece] = done.result.error();
    paused_ = true;
    stats_.errors++;
  }
  moved_.notify_all();
}

void Mover::run() {
  block_signals();
  std::unique_lock lock(mutex_);
  while (!stop_) {
    std::optional<size_t> next;
    if (!paused_) next = ring_.next_load();
    if (next) {
      lock.unlock();
      begin(*next);
      lock.lock();
      continue;
    }
    if (loader_->idle()) {
      work_.wait(lock);
      continue;
    }
    lock.unlock();
    const auto done = loader_->step(std::chrono::milliseconds{200});
    lock.lock();
    if (done) finish(*done);
  }
}

// Without a thread: one piece, now.
void Mover::load_inline() {
  const auto next = ring_.next_load();
  if (!next) return;
  begin(*next);
  for (;;) {
    if (const auto done = loader_->step(std::chrono::seconds{1})) {
      finish(*done);
      return;
    }
  }
}

void Mover::wake_locked() {
  work_.notify_all();
  loader_->wake();
}

bool Mover::take(size_t piece) {
  const std::lock_guard lock(mutex_);
  if (!ring_.ready(piece)) return false;
  ring_.acquire(piece);
  wake_locked();
  return true;
}

Result<void> Mover::wait(size_t piece) {
  std::unique_lock lock(mutex_);
  errors_[piece].reset();
  paused_ = false;
  if (ring_.acquire(piece)) return {};
  const auto from = Clock::now();
  Result<void> result;
  for (;;) {
    if (inner_.serial) {
      load_inline();
    } else {
      paused_ = false;  // another piece's load may have failed meanwhile
      wake_locked();
      moved_.wait(lock);
    }
    if (errors_[piece]) {
      result = fail(*errors_[piece]);
      break;
    }
    if (ring_.acquire(piece)) break;
  }
  const uint64_t waited = ns_since(from);
  const uint32_t layer = std::min(pieces_[piece].layer, kStatsLayersMax - 1);
  stats_.stall_ns += waited;
  stats_.per_layer[layer].stall_ns += waited;
  stats_.skips = ring_.skips();
  if (trace_.on()) trace_.add(TraceRow::kStall, pieces_[piece].name, from, Clock::now(), 0);
  return result;
}

void Mover::rewrite(size_t piece, const std::function<void()>& change) {
  std::unique_lock lock(mutex_);
  moved_.wait(lock, [&] { return !ring_.loading(piece); });
  change();
  ring_.invalidate(piece);
  wake_locked();
}

void Mover::set_order(std::vector<size_t> order) {
  const std::lock_guard lock(mutex_);
  if (order == ring_.order()) return;
  ring_.set_order(std::move(order));
  wake_locked();
}

void Mover::release(size_t piece) {
  const std::lock_guard lock(mutex_);
  ring_.release(piece);
  wake_locked();
}

}  // namespace gantry
