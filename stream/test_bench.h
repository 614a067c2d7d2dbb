// For tests: the real CPU backend, a folder of one's own, and files of bytes that tell their place.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "ggml-backend-impl.h"
#include "stream/inner.h"
#include "stream/layout.h"
#include "stream/reader.h"

namespace gantry {

class TestFolder {
 public:
  TestFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "gantry-XXXXXX").string();
    if (::mkdtemp(name.data()) != nullptr) path_ = name;
  }
  ~TestFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TestFolder(const TestFolder&) = delete;
  TestFolder& operator=(const TestFolder&) = delete;
  std::string file(const std::string& name) const { return path_ + "/" + name; }
  std::string write(const std::string& name, std::string_view bytes) const {
    std::ofstream(file(name), std::ios::binary) << bytes;
    return file(name);
  }

 private:
  std::string path_;
};

inline std::string slurp(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// The CPU, as ggml's own backend drives it; one thread, so that tests do not fight for processors.
inline Inner cpu_inner() {
  if (ggml_backend_dev_count() == 0) ggml_backend_load_all_from_path(GANTRY_ENGINE_DIR);
  const auto inner = Inner::find("CPU", nullptr);
  if (!inner) {
    ADD_FAILURE() << describe(inner.error());
    std::abort();
  }
  return *inner;
}

inline ggml_backend_t cpu_backend(const Inner& inner) {
  ggml_backend_t backend = ggml_backend_dev_init(inner.device, nullptr);
  const auto set = reinterpret_cast<ggml_backend_set_n_threads_t>(ggml_backend_reg_get_proc_address(
      ggml_backend_dev_backend_reg(inner.device), "ggml_backend_set_n_threads"));
  set(backend, 1);
  return backend;
}

// Memory of the CPU's that is said to be a device's own: staged copies, no computing by the host.
class RemoteMemory {
 public:
  explicit RemoteMemory(const Inner& cpu) : plain_(cpu.memory), type_(*cpu.memory) {
    type_.context = this;
    type_.iface.is_host = [](ggml_backend_buffer_type_t) { return false; };
    type_.iface.alloc_buffer = [](ggml_backend_buffer_type_t self, size_t bytes) {
      auto& memory = *static_cast<RemoteMemory*>(self->context);
      if (bytes > memory.most) return ggml_backend_buffer_t{nullptr};
      ggml_backend_buffer_t buffer = ggml_backend_buft_alloc_buffer(memory.plain_, bytes);
      buffer->buft = self;
      return buffer;
    };
  }
  RemoteMemory(const RemoteMemory&) = delete;
  Inner inner(const Inner& cpu, bool serial) {
    Inner out = cpu;
    out.memory = &type_;
    out.host = false;
    out.serial = serial;
    return out;
  }
  uint64_t most = UINT64_MAX;  // larger buffers are refused

 private:
  ggml_backend_buffer_type_t plain_;
  ggml_backend_buffer_type type_;
};

// The byte of every test file at an offset: no two pages alike.
inline std::byte byte_at(uint64_t offset) {
  const uint64_t mixed = (offset / 8 + 1) * 0x9E3779B97F4A7C15ull;
  return static_cast<std::byte>((mixed >> (offset % 8 * 8)) & 0xFF);
}

inline std::string patterned(uint64_t bytes) {
  std::string out(bytes, '\0');
  for (uint64_t i = 0; i < bytes; i++) out[i] = static_cast<char>(byte_at(i));
  return out;
}

inline bool holds(const std::byte* data, uint64_t offset, uint64_t bytes) {
  for (uint64_t i = 0; i < bytes; i++) {
    if (data[i] != byte_at(offset + i)) return false;
  }
  return true;
}

inline Part part_at(uint64_t offset, uint64_t bytes, int file = 0) {
  return Part{{file, offset, nullptr}, bytes, bytes};
}

// Memory at an aligned address, filled with what no test file has much of.
class AlignedMemory {
 public:
  explicit AlignedMemory(uint64_t bytes)
      : bytes_((bytes + kReadAlign - 1) / kReadAlign * kReadAlign),
        data_(static_cast<std::byte*>(std::aligned_alloc(kReadAlign, bytes_))) {
    clear();
  }
  ~AlignedMemory() { std::free(data_); }
  AlignedMemory(const AlignedMemory&) = delete;
  AlignedMemory& operator=(const AlignedMemory&) = delete;
  void clear() { std::memset(data_, 0x55, bytes_); }
  std::byte* data() const { return data_; }

 private:
  uint64_t bytes_;
  std::byte* data_;
};

}  // namespace gantry
