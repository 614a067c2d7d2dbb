// FakeOs: files in memory, scripted processes, and a failure at the operation a test names.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>

#include "base/os.h"

namespace gantry {

// Not thread-safe. Every call of the seam counts as one operation, in the order they come.
class FakeOs final : public Os {
 public:
  std::map<std::string, std::string> files;
  std::set<std::string> dirs;
  std::map<std::string, std::string> environment;
  std::map<int, Bytes> pss_of;
  std::map<int, uint64_t> start_of;
  std::map<int, Millis> cpu_of;
  Bytes space = GiB(100);
  std::string exe = "/fake/bin/gantry";
  Millis slept{0};
  // Stands in for fork and exec; unset: kNotFound.
  std::function<Result<std::unique_ptr<Process>>(const ProcessSpec&)> on_spawn;

  // The n-th operation from now (0 is the next) fails with this error, once.
  void fail_at(uint64_t n, Error error);
  uint64_t operations() const { return operations_; }

  [[nodiscard]] Result<std::string> read_file(const std::string& path, Bytes max) override;
  [[nodiscard]] Result<std::unique_ptr<MappedFile>> map_file(const std::string& path) override;
  [[nodiscard]] Result<void> read_pieces(
      const std::string& path, const std::function<void(std::string_view)>& on_piece) override;
  [[nodiscard]] Result<FileInfo> stat(const std::string& path) override;
  [[nodiscard]] Result<std::vector<std::string>> list(const std::string& dir) override;
  [[nodiscard]] Result<void> write_file(const std::string& path, std::string_view bytes,
                                        uint32_t mode) override;
  [[nodiscard]] Result<void> copy_file(const std::string& from, const std::string& to) override;
  [[nodiscard]] Result<void> link_file(const std::string& from, const std::string& to) override {
    return copy_file(from, to);
  }
  [[nodiscard]] Result<void> move_file(const std::string& from, const std::string& to) override;
  [[nodiscard]] Result<void> make_dirs(const std::string& path, uint32_t mode) override;
  [[nodiscard]] Result<void> remove(const std::string& path) override;
  [[nodiscard]] Result<Bytes> free_space(const std::string& path) override;
  [[nodiscard]] Result<std::unique_ptr<Process>> spawn(const ProcessSpec& spec) override;
  [[nodiscard]] Result<Bytes> pss(int pid) override;
  [[nodiscard]] Result<uint64_t> start_time(int pid) override;
  void kill_group(int pid, uint64_t start_ticks, int signal) override;
  [[nodiscard]] Result<Millis> cpu_time(int pid) override;
  void sleep(Millis duration) override { slept += duration; }
  std::optional<std::string> env(const std::string& name) override;
  std::string self_exe() override { return exe; }

 private:
  std::optional<Error> step();

  uint64_t operations_ = 0;
  std::map<uint64_t, Error> failures_;
};

}  // namespace gantry
