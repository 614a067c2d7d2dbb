// For tests: a session that counts itself.
#pragma once

#include <atomic>
#include <string>

#include "foreman/client.h"

namespace gantry {

class FakeSession final : public Session {
 public:
  FakeSession(std::string m, Worker& w, std::atomic<int>* o, uint64_t* t, double* sound = nullptr,
              std::string why = {})
      : model_(m), worker_(w), open_(o), tokens_(t), sound_(sound), why_(std::move(why)) {
    ++*open_;
  }
  ~FakeSession() override { --*open_; }
  const std::string& model() const override { return model_; }
  const std::string& device() const override { return device_; }
  Worker& worker() override { return worker_; }
  Bytes predicted() const override { return MiB(40); }
  Bytes measured() const override { return MiB(30); }
  void decoded(uint64_t tokens, double) override { *tokens_ += tokens; }
  void heard(double sound_s, double) override {
    if (sound_ != nullptr) *sound_ += sound_s;
  }
  std::string why() const override { return why_; }
  double load_s() const override { return 0.5; }

 private:
  const std::string model_, device_ = "cpu";
  Worker& worker_;
  std::atomic<int>* open_;
  uint64_t* tokens_;
  double* sound_;
  std::string why_;
};

}  // namespace gantry
