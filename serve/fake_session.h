// For tests: sessions and leases that count themselves.
#pragma once

#include <atomic>
#include <string>
#include <utility>
#include <vector>

#include "foreman/client.h"

namespace gantry {

class FakeSession final : public Session {
 public:
  FakeSession(std::string model, Worker& worker, std::atomic<int>& open,
              std::atomic<uint64_t>& tokens)
      : model_(std::move(model)), worker_(worker), open_(open), tokens_(tokens) {
    ++open_;
  }
  ~FakeSession() override { --open_; }
  const std::string& model() const override { return model_; }
  const std::string& device() const override { return device_; }
  Worker& worker() override { return worker_; }
  Bytes predicted() const override { return MiB(10); }
  Bytes measured() const override { return MiB(9); }
  void decoded(uint64_t tokens, double) override { tokens_ += tokens; }
  void heard(double sound_s, double) override { tokens_ += static_cast<uint64_t>(sound_s); }
  double load_s() const override { return 0; }

 private:
  std::string model_;
  std::string device_ = "cpu";
  Worker& worker_;
  std::atomic<int>& open_;
  std::atomic<uint64_t>& tokens_;
};

class FakeLease final : public DeviceLease {
 public:
  FakeLease(std::atomic<int>& open, Bytes bytes) : open_(open), bytes_(bytes) { ++open_; }
  ~FakeLease() override { --open_; }
  int64_t token() const override { return 7; }
  Bytes bytes() const override { return bytes_; }
  const std::vector<std::pair<std::string, std::string>>& environment() const override {
    return environment_;
  }

 private:
  std::atomic<int>& open_;
  Bytes bytes_;
  std::vector<std::pair<std::string, std::string>> environment_ = {{"CARD", "0"}};
};

}  // namespace gantry
