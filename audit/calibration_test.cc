// Tests of taking a calibration from a scripted worker.
#include <gtest/gtest.h>

#include "audit/facts.h"
#include "base/fake_os.h"

namespace gantry {
namespace {

// Says these lines, then that it is gone; or nothing at all.
class FakeCalibration final : public Process {
 public:
  FakeCalibration(std::vector<std::string> lines, Code at_end)
      : lines_(std::move(lines)), at_end_(at_end) {}
  int pid() const override { return 1; }
  void signal_group(int) override {}
  std::optional<Exit> wait(Millis) override { return Exit{}; }
  [[nodiscard]] Result<void> write_line(std::string_view) override { return {}; }
  [[nodiscard]] Result<std::string> read_line(Millis, Bytes) override {
    if (next_ == lines_.size()) return fail(at_end_, "no more lines");
    return lines_[next_++];
  }

 private:
  std::vector<std::string> lines_;
  Code at_end_;
  size_t next_ = 0;
};

class Calibration : public testing::Test {
 protected:
  Calibration() {
    machine_.cpu.threads = 8;
    machine_.cpu.p_cores = {0, 1, 2, 3};
    machine_.cpu.e_cores = {4, 5, 6, 7};
    device_.name = "cpu";
    device_.rates = {{"Q8_0", 1, 1}};
  }
  Result<void> run(std::vector<std::string> lines, Code at_end = Code::kWorkerFailed) {
    os_.on_spawn = [=, this](const ProcessSpec& spec) -> Result<std::unique_ptr<Process>> {
      spec_ = spec;
      return std::make_unique<FakeCalibration>(lines, at_end);
    };
    return calibrate_device(os_, machine_, "/bin/gantry-worker", hooks_, &device_);
  }
  FakeOs os_;
  Machine machine_;
  Device device_;
  BenchHooks hooks_;
  ProcessSpec spec_;
};

constexpr const char* kStep = R"({"event": "step", "step_s": 4e-6})";
constexpr const char* kRate = R"({"event": "rate", "quantisation": "Q4_K",
    "decode_bytes_per_s": 2e10, "prefill_flop_per_s": 3e11})";
constexpr const char* kDone = R"({"event": "done"})";

TEST_F(Calibration, FillsInWhatWasMeasured) {
  std::vector<std::string> said;
  hooks_.progress = [&](const std::string& line) { said.push_back(line); };
  ASSERT_TRUE(run({R"({"event": "device"})", kStep,
                   R"({"event": "copy", "pageable_copy_bytes_per_s": 9e9})", kRate, kDone}));
  ASSERT_EQ(device_.rates.size(), 1U);
  EXPECT_EQ(device_.rates[0].quantisation, "Q4_K");
  EXPECT_EQ(device_.step_s, 4e-6);
  EXPECT_EQ(device_.bandwidth.pageable_copy_bytes_per_s, 9e9);
  EXPECT_EQ(device_.bandwidth.host_copy_bytes_per_s, 9e9);  // no pinned memory: the other way
  EXPECT_EQ(said, std::vector<std::string>{"cpu: Q4_K"});
}

TEST_F(Calibration, RunsOnTheFastCoresAlone) {
  ASSERT_TRUE(run({kDone}));
  EXPECT_EQ(spec_.cpus, machine_.cpu.p_cores);
  EXPECT_EQ(spec_.argv, (std::vector<std::string>{"/bin/gantry-worker", "calibrate", "--device",
                                                  "CPU", "-t", "4"}));
}

TEST_F(Calibration, NothingIsKeptOfHalfAOne) {
  const Device before = device_;
  EXPECT_EQ(run({kStep, kRate}).error().code, Code::kWorkerFailed);
  EXPECT_EQ(run({kStep, kRate}, Code::kTimeout).error().code, Code::kTimeout);
  EXPECT_EQ(run({kRate, "[]"}).error().code, Code::kWorkerFailed);
  EXPECT_EQ(run({kRate, R"({"event": "error", "code": "does_not_fit", "message": "m"})"})
                .error().message, "m");
  const std::atomic<bool> cancel = true;
  hooks_.cancel = &cancel;
  EXPECT_EQ(run({kRate, kDone}).error().code, Code::kCancelled);
  EXPECT_EQ(device_.rates.size(), before.rates.size());
  EXPECT_EQ(device_.rates[0].quantisation, "Q8_0");
  EXPECT_EQ(device_.step_s, std::nullopt);
}

TEST_F(Calibration, NonsenseIsLeftOut) {
  ASSERT_TRUE(run({R"({"event": "step", "step_s": -1})",
                   R"({"event": "rate", "quantisation": "F16", "decode_bytes_per_s": "fast",
                       "prefill_flop_per_s": 1e9})",
                   R"({"event": "rate", "quantisation": 5, "decode_bytes_per_s": 1e9,
                       "prefill_flop_per_s": 1e9})",
                   R"({"event": "rate", "quantisation": "F16", "decode_bytes_per_s": 1e9})",
                   R"({"event": 5})", kDone}));
  EXPECT_TRUE(device_.rates.empty());
  EXPECT_EQ(device_.step_s, std::nullopt);
}

}  // namespace
}  // namespace gantry
