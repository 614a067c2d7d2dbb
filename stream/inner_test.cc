// Tests of the inner device: found by name, and memory on it.
#include "stream/inner.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <utility>

#include "stream/test_model.h"

namespace gantry {
namespace {

TEST(Inner, IsFoundByNameOrIsTheCpu) {
  const Inner cpu = cpu_inner();
  EXPECT_STREQ(ggml_backend_dev_name(cpu.device), "CPU");
  EXPECT_TRUE(cpu.host);
  EXPECT_FALSE(cpu.serial);
  EXPECT_EQ(cpu.pinned, nullptr);
  EXPECT_EQ(cpu.memory, ggml_backend_dev_buffer_type(cpu.device));
  const auto refused = Inner::find("CUDA7", nullptr);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kNotFound);
  EXPECT_NE(refused.error().message.find("CUDA7"), std::string::npos);
  EXPECT_NE(refused.error().remedy.find("CPU"), std::string::npos) << "says what there is";
}

// A registry with one GPU, as a program may register late.
struct FakeGpu {
  FakeGpu(const Inner& cpu, const char* name) : device(*cpu.device) {
    device.reg = &registry;
    device.iface.get_name = [](ggml_backend_dev_t self) {
      return self->reg->iface.get_name(self->reg);
    };
    device.iface.get_type = [](ggml_backend_dev_t) { return GGML_BACKEND_DEVICE_TYPE_GPU; };
    registry.api_version = GGML_BACKEND_API_VERSION;
    registry.iface.get_name = [](ggml_backend_reg_t self) {
      return static_cast<const char*>(self->context);
    };
    registry.iface.get_device_count = [](ggml_backend_reg_t) { return size_t{0}; };
    registry.context = const_cast<char*>(name);
  }
  ggml_backend_dev_t announce() const {
    ggml_backend_device_register(const_cast<ggml_backend_dev_t>(&device));
    return const_cast<ggml_backend_dev_t>(&device);
  }
  ggml_backend_device device;
  ggml_backend_reg registry = {};
};

TEST(Inner, ByDefaultAGpuThatIsNeitherRemoteNorWeOurselves) {
  const Inner cpu = cpu_inner();
  // ggml keeps what is registered for as long as the process lives.
  static const FakeGpu remote(cpu, "RPC"), gpu(cpu, "Fake");
  ggml_backend_dev_t far = remote.announce();
  EXPECT_EQ(Inner::find("", nullptr)->device, cpu.device);
  EXPECT_TRUE(Inner::find("RPC", nullptr)->serial) << "by its name";
  EXPECT_EQ(Inner::find("RPC", nullptr)->device, far);
  ggml_backend_dev_t near = gpu.announce();
  EXPECT_EQ(Inner::find("", nullptr)->device, near);
  EXPECT_EQ(Inner::find("Fake", nullptr)->device, near);
  EXPECT_FALSE(Inner::find("Fake", nullptr)->serial);
  EXPECT_EQ(Inner::find("", near->reg)->device, cpu.device);
  EXPECT_FALSE(Inner::find("Fake", near->reg));
}

TEST(Inner, MemoryIsAlignedWritableAndGivenBack) {
  const Inner cpu = cpu_inner();
  for (const uint64_t bytes : {uint64_t{1}, uint64_t{4096}, (uint64_t{3} << 20) + 5}) {
    auto buffer = cpu.allocate(bytes);
    ASSERT_TRUE(buffer);
    EXPECT_GE(buffer->bytes(), bytes);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer->aligned()) % kReadAlign, 0u);
    std::memset(buffer->aligned(), 0x5A, bytes);
    EXPECT_EQ(ggml_backend_buffer_get_usage(buffer->get()), GGML_BACKEND_BUFFER_USAGE_WEIGHTS);
    DeviceBuffer moved = std::move(*buffer);
    EXPECT_FALSE(*buffer);
    EXPECT_EQ(buffer->bytes(), 0u);
    EXPECT_EQ(moved.aligned()[bytes - 1], std::byte{0x5A});
    moved = DeviceBuffer();
    EXPECT_FALSE(moved);
  }
  const auto pinned = cpu.allocate_pinned(10'000);
  ASSERT_TRUE(pinned);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(pinned->aligned()) % kReadAlign, 0u);
  std::memset(pinned->aligned(), 0x5A, 10'000);
  EXPECT_GE(pinned->bytes(), 10'000u);
}

TEST(Inner, MoreThanThereIsDoesNotFit) {
  const Inner cpu = cpu_inner();
  const auto refused = cpu.allocate(uint64_t{1} << 60);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kDoesNotFit);
  EXPECT_NE(refused.error().message.find("CPU"), std::string::npos);
  RemoteMemory memory(cpu);
  memory.most = 100'000;
  const Inner remote = memory.inner(cpu, false);
  EXPECT_TRUE(remote.allocate(90'000));
  EXPECT_EQ(remote.allocate(100'001).error().code, Code::kDoesNotFit);
}

TEST(Inner, AMovedBufferTakesOverAndFreesWhatItHad) {
  const Inner cpu = cpu_inner();
  DeviceBuffer kept = std::move(*cpu.allocate(8 << 20));
  for (int i = 0; i < 3; i++) {
    std::byte* before = kept.aligned();
    DeviceBuffer next = std::move(*cpu.allocate(8 << 20));
    std::byte* after = next.aligned();
    ASSERT_NE(before, after);
    kept = std::move(next);
    next = DeviceBuffer();
    EXPECT_EQ(kept.aligned(), after);
    unsigned char here = 0;
    EXPECT_EQ(::mincore(after, 1, &here), 0);
    EXPECT_NE(::mincore(before, 1, &here), 0) << "still mapped";
  }
}

TEST(PlaceClone, ShowsTheShapeElsewhere) {
  const Inner cpu = cpu_inner();
  const Context context = make_context();
  ggml_tensor* from = ggml_new_tensor_3d(context.get(), GGML_TYPE_Q4_0, 64, 8, 3);
  ggml_set_name(from, "blk.0.w");
  int extra = 0;
  from->extra = &extra;
  auto buffer = cpu.allocate(ggml_nbytes(from) + kReadAlign);
  ASSERT_TRUE(buffer);
  ggml_tensor clone;
  ASSERT_TRUE(place_clone(clone, from, buffer->get(), buffer->aligned()));
  EXPECT_EQ(clone.data, buffer->aligned());
  EXPECT_EQ(clone.buffer, buffer->get());
  EXPECT_TRUE(ggml_are_same_shape(&clone, from));
  EXPECT_TRUE(ggml_are_same_stride(&clone, from));
  EXPECT_EQ(clone.type, GGML_TYPE_Q4_0);
  EXPECT_STREQ(clone.name, "blk.0.w");
  EXPECT_EQ(clone.extra, nullptr);
  EXPECT_EQ(from->data, nullptr) << "the loader's own is not written";
  EXPECT_EQ(from->extra, &extra);
}

}  // namespace
}  // namespace gantry
