// The fibers, their choice and their clock; and the names of base/sync.h on top of them.
#include "lab/sim/fibers.h"

#include <cxxabi.h>
#include <dlfcn.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <algorithm>
#include <cstdlib>

namespace gantry::sim {

namespace {

// The deepest seen is a plan inside a keeper, about 40 KiB; untouched pages cost nothing.
constexpr size_t kStack = 512 << 10;

Fibers* running = nullptr;
int bug = 0;

void* make_stack() {
  void* stack = mmap(nullptr, kStack, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (stack == MAP_FAILED) std::abort();
  (void)mprotect(stack, 4096, PROT_NONE);  // an overflow ends the process here
  return stack;
}

}  // namespace

Fibers& fibers() { return *running; }

int seeded_bug() { return bug; }
void seed_bug(int number) { bug = number; }

struct Fibers::Fiber {
  uint32_t id = 0;
  std::string name;
  std::function<void()> body;
  void* stack = nullptr;
  bool begun = false, done = false;
  bool waiting = false;         // for `on` or a time
  bool timed_out = false;
  const void* on = nullptr;
  std::string_view what;
  void* from = nullptr;
  std::optional<Millis> until;
  jmp_buf at{};
};

Fibers::Fibers(uint64_t seed, FiberOptions options) : options_(options), rng_(seed) {
  running = this;
}

Fibers::~Fibers() {
  for (void* stack : stacks_) munmap(stack, kStack);
  running = nullptr;
}

void Fibers::mix(uint64_t value) { digest_ = (digest_ ^ value) * 1099511628211ULL; }

Fibers::Fiber& Fibers::self() {
  for (const auto& fiber : fibers_) {
    if (fiber->id == current_) return *fiber;
  }
  std::abort();
}

uint32_t Fibers::start(const std::string& name, std::function<void()> body) {
  auto fiber = std::make_unique<Fiber>();
  fiber->id = next_id_++;
  fiber->name = name;
  fiber->body = std::move(body);
  if (stacks_.empty()) {
    fiber->stack = make_stack();
  } else {
    fiber->stack = stacks_.back();
    stacks_.pop_back();
  }
  const uint32_t id = fiber->id;
  fibers_.push_back(std::move(fiber));
  if (inside()) point("start");
  return id;
}

void Fibers::enter(unsigned high, unsigned low) {
  auto* fiber = reinterpret_cast<Fiber*>(uintptr_t{high} << 32 | low);
  running->live(*fiber);
}

void Fibers::live(Fiber& fiber) {
  try {
    fiber.body();
  } catch (const std::exception& e) {
    fail(fmt::format("an exception ended {}: {}", fiber.name, e.what()));
  }
  fiber.done = true;
  wake(&fiber, true);
  reschedule();
  std::abort();  // a fiber that has ended is not chosen again
}

Ending Fibers::run(const std::string& name, std::function<void()> root) {
  ending_ = Ending::kDone;
  fibers_.clear();
  start(name, std::move(root));
  if (_setjmp(main_) == 0) go(*fibers_.front());
  // What is left has been abandoned, or has ended.
  for (const auto& fiber : fibers_) stacks_.push_back(fiber->stack);
  if (ending_ == Ending::kDone) fibers_.clear();
  for (const auto& fiber : fibers_) fiber->body = nullptr;
  current_ = 0;
  crash_at_.reset();
  return ending_;
}

void Fibers::crash_after(std::optional<uint64_t> points) {
  crash_at_.reset();
  if (points) crash_at_ = points_ + *points;
}

void Fibers::leave(Ending ending) {
  ending_ = ending;
  _longjmp(main_, 1);
}

void Fibers::crash() { leave(Ending::kCrashed); }

void Fibers::fail(const std::string& why) {
  why_ = why;
  leave(Ending::kFailed);
}

void Fibers::go(Fiber& fiber) {
  current_ = fiber.id;
  if (fiber.begun) _longjmp(fiber.at, 1);
  fiber.begun = true;
  ucontext_t context;
  getcontext(&context);
  context.uc_stack.ss_sp = fiber.stack;
  context.uc_stack.ss_size = kStack;
  context.uc_link = nullptr;
  const auto address = reinterpret_cast<uintptr_t>(&fiber);
  makecontext(&context, reinterpret_cast<void (*)()>(&Fibers::enter), 2,
              static_cast<unsigned>(address >> 32), static_cast<unsigned>(address & 0xffffffffU));
  setcontext(&context);
  std::abort();
}

// Anyone who can run; where nobody can, the clock goes to the first deadline.
Fibers::Fiber* Fibers::choose() {
  for (;;) {
    uint32_t ready = 0;
    std::optional<Millis> next;
    for (const auto& fiber : fibers_) {
      if (fiber->done) continue;
      if (fiber->waiting && fiber->until && *fiber->until <= now_) {
        fiber->waiting = false;
        fiber->timed_out = true;
      }
      if (!fiber->waiting) ++ready;
      if (fiber->waiting && fiber->until && (!next || *fiber->until < *next)) next = fiber->until;
    }
    if (ready > 0) {
      uint64_t nth = rng_.below(ready);
      for (const auto& fiber : fibers_) {
        if (!fiber->done && !fiber->waiting && nth-- == 0) return fiber.get();
      }
    }
    if (!next) return nullptr;
    now_ = *next;
  }
}

void Fibers::reschedule() {
  Fiber& me = self();
  Fiber* next = choose();
  if (next == nullptr) {
    const bool all_done = std::ranges::all_of(fibers_, [](const auto& f) { return f->done; });
    if (all_done) leave(Ending::kDone);
    why_ = "everybody waits, and nobody for a time:\n" + standing();
    leave(Ending::kDeadlock);
  }
  if (next == &me) return;
  ++switches_;
  mix(next->id * 1000003ULL + static_cast<uint64_t>(now_.count()));
  if (_setjmp(me.at) == 0) go(*next);
  // Those that ended meanwhile are not needed any more.
  for (auto at = fibers_.begin(); at != fibers_.end();) {
    if ((*at)->done) {
      stacks_.push_back((*at)->stack);
      at = fibers_.erase(at);
    } else {
      ++at;
    }
  }
}

void Fibers::count() {
  ++points_;
  if (crash_at_ && points_ >= *crash_at_) leave(Ending::kCrashed);
  if (points_ <= options_.points_max) return;
  why_ = fmt::format("more than {} points:\n{}", options_.points_max, standing());
  leave(Ending::kEndless);
}

void Fibers::point(std::string_view what) {
  if (!inside()) return;
  for (const char c : what.substr(0, 4)) mix(static_cast<uint8_t>(c));
  count();
  if (options_.lag_odds > 0 && one_in(options_.lag_odds)) {
    now_ += Millis(1 + static_cast<int64_t>(
                           rng_.below(static_cast<uint64_t>(options_.lag_max.count()))));
  }
  if (one_in(options_.switch_odds)) reschedule();
}

bool Fibers::block(const void* on, std::string_view what, std::optional<Millis> until,
                   void* from) {
  if (on != nullptr && what == "condition" && one_in(options_.spurious_odds)) {
    point("spurious");
    return true;
  }
  Fiber& me = self();
  me.waiting = true;
  me.timed_out = false;
  me.on = on;
  me.what = what;
  me.until = until;
  me.from = from;
  count();
  reschedule();
  me.on = nullptr;
  return !me.timed_out;
}

void Fibers::wake(const void* on, bool all) {
  uint32_t waiting = 0;
  for (const auto& fiber : fibers_) {
    if (fiber->waiting && fiber->on == on) ++waiting;
  }
  if (waiting == 0) return;
  const uint64_t chosen = all ? 0 : rng_.below(waiting);
  uint64_t nth = 0;
  for (const auto& fiber : fibers_) {
    if (!fiber->waiting || fiber->on != on) continue;
    if (all || nth == chosen) fiber->waiting = false;
    ++nth;
  }
}

void Fibers::sleep(Millis time) { block(nullptr, "sleep", now_ + time, nullptr); }

void Fibers::join(uint32_t id) {
  for (;;) {
    const auto fiber = std::ranges::find(fibers_, id, &Fiber::id);
    if (fiber == fibers_.end() || (*fiber)->done) return;
    block(fiber->get(), "join", std::nullopt, __builtin_return_address(0));
  }
}

size_t Fibers::alive() const {
  const auto ended = [](const auto& fiber) { return fiber->done; };
  return fibers_.size() - static_cast<size_t>(std::ranges::count_if(fibers_, ended));
}

std::string Fibers::call_site(void* address) const {
  Dl_info info{};
  if (address == nullptr || dladdr(address, &info) == 0 || info.dli_sname == nullptr) return "";
  int status = 0;
  char* name = abi::__cxa_demangle(info.dli_sname, nullptr, nullptr, &status);
  std::string text = status == 0 ? name : info.dli_sname;
  std::free(name);
  return " in " + text.substr(0, text.find('('));
}

std::string Fibers::standing() const {
  std::string text;
  for (const auto& fiber : fibers_) {
    if (fiber->done) continue;
    text += fmt::format("  {} ({}): {}{}{}\n", fiber->name, fiber->id,
                        fiber->waiting ? fiber->what : "could run", call_site(fiber->from),
                        fiber->waiting && fiber->until
                            ? fmt::format(" until {} ms", fiber->until->count()) : "");
  }
  return text;
}

}  // namespace gantry::sim

namespace gantry {

using sim::fibers;

void Mutex::lock() {
  fibers().point("lock");
  while (owner_ != 0) {
    if (owner_ == fibers().current()) fibers().fail("a mutex is locked twice by one thread");
    fibers().block(this, "mutex", std::nullopt, __builtin_return_address(0));
  }
  owner_ = fibers().current();
}

// No point: unlocking and beginning to wait are one step, so that no notification falls between.
void Mutex::release() {
  if (owner_ != fibers().current()) fibers().fail("a mutex is unlocked by who has not locked it");
  owner_ = 0;
  fibers().wake(this, true);
}

void Mutex::unlock() {
  release();
  fibers().point("unlock");
}

void CondVar::notify_one() {
  fibers().wake(this, false);
  fibers().point("notify");
}

void CondVar::notify_all() {
  fibers().wake(this, true);
  fibers().point("notify");
}

void CondVar::wait(std::unique_lock<Mutex>& lock) {
  lock.mutex()->release();
  fibers().block(this, "condition", std::nullopt, __builtin_return_address(0));
  lock.mutex()->lock();
}

Millis CondVar::deadline(Millis from_now) { return fibers().now() + from_now; }

std::cv_status CondVar::wait_until(std::unique_lock<Mutex>& lock, Millis until) {
  lock.mutex()->release();
  const bool woken = fibers().block(this, "condition", until, __builtin_return_address(0));
  lock.mutex()->lock();
  return woken ? std::cv_status::no_timeout : std::cv_status::timeout;
}

Thread::Thread(std::function<void()> body)
    : id_(fibers().start("thread", std::move(body))) {}

Thread& Thread::operator=(Thread&& other) noexcept {
  if (joinable()) fibers().fail("a thread that runs is assigned to");
  id_ = std::exchange(other.id_, 0);
  return *this;
}

Thread::~Thread() {
  if (joinable() && fibers().inside()) fibers().fail("a thread is destroyed before it was joined");
}

void Thread::join() {
  fibers().join(id_);
  id_ = 0;
}

Thread::id this_thread_id() { return fibers().current(); }

bool sim_bug(int number) { return sim::seeded_bug() == number; }

}  // namespace gantry
