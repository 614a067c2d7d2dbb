// The device that computes: memory of it, and what it can do.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "ggml-backend.h"

namespace gantry {

// Memory on the inner device (or pinned host memory beside it); freed when it goes.
class DeviceBuffer {
 public:
  DeviceBuffer() = default;
  // `pages`: of our own, that the buffer was made from; unmapped after it.
  explicit DeviceBuffer(ggml_backend_buffer_t buffer, std::span<std::byte> pages = {});
  DeviceBuffer(DeviceBuffer&& other) noexcept;
  DeviceBuffer& operator=(DeviceBuffer&& other) noexcept;
  ~DeviceBuffer();

  explicit operator bool() const { return buffer_ != nullptr; }
  ggml_backend_buffer_t get() const { return buffer_; }
  // The first address that is a multiple of kReadAlign.
  std::byte* aligned() const;
  uint64_t bytes() const;

 private:
  ggml_backend_buffer_t buffer_ = nullptr;
  std::span<std::byte> pages_;
};

struct Inner {
  ggml_backend_dev_t device = nullptr;
  ggml_backend_buffer_type_t memory = nullptr;  // its default buffer type
  ggml_backend_buffer_type_t pinned = nullptr;  // host memory that it copies from fastest; or null
  bool host = false;    // its memory is plain host memory: disk reads go straight into it
  bool serial = false;  // one thread at a time may talk to it (ggml's RPC has one socket)
  bool events = false;  // computes on by itself and can tell when it came somewhere

  // By ggml's name of it; empty: the first GPU that is neither `self` nor remote, else the CPU.
  // Looked up anew each time, since devices may be registered late. kNotFound lists what there is.
  [[nodiscard]] static Result<Inner> find(const std::string& name, ggml_backend_reg_t self);

  // kDoesNotFit when the device has no room.
  [[nodiscard]] Result<DeviceBuffer> allocate(uint64_t bytes) const;
  [[nodiscard]] Result<DeviceBuffer> allocate_pinned(uint64_t bytes) const;
  uint64_t alignment() const;
  // Bytes a tensor takes in its memory, padding included.
  uint64_t space(const ggml_tensor* tensor) const;
};

// Copies the shape of `from` and places it in inner memory: what inner kernels are shown instead of
// the loader's own tensor. kInternal when the device refuses the tensor.
[[nodiscard]] Result<void> place_clone(ggml_tensor& clone, const ggml_tensor* from,
                                       ggml_backend_buffer_t buffer, std::byte* data);

}  // namespace gantry
