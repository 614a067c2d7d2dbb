// A device, or a part of one, for a program that is not ours.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"

namespace gantry {

// What a program of the user's wants of a device while it runs.
struct LeaseWish {
  std::string device;
  Bytes bytes;
  bool whole = false;  // nobody else on the device
  std::string program;
  int pid = 0;  // who holds it: until this process has ended
  int priority = 0;
  Millis limit{0};  // then it is told to end, and ended; 0: none
};

// Bytes of a device that nobody else is given until this is destroyed and the holder has ended.
class DeviceLease {
 public:
  virtual ~DeviceLease() = default;
  virtual int64_t token() const = 0;
  virtual Bytes bytes() const = 0;
  // What makes programs use this device and no other: CUDA_VISIBLE_DEVICES and the like.
  virtual const std::vector<std::pair<std::string, std::string>>& environment() const = 0;
};

// What is held of one device, and by whom.
struct LeaseStatus {
  int64_t token = 0;
  std::string holder;  // model, decoder or program
  bool program = false;
  int pid = 0;
  std::string device;
  Bytes bytes;
  bool whole = false;
  WallTime since{}, heartbeat{};  // heartbeat: when the holder was last seen alive
  std::optional<WallTime> deadline;
  std::optional<uint32_t> uid;  // the user's whose other daemon or program gave it
};

}  // namespace gantry
