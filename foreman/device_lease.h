// A device, or a part of one, for a program that is not ours.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/bytes.h"

namespace gantry {

// What a program of the user's wants of a device while it runs.
struct LeaseWish {
  std::string device;
  Bytes bytes;
  bool whole = false;  // nobody else on the device
  std::string program;
  int pid = 0;  // who holds it: until this process has ended
  int priority = 0;
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

}  // namespace gantry
