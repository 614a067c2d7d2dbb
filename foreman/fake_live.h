// For tests: what is free, as the test says.
#pragma once

#include <algorithm>

#include "base/sync.h"
#include "foreman/live.h"

namespace gantry {

// Thread-safe.
class FakeLive final : public Live {
 public:
  void set(const std::string& device, Bytes free, std::vector<Holder> holders = {}) {
    const std::lock_guard lock(mutex_);
    std::erase_if(now_, [&](const LiveDevice& old) { return old.device == device; });
    now_.push_back({device, free, std::move(holders)});
  }
  // A device that was set before, and how it is besides.
  void feel(const std::string& device, bool hot, std::optional<double> temperature_c,
            double stalled) {
    const std::lock_guard lock(mutex_);
    for (LiveDevice& known : now_) {
      if (known.device != device) continue;
      known.hot = hot;
      known.temperature_c = temperature_c;
      known.stalled = stalled;
    }
  }
  // Who holds host memory: not asked for when `ours` has it.
  void hold(const Holder& holder) {
    const std::lock_guard lock(mutex_);
    holder_ = holder;
  }
  int looks() {
    const std::lock_guard lock(mutex_);
    return looks_;
  }

  std::vector<LiveDevice> look(const std::vector<std::string>& devices) override {
    const std::lock_guard lock(mutex_);
    ++looks_;
    std::vector<LiveDevice> found;
    for (const LiveDevice& device : now_) {
      if (std::ranges::find(devices, device.device) != devices.end()) found.push_back(device);
    }
    return found;
  }
  std::optional<Holder> largest_holder(const std::set<int>& ours) override {
    const std::lock_guard lock(mutex_);
    return holder_ && !ours.contains(holder_->pid) ? holder_ : std::nullopt;
  }

 private:
  Mutex mutex_;
  std::vector<LiveDevice> now_;
  std::optional<Holder> holder_;
  int looks_ = 0;
};

}  // namespace gantry
