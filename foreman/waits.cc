// The line in front of some models, and whether one more could be loaded.
#include <algorithm>

#include "config/choice_keys.h"
#include "foreman/instance.h"

namespace gantry {

LineWaits Scheduler::waits(const std::vector<std::string>& names) {
  const std::lock_guard lock(mutex_);
  const Millis now = options_.clock->steady();
  const auto named = [&](const Model& model) {
    const std::string name = member_model(model.loadable.name);
    return std::ranges::any_of(names, [&](const std::string& member) {
      return member_model(member) == name;
    });
  };
  LineWaits out;
  for (const std::unique_ptr<Model>& model : models_) {
    const bool lent = model->current != nullptr && model->current->sessions > 0;
    out.used = out.used || (lent && named(*model));
  }
  for (const Request* request : line_) {
    if (request->model == nullptr || !named(*request->model)) continue;
    out.used = true;
    const Model& model = *request->model;
    Millis since = request->since;
    if (model.state == ModelState::kLoading) {
      if (model.current->waits.empty()) continue;
      out.starved = std::max(out.starved, now - since);
    } else {
      if (model.state == ModelState::kReady) since = std::max(since, model.current->ready_at);
      out.busy = std::max(out.busy, now - since);
    }
    out.waiting = true;
  }
  return out;
}

bool Scheduler::has_memory(const Loadable& model) {
  if (options_.live == nullptr || loaded(model.name)) return true;
  std::vector<std::string> devices;
  for (const Share& share : model.shares) devices.push_back(share.device);
  const std::vector<LiveDevice> live = options_.live->look(devices);
  const std::lock_guard lock(mutex_);
  return std::ranges::all_of(live, [&](const LiveDevice& device) {
    Bytes room = device.free - promised_elsewhere_locked(device);
    for (const std::unique_ptr<Instance>& instance : instances_) {
      if (instance->finished) continue;
      const Bytes booked = on_device(instance->model->loadable.shares, device.device);
      // What ours hold would be free once they have left; what they have not taken yet is not.
      const Bytes held = device.device == "cpu" ? instance->probe.now()
                         : instance->was_ready  ? booked
                                                : Bytes{};
      const bool leaves = instance->was_ready && instance->sessions == 0;
      if (leaves) room += held;
      else room = room - (booked - held);
    }
    return on_device(model.shares, device.device) <= room;
  });
}

}  // namespace gantry
