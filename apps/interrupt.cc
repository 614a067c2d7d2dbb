// Signals by sigwait: no handler, no global.
#include "apps/interrupt.h"

#include <signal.h>
#include <unistd.h>

#include <csignal>

namespace gantry {

namespace {

sigset_t watched() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGUSR2);  // finish(): wakes the waiting thread
  return set;
}

}  // namespace

Interrupt::Interrupt() {
  const sigset_t set = watched();
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  thread_ = std::thread([this] {
    const sigset_t waited = watched();
    for (int got = 0; ::sigwait(&waited, &got) == 0;) {
      if (ending_) return;
      if (got == SIGUSR2) continue;
      if (flag_) ::_exit(128 + got);  // a second one: now
      signal_ = got;
      flag_ = true;
      flag_.notify_all();
    }
  });
}

Interrupt::~Interrupt() { finish(); }

void Interrupt::wait() { flag_.wait(false); }

void Interrupt::finish() {
  if (!thread_.joinable()) return;
  ending_ = true;
  ::pthread_kill(thread_.native_handle(), SIGUSR2);
  thread_.join();
  flag_ = true;
  flag_.notify_all();
}

}  // namespace gantry
