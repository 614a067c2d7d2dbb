// Tests of the device probe's answers, and of its end.
#include <gtest/gtest.h>

#include <memory>

#include "audit/facts.h"
#include "audit/fake_probe.h"

namespace gantry {
namespace {

constexpr Millis kLimit{10'000};

TEST(Probe, TakesThreeParts) {
  FakeOs os;
  script_probe(&os, probe_of(R"(
    {"backend": "CPU", "description": "c", "kind": "cpu", "total_bytes": 9, "free_bytes": 9},
    {"backend": "CUDA0", "description": "Ge\nForce", "kind": "gpu", "bus": "0000:0A:00.0",
     "total_bytes": 100, "free_bytes": 90},
    {"backend": "Vulkan0", "kind": "integrated_gpu", "total_bytes": 50, "free_bytes": 60},
    {"backend": "BLAS", "kind": "accelerator", "total_bytes": 0, "free_bytes": 0},
    {"backend": "odd", "kind": "gpu", "total_bytes": -1, "free_bytes": 0},
    {"backend": "vast", "kind": "gpu", "total_bytes": 18446744073709551615, "free_bytes": 0},
    {"kind": 5}, 7)"));
  const Probed probed = probe(os, "/bin/gantry-worker", kLimit);
  EXPECT_EQ(probed.fault, "");
  ASSERT_TRUE(probed.engines && probed.nvidia && probed.openvino);
  ASSERT_EQ(probed.engines->size(), 2U);
  EXPECT_EQ(probed.engines->at(0).backend, "CUDA0");
  EXPECT_EQ(probed.engines->at(0).bus, "0000:0a:00.0");
  EXPECT_EQ(probed.engines->at(0).description, "Ge?Force");  // no control characters
  EXPECT_EQ(probed.engines->at(1).free, Bytes{50});          // never more than there is
  EXPECT_EQ(probed.backends, "CPU");
}

TEST(Probe, AbsurdFactsAreAbsent) {
  FakeOs os;
  auto lines = probe_of("");
  lines[0] = R"({"nvidia": [{"kind": "gpu", "total_bytes": 100, "free_bytes": 9,
    "temperature_c": 4000000000, "power_w": -3, "power_limit_w": "much", "energy_counter": 1,
    "throttled": ["heat", "rm -rf", 5], "link": {"generation": 1e30, "width": 4294967295},
    "holders": [{"pid": -1, "bytes": 5}, {"pid": 3}, 9,
                {"pid": 7, "bytes": 18446744073709551615}, {"pid": 7, "bytes": 5}]}],
    "trouble": 5})";
  script_probe(&os, lines);
  const Probed probed = probe(os, "w", kLimit);
  ASSERT_TRUE(probed.nvidia && probed.nvidia->size() == 1);
  const Device& card = probed.nvidia->front();
  EXPECT_FALSE(card.temperature_c || card.power_w || card.power_limit_w || card.link);
  EXPECT_FALSE(card.energy_counter);
  EXPECT_EQ(card.throttled, std::vector<std::string>{"heat"});
  ASSERT_EQ(card.holders.size(), 1U);
  EXPECT_EQ(card.holders[0].pid, 7);
}

TEST(Probe, NonsenseIsAFault) {
  FakeOs os;
  for (const char* line : {"", "{}", "[]", R"({"devices": 5})", "not json", R"({"nvidia": [)"}) {
    script_probe(&os, {line});
    EXPECT_EQ(probe(os, "w", kLimit).fault, "the device probe answered with something else");
  }
  script_probe(&os, {std::string(300'000, 'x')});
  EXPECT_EQ(probe(os, "w", kLimit).fault, "line too long");
  script_probe(&os, {}, Code::kTimeout);
  EXPECT_EQ(probe(os, "w", Millis(1'500)).fault, "no answer within 1.5 s from NVIDIA's driver");
  os.on_spawn = nullptr;
  EXPECT_EQ(probe(os, "w", kLimit).fault, "no program is scripted");
}

TEST(Probe, DevicesAtTheLimit) {
  std::string rows;
  for (size_t i = 0; i < kDevicesMax + 5; ++i) {
    rows += R"({"kind": "gpu", "total_bytes": 1, "free_bytes": 1},)";
  }
  rows.pop_back();
  FakeOs os;
  script_probe(&os, probe_of(rows));
  EXPECT_EQ(probe(os, "w", kLimit).engines->size(), kDevicesMax - 1);  // the CPU is one more
}

// A driver holds it in the kernel: it does not answer, and does not end when killed.
class StuckProcess final : public Process {
 public:
  explicit StuckProcess(std::vector<std::string>* calls) : calls_(calls) {}
  ~StuckProcess() override { calls_->push_back("destroyed"); }
  int pid() const override { return 1; }
  void signal_group(int signal) override { calls_->push_back(std::to_string(signal)); }
  std::optional<Exit> wait(Millis) override { return std::nullopt; }
  [[nodiscard]] Result<void> write_line(std::string_view) override { return {}; }
  [[nodiscard]] Result<std::string> read_line(Millis, Bytes) override {
    return fail(Code::kTimeout, "time ran out");
  }

 private:
  std::vector<std::string>* calls_;
};

TEST(Probe, AProcessThatCannotBeKilledIsNotWaitedFor) {
  std::vector<std::string> calls;
  auto process = std::make_unique<StuckProcess>(&calls);
  std::unique_ptr<Process> kept(process.get());  // ends it once the test is over
  FakeOs os;
  os.on_spawn = [&](const ProcessSpec&) -> Result<std::unique_ptr<Process>> {
    return std::move(process);
  };
  EXPECT_EQ(probe(os, "w", kLimit).fault, "no answer within 10 s from NVIDIA's driver");
  EXPECT_EQ(calls, std::vector<std::string>{"9"});
}

}  // namespace
}  // namespace gantry
