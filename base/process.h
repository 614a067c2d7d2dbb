// Starting a child for certain: own process group, dies with us, nothing of ours leaks into it.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>

#include "base/os.h"

namespace gantry {

// PR_SET_PDEATHSIG fires when the *thread* that forked ends, not the process. So all children are
// forked on one thread that lives as long as this object: destroy it last.
class Spawner {
 public:
  Spawner();
  ~Spawner();
  Spawner(const Spawner&) = delete;
  Spawner& operator=(const Spawner&) = delete;

  // Any thread. kNotFound when the program is not there, with its name.
  [[nodiscard]] Result<std::unique_ptr<Process>> spawn(const ProcessSpec& spec);

 private:
  struct Order;
  void run();

  std::mutex mutex_;
  std::condition_variable changed_;
  Order* order_ = nullptr;  // one at a time
  bool ending_ = false;
  std::thread thread_;
};

// True for names that smell of a secret (KEY, TOKEN, SECRET, PASSWORD): kept from children that
// are not detached.
bool is_secret_variable(std::string_view name);

}  // namespace gantry
