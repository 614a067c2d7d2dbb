// The scheduler's own records, shared by scheduler.cc (the line) and keeper.cc (the workers).
#pragma once

#include <map>
#include <optional>

#include "base/sync.h"
#include "foreman/scheduler.h"

namespace gantry {

// A device that is not used for a model for some time.
struct Shun {
  uint32_t times = 0;
  Millis until{0};
};

// A model that was asked for at least once. Kept for good, so that its place in the line and its
// history stay; their number is limited by kModelsMax.
struct Scheduler::Model {
  Loadable loadable;             // replaced only while unloaded
  std::optional<Loadable> next;  // what takes its place then: the file or its settings changed
  ModelState state = ModelState::kUnloaded;
  Instance* current = nullptr;  // unless unloaded
  uint64_t last_served = 0;
  bool draining = false;
  uint64_t grown = 0;
  uint32_t falls = 0;           // starts in a row that ended badly
  Millis rests_until{0};        // not started before
  bool rested_at_dispatch = false;
  std::map<std::string, Shun> shunned;  // by device: it failed this model there
  uint64_t fallbacks = 0;       // loads elsewhere because of that
  std::optional<Error> last_error;
};

// A worker that says why we ended it, and not by which signal.
class Scheduler::KeptWorker final : public Worker {
 public:
  explicit KeptWorker(std::unique_ptr<Worker> worker) : worker_(std::move(worker)) {}
  int pid() const override { return worker_->pid(); }
  [[nodiscard]] Result<void> ready(const http::Cancel& cancel) override {
    return worker_->ready(cancel);
  }
  const http::Address& address() const override { return worker_->address(); }
  [[nodiscard]] Result<std::vector<Segment>> transcribe(
      const Hearing& hearing, const http::Cancel& cancel,
      const std::function<void(const Segment&, Progress)>& on_segment) override {
    Result<std::vector<Segment>> heard = worker_->transcribe(hearing, cancel, on_segment);
    if (!heard && verdict()) return fail(*verdict());
    return heard;
  }
  std::vector<EncoderChange> encoder_changes() const override {
    return worker_->encoder_changes();
  }
  [[nodiscard]] Result<void> alive() override {
    if (const std::optional<Error> why = verdict()) return fail(*why);
    return worker_->alive();
  }
  [[nodiscard]] Result<std::vector<SpeakerTurn>> diarize(
      const std::string& wav, const SpeakerWish& wish, const http::Cancel& cancel,
      const std::function<void(Progress)>& on_progress) override {
    Result<std::vector<SpeakerTurn>> turns = worker_->diarize(wav, wish, cancel, on_progress);
    if (!turns && verdict()) return fail(*verdict());
    return turns;
  }
  [[nodiscard]] Result<void> speak(
      const Utterance& utterance, const http::Cancel& cancel,
      const std::function<bool(std::string_view)>& on_pcm) override {
    Result<void> spoken = worker_->speak(utterance, cancel, on_pcm);
    if (!spoken && verdict()) return fail(*verdict());
    return spoken;
  }
  uint32_t sound_rate() const override { return worker_->sound_rate(); }
  void stop() override { worker_->stop(); }
  std::optional<StreamCounters> stream_counters() const override {
    return worker_->stream_counters();
  }
  void condemn(const Error& why) {
    const std::lock_guard lock(mutex_);
    verdict_ = why;
  }

 private:
  std::optional<Error> verdict() {
    const std::lock_guard lock(mutex_);
    return verdict_;
  }
  std::unique_ptr<Worker> worker_;
  Mutex mutex_;
  std::optional<Error> verdict_;
};

// One start of a model: its worker from the first byte booked to the last one back. Lives on while
// a session refers to it, even when the worker is long dead.
struct Scheduler::Instance {
  Model* model = nullptr;
  Token token = 0;
  Probe probe;
  http::Cancel cancel{false};  // ends a load early

  // Of the keeper; others read them once the state is kReady.
  std::unique_ptr<KeptWorker> worker;
  std::unique_ptr<Cgroup> cgroup;
  double load_s = 0;
  LoadSeen seen;                      // its row of the history
  std::vector<LiveDevice> before;     // of accelerators, before it was started
  std::atomic<bool> grown{false};     // set by the sampler: it passed its lease
  bool growth_handled = false;
  std::atomic<bool> was_ready{false};
  Millis ready_at{0};
  Millis cpu_seen{0}, cpu_moved_at{0}, cpu_looked_at{0};  // of the keeper: whether it does anything
  LoadEnd end = LoadEnd::kUnloaded;
  Mutex asking;  // Worker::alive, one caller at a time
  [[nodiscard]] Result<void> alive() {
    const std::lock_guard lock(asking);
    return worker->alive();
  }

  // Under the scheduler's mutex.
  std::atomic<int> pid{0};
  uint32_t sessions = 0;
  uint32_t jobs = 0;  // of the sessions
  uint32_t served = 0;
  Bytes booked_more;            // of host memory, beyond its lease
  std::string waits;            // for what, while it loads
  uint64_t tokens = 0;          // decoded, as its users told
  double decode_s = 0;
  Millis idle_since{0};
  uint64_t ready_mark = 0;      // requests up to this arrival waited for the load
  bool stop = false;            // the keeper shall put it away
  std::optional<Error> death;   // the worker ended by itself
  bool finished = false;        // the keeper's last word
  Thread keeper;
};

struct Scheduler::Request {
  Waiter waiter;
  Model* model = nullptr;       // absent: bytes alone
  Instance* served = nullptr;   // with a session booked for it
  Token token = 0;              // of bytes alone
  const Patience* patience = nullptr;
  Millis since{0};              // in line
  std::optional<Error> error;
  bool done = false;
};

}  // namespace gantry
