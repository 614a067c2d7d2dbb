// The real OpenVINO of this build on its CPU device, which every machine has.
#include "npu/core.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <openvino/opsets/opset13.hpp>

namespace gantry {
namespace {

class OvCoreTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = ::testing::TempDir() + "ov-core-XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    dir = name;
  }
  void TearDown() override { std::filesystem::remove_all(dir); }

  std::unique_ptr<OvCore> open(OvOptions options = {}) {
    auto core = OvCore::open(*os, options);
    EXPECT_TRUE(core) << (core ? "" : describe(core.error()));
    return core ? std::move(*core) : nullptr;
  }

  // y = x * 2 + 1 of four numbers
  static std::shared_ptr<ov::Model> line() {
    namespace op = ov::opset13;
    const auto x = std::make_shared<op::Parameter>(ov::element::f32, ov::Shape{4});
    const auto two = op::Constant::create(ov::element::f32, {}, {2.F});
    const auto one = op::Constant::create(ov::element::f32, {}, {1.F});
    const auto y = std::make_shared<op::Add>(std::make_shared<op::Multiply>(x, two), one);
    return std::make_shared<ov::Model>(ov::OutputVector{y}, ov::ParameterVector{x});
  }

  static float third(OvCompiled& compiled) {
    ov::InferRequest request = compiled.model.create_infer_request();
    std::vector<float> x = {1, 2, 3, 4};
    request.set_input_tensor(ov::Tensor(ov::element::f32, {4}, x.data()));
    request.infer();
    return request.get_output_tensor().data<float>()[2];
  }

  std::unique_ptr<Os> os = make_real_os();
  std::string dir;
};

TEST(OvChain, WordsInOrderEachOnce) {
  EXPECT_EQ(*parse_ov_chain("auto"), (std::vector<std::string>{"NPU", "GPU", "CPU"}));
  EXPECT_EQ(*parse_ov_chain("cpu,npu,cpu"), (std::vector<std::string>{"CPU", "NPU"}));
  for (const char* wrong : {"", "tpu", "npu,,cpu", "NPU", "cpu,"}) {
    EXPECT_EQ(parse_ov_chain(wrong).error().code, Code::kUsage) << wrong;
  }
}

TEST(OvCause, OneLineWithItsEnd) {
  EXPECT_EQ(ov_cause(std::runtime_error("Exception from a.cc:3:\n  broken\n\n")),
            "Exception from a.cc:3: broken");
  EXPECT_EQ(ov_cause(std::runtime_error("")), "no cause given");
  const std::string cause = ov_cause(std::runtime_error(std::string(1000, 'x') + "end"));
  EXPECT_LT(cause.size(), 320U);
  EXPECT_TRUE(cause.ends_with("xend"));
}

TEST_F(OvCoreTest, TheCpuIsADeviceWithAName) {
  const auto core = open();
  const OvDevice* cpu = core->find("CPU");
  ASSERT_NE(cpu, nullptr);
  EXPECT_FALSE(cpu->full_name.empty());
  EXPECT_EQ(core->find("TPU"), nullptr);
  EXPECT_FALSE(core->version().empty());
}

TEST_F(OvCoreTest, GoesDownTheChainAndSaysWhy) {
  const auto core = open();
  if (core->find("NPU") != nullptr) GTEST_SKIP() << "this machine has an NPU";
  auto compiled = core->compile(line(), {"NPU", "CPU"});
  ASSERT_TRUE(compiled) << describe(compiled.error());
  EXPECT_EQ(compiled->device, "CPU");
  ASSERT_EQ(compiled->refused.size(), 1U);
  EXPECT_EQ(compiled->refused[0].device, "NPU");
  EXPECT_FLOAT_EQ(third(*compiled), 7);
  const auto none = core->compile(line(), {"NPU"});
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, Code::kUnavailable);
  EXPECT_NE(none.error().message.find("NPU: "), std::string::npos);
}

TEST_F(OvCoreTest, ADeviceThatRefusesTheModelIsPassedOver) {
  const auto core = open();
  const auto wrong = core->compile(line(), {"CPU"}, {{"NO_SUCH_PROPERTY", "x"}});
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().code, Code::kUnavailable);
  EXPECT_NE(wrong.error().message.find("NO_SUCH_PROPERTY"), std::string::npos);
}

TEST_F(OvCoreTest, KeepsCompiledBlobsInAPrivateFolder) {
  const std::string cache = dir + "/a/blobs";
  const auto core = open({.cache_dir = cache});
  for (int i = 0; i < 2; ++i) {
    auto compiled = core->compile(line(), {"CPU"});
    ASSERT_TRUE(compiled) << describe(compiled.error());
    EXPECT_FLOAT_EQ(third(*compiled), 7);
  }
  EXPECT_FALSE(std::filesystem::is_empty(cache));
  std::filesystem::permissions(cache, std::filesystem::perms::all);
  EXPECT_EQ(OvCore::open(*os, {.cache_dir = cache}).error().code, Code::kPermission);
}

TEST_F(OvCoreTest, FilesThatAreNoModels) {
  const auto core = open();
  EXPECT_EQ(core->read(dir + "/none.xml").error().code, Code::kCorrupt);
  std::ofstream(dir + "/bad.xml") << "<?xml version=\"1.0\"?><net name=\"x\" version=\"11\">";
  EXPECT_EQ(core->read(dir + "/bad.xml").error().code, Code::kCorrupt);
  EXPECT_EQ(OvCore::open(*os, {.extension = dir + "/none.so"}).error().code, Code::kUnavailable);
}

}  // namespace
}  // namespace gantry
