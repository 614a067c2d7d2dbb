// Finding the inner device, and memory on it.
#include "stream/inner.h"

#include <sys/mman.h>

#include <cstdint>
#include <string_view>
#include <utility>

#include "base/bytes.h"
#include "ggml-backend-impl.h"
#include "ggml.h"
#include "stream/reader.h"

namespace gantry {
namespace {

constexpr uint64_t kHugePage = 2ull << 20;

// Plain memory on large pages: the disk reads into it at twice the speed, and matrix products miss
// the TLB less.
DeviceBuffer huge(ggml_backend_dev_t device, uint64_t bytes) {
  const uint64_t size = (bytes + kReadAlign - 1) / kReadAlign * kReadAlign;
  void* at = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED) return {};
  const std::span pages(static_cast<std::byte*>(at), size);
  if (size >= kHugePage) prefer_huge_pages(pages.data(), size);
  DeviceBuffer buffer(ggml_backend_dev_buffer_from_host_ptr(device, at, size, size), pages);
  return buffer ? std::move(buffer) : DeviceBuffer();
}

}  // namespace

DeviceBuffer::DeviceBuffer(ggml_backend_buffer_t buffer, std::span<std::byte> pages)
    : buffer_(buffer), pages_(pages) {}

DeviceBuffer::DeviceBuffer(DeviceBuffer&& other) noexcept
    : buffer_(std::exchange(other.buffer_, nullptr)), pages_(std::exchange(other.pages_, {})) {}

DeviceBuffer& DeviceBuffer::operator=(DeviceBuffer&& other) noexcept {
  std::swap(buffer_, other.buffer_);
  std::swap(pages_, other.pages_);
  return *this;
}

DeviceBuffer::~DeviceBuffer() {
  if (buffer_ != nullptr) ggml_backend_buffer_free(buffer_);
  if (!pages_.empty()) munmap(pages_.data(), pages_.size());
}

std::byte* DeviceBuffer::aligned() const {
  const auto base = reinterpret_cast<uintptr_t>(ggml_backend_buffer_get_base(buffer_));
  return reinterpret_cast<std::byte*>((base + kReadAlign - 1) & ~uintptr_t{kReadAlign - 1});
}

uint64_t DeviceBuffer::bytes() const {
  return buffer_ == nullptr ? 0 : ggml_backend_buffer_get_size(buffer_);
}

Result<Inner> Inner::find(const std::string& name, ggml_backend_reg_t self) {
  Inner inner;
  std::string known;
  for (size_t i = 0; i < ggml_backend_dev_count(); i++) {
    ggml_backend_dev_t device = ggml_backend_dev_get(i);
    ggml_backend_reg_t reg = ggml_backend_dev_backend_reg(device);
    if (reg == self || std::string_view(ggml_backend_reg_name(reg)) == "Gantry") continue;
    known += (known.empty() ? "" : ", ") + std::string(ggml_backend_dev_name(device));
    const bool wanted = name.empty()
                            ? ggml_backend_dev_type(device) == GGML_BACKEND_DEVICE_TYPE_GPU &&
                                  std::string_view(ggml_backend_reg_name(reg)) != "RPC"
                            : name == ggml_backend_dev_name(device);
    if (wanted && inner.device == nullptr) inner.device = device;
  }
  if (inner.device == nullptr && name.empty()) {
    inner.device = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
  }
  if (inner.device == nullptr) {
    return fail(Code::kNotFound, "no device is named \"" + name + "\"",
                known.empty() ? "ggml has loaded no device" : "there are: " + known);
  }
  inner.memory = ggml_backend_dev_buffer_type(inner.device);
  inner.host = ggml_backend_buft_is_host(inner.memory);
  inner.pinned = inner.host ? nullptr : ggml_backend_dev_host_buffer_type(inner.device);
  ggml_backend_dev_props properties = {};
  ggml_backend_dev_get_props(inner.device, &properties);
  inner.events = properties.caps.async && properties.caps.events;
  const auto reg = ggml_backend_dev_backend_reg(inner.device);
  inner.serial = std::string_view(ggml_backend_reg_name(reg)) == "RPC";
  return inner;
}

Result<DeviceBuffer> Inner::allocate(uint64_t bytes) const {
  DeviceBuffer buffer = host ? huge(device, bytes) : DeviceBuffer();
  if (!host) {
    buffer = DeviceBuffer(ggml_backend_buft_alloc_buffer(memory, bytes + kReadAlign));
  }
  if (!buffer) {
    const std::string name = ggml_backend_dev_name(device);
    return fail(Code::kDoesNotFit, name + " has no room for " + format_bytes({bytes}));
  }
  ggml_backend_buffer_set_usage(buffer.get(), GGML_BACKEND_BUFFER_USAGE_WEIGHTS);
  return buffer;
}

Result<DeviceBuffer> Inner::allocate_pinned(uint64_t bytes) const {
  DeviceBuffer buffer =
      pinned != nullptr
          ? DeviceBuffer(ggml_backend_buft_alloc_buffer(pinned, bytes + kReadAlign))
          : huge(ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU), bytes);
  if (!buffer) return fail(Code::kDoesNotFit, "no host memory for " + format_bytes({bytes}));
  return buffer;
}

uint64_t Inner::alignment() const { return ggml_backend_buft_get_alignment(memory); }

uint64_t Inner::space(const ggml_tensor* tensor) const {
  return ggml_backend_buft_get_alloc_size(memory, tensor);
}

Result<void> place_clone(ggml_tensor& clone, const ggml_tensor* from, ggml_backend_buffer_t buffer,
                         std::byte* data) {
  clone = *from;
  clone.buffer = nullptr;
  clone.data = nullptr;
  clone.extra = nullptr;
  clone.view_src = nullptr;
  clone.view_offs = 0;
  if (ggml_backend_tensor_alloc(buffer, &clone, data) != GGML_STATUS_SUCCESS) {
    return fail(Code::kInternal, std::string("the device refuses ") + from->name);
  }
  return {};
}

}  // namespace gantry
