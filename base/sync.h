// Threads, locks and waiting by names of ours, for the rooms whose interleavings are tested: they
// are the standard's, except where lab/sim builds the same sources against threads that a seed
// schedules and a clock that jumps (it gives these names first and defines GANTRY_SIMULATED).
#pragma once

#ifndef GANTRY_SIMULATED

#include <condition_variable>
#include <mutex>
#include <thread>

namespace gantry {

using Mutex = std::mutex;
using CondVar = std::condition_variable;
using Thread = std::thread;

inline Thread::id this_thread_id() { return std::this_thread::get_id(); }

}  // namespace gantry

#endif
