// What the foreman is given in place of the machine: files and processes, clocks, free memory and
// workers, all of one World. Each call is a point where another thread may run.
#pragma once

#include <memory>
#include <string>

#include "base/log.h"
#include "foreman/live.h"
#include "foreman/scheduler.h"
#include "lab/sim/world.h"

namespace gantry::sim {

class SimOs final : public Os {
 public:
  SimOs(Fibers& fibers, World& world) : fibers_(fibers), world_(world) {}

  // Told of every file that was written: tokens are in their names.
  std::function<void(const std::string& path)> on_written;

  [[nodiscard]] Result<std::string> read_file(const std::string& path, Bytes max) override;
  [[nodiscard]] Result<std::unique_ptr<MappedFile>> map_file(const std::string& path) override;
  [[nodiscard]] Result<void> read_pieces(
      const std::string& path, const std::function<void(std::string_view)>& on_piece) override;
  [[nodiscard]] Result<FileInfo> stat(const std::string& path) override;
  [[nodiscard]] Result<std::vector<std::string>> list(const std::string& dir) override;
  [[nodiscard]] Result<void> write_file(const std::string& path, std::string_view bytes,
                                        uint32_t mode) override;
  [[nodiscard]] Result<void> copy_file(const std::string& from, const std::string& to) override;
  [[nodiscard]] Result<void> link_file(const std::string& from, const std::string& to) override;
  [[nodiscard]] Result<void> move_file(const std::string& from, const std::string& to) override;
  [[nodiscard]] Result<void> make_dirs(const std::string& path, uint32_t mode) override;
  [[nodiscard]] Result<void> remove(const std::string& path) override;
  [[nodiscard]] Result<Bytes> free_space(const std::string& path) override;
  [[nodiscard]] Result<std::unique_ptr<Process>> spawn(const ProcessSpec& spec) override;
  [[nodiscard]] Result<Bytes> pss(int pid) override;
  [[nodiscard]] Result<uint64_t> start_time(int pid) override;
  void kill_group(int pid, uint64_t start_ticks, int signal) override;
  [[nodiscard]] Result<Millis> cpu_time(int pid) override;
  void sleep(Millis duration) override { fibers_.sleep(duration); }
  std::optional<std::string> env(const std::string&) override { return std::nullopt; }
  std::string self_exe() override { return "/usr/bin/gantryd"; }

 private:
  Fibers& fibers_;
  World& world_;
};

class SimClock final : public Clock {
 public:
  SimClock(Fibers& fibers, const World& world) : fibers_(fibers), world_(world) {}
  Millis steady() const override {
    fibers_.point("clock");
    return fibers_.now();
  }
  WallTime wall() const override {
    fibers_.point("clock");
    const WallTime now(fibers_.now() + world_.wall_offset);
    if (on_wall) on_wall(now);
    return now;
  }
  std::function<void(WallTime)> on_wall;  // told what a thread was told

 private:
  Fibers& fibers_;
  const World& world_;
};

// Free is what nobody holds, memory that is released late included.
class SimLive final : public Live {
 public:
  SimLive(Fibers& fibers, World& world) : fibers_(fibers), world_(world) {}
  std::vector<LiveDevice> look(const std::vector<std::string>& devices) override;
  std::optional<Holder> largest_holder(const std::set<int>& ours) override;

 private:
  Fibers& fibers_;
  World& world_;
};

// Faults that the foreman writes of itself end the run; the rest is kept for whoever reads it.
class SimLog final : public Log {
 public:
  SimLog(Fibers& fibers, World& world) : fibers_(fibers), world_(world) {}
  void info(std::string_view event, LogFields fields) override { keep("info", event, fields); }
  void warn(std::string_view event, LogFields fields) override { keep("warn", event, fields); }
  void error(std::string_view event, LogFields fields) override;
  bool loud = false;  // to stderr, for the replay of a seed

 private:
  void keep(const char* level, std::string_view event, LogFields fields);
  Fibers& fibers_;
  World& world_;
};

// Session holders tell here that they use a worker, so that one stopped under them is seen.
class SimWorker final : public Worker {
 public:
  SimWorker(Fibers& fibers, World& world, int pid, std::string model)
      : fibers_(fibers), world_(world), pid_(pid), model_(std::move(model)) {
    ++world_.workers;
  }
  ~SimWorker() override {
    stop();
    --world_.workers;
  }
  int pid() const override { return pid_; }
  [[nodiscard]] Result<void> ready(const http::Cancel& cancel) override;
  const http::Address& address() const override { return address_; }
  // The wav is how many milliseconds it takes.
  [[nodiscard]] Result<std::vector<Segment>> transcribe(
      const Hearing& hearing, const http::Cancel& cancel,
      const std::function<void(const Segment&, Progress)>& on_segment) override;
  [[nodiscard]] Result<void> alive() override;
  void stop() override;

 private:
  Fibers& fibers_;
  World& world_;
  int pid_;
  std::string model_;
  http::Address address_;
  bool stopped_ = false;
};

// Habits by model; "": of those not named.
WorkerFactory sim_factory(Fibers& fibers, World& world,
                          const std::map<std::string, Habits>& habits);

}  // namespace gantry::sim
