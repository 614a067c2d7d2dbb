// SIGINT and SIGTERM as a flag that long calls look at. Make it first in main: it blocks the
// signals for all threads and waits for them on one of its own.
#pragma once

#include <thread>

#include "http/http.h"

namespace gantry {

class Interrupt {
 public:
  Interrupt();
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  const http::Cancel& flag() const { return flag_; }
  int signal() const { return signal_; }  // 0 until one came
  // Blocks until a signal comes or finish() is called.
  void wait();
  void finish();

 private:
  http::Cancel flag_{false};
  std::atomic<int> signal_{0};
  std::atomic<bool> ending_{false};
  std::thread thread_;
};

// Exit status of a program that a signal ended: 128 + signal.
constexpr int kInterrupted = 130;

}  // namespace gantry
