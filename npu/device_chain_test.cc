// The way down a chain, and back up after a rest.
#include "npu/device_chain.h"

#include <gtest/gtest.h>

#include <openvino/opsets/opset13.hpp>

namespace gantry {
namespace {

namespace op = ov::opset13;

// Doubles a row of numbers.
std::shared_ptr<ov::Model> graph() {
  auto in = std::make_shared<op::Parameter>(ov::element::f32, ov::PartialShape{-1, 2});
  in->get_output_tensor(0).set_names({"in"});
  const auto two = op::Constant::create(ov::element::f32, {1}, {2.F});
  const auto out = std::make_shared<op::Multiply>(in, two);
  return std::make_shared<ov::Model>(ov::OutputVector{out}, ov::ParameterVector{in});
}

class DeviceChainTest : public ::testing::Test {
 protected:
  void SetUp() override { core = std::move(*OvCore::open(*os, {.threads = 1})); }
  DeviceChain chain(ChainOptions options) {
    return {*core, clock, graph(),
            [this](ov::Model& model, DeviceChain::Shape shape) {
              ++reshaped;
              model.reshape(ov::PartialShape{static_cast<int64_t>(shape.first), 2});
            },
            std::move(options)};
  }
  static Result<float> doubled(DeviceChain& chain) {
    return chain.run<float>({1, 0}, [](DeviceChain::Compiled& on) {
      return ov_call("failed", [&] {
        ov::Tensor tensor(ov::element::f32, {1, 2});
        tensor.data<float>()[0] = tensor.data<float>()[1] = 21;
        on.request.set_input_tensor(tensor);
        on.request.infer();
        return on.request.get_output_tensor().data<float>()[0];
      });
    });
  }

  std::unique_ptr<Os> os = make_real_os();
  FakeClock clock;
  std::unique_ptr<OvCore> core;
  int reshaped = 0;
};

TEST_F(DeviceChainTest, AnswersOnTheFirstThatIsThere) {
  DeviceChain both = chain({{"NPU", "CPU"}});
  ASSERT_EQ(*doubled(both), 42);
  if (core->find("NPU") == nullptr) {
    EXPECT_EQ(both.device(), "CPU");
    ASSERT_EQ(both.refused().size(), 1U);
    EXPECT_EQ(both.refused()[0].device, "NPU");
    EXPECT_EQ(reshaped, 1) << "for the NPU: the CPU takes any shape";
  }
  reshaped = 0;
  DeviceChain fixed = chain({{"CPU"}, true});
  ASSERT_EQ(*doubled(fixed), 42);
  EXPECT_TRUE(fixed.fixed());
  EXPECT_EQ(reshaped, 1);
}

TEST_F(DeviceChainTest, AFailureIsLeftAndTriedAgainAfterARest) {
  bool broken = true;
  DeviceChain one = chain({{"CPU"}, false, [&](const std::string&) { return broken; }});
  const auto lost = doubled(one);
  ASSERT_FALSE(lost);
  EXPECT_EQ(lost.error().code, Code::kUnavailable);
  broken = false;
  EXPECT_FALSE(doubled(one)) << "it rests";
  clock.advance(kDeviceRest);
  EXPECT_EQ(*doubled(one), 42);
  EXPECT_TRUE(one.refused().empty());
}

}  // namespace
}  // namespace gantry
