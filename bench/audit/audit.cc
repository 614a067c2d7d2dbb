// How long an audit takes: as `gantry devices` does it, and the search for holders of device memory
// through the open files of 1,000 processes with 20 each. JSON on stdout.
// usage: bench-audit WORKER [rounds]
#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <vector>

#include "audit/facts.h"

namespace {

constexpr int kProcesses = 1000, kFiles = 20;

// Children that hold open files and wait; they end with this object.
class Crowd {
 public:
  Crowd() {
    for (int i = 0; i < kProcesses; ++i) {
      const pid_t pid = ::fork();
      if (pid < 0) break;
      if (pid == 0) wait_with_files();
      pids_.push_back(pid);
    }
  }
  ~Crowd() {
    for (const pid_t pid : pids_) ::kill(pid, SIGKILL);
    for (const pid_t pid : pids_) ::waitpid(pid, nullptr, 0);
  }
  Crowd(const Crowd&) = delete;
  Crowd& operator=(const Crowd&) = delete;
  size_t size() const { return pids_.size(); }

 private:
  [[noreturn]] static void wait_with_files() {
    for (int i = 0; i < kFiles; ++i) {
      if (::open("/dev/null", O_RDONLY) < 0) break;
    }
    for (;;) ::pause();
  }
  std::vector<pid_t> pids_;
};

// Seconds of each round, and of processor time: on a machine that does other work too, the second
// says what it would take alone.
template <class Work>
std::string timed(int rounds, const Work& work) {
  std::vector<double> seconds;
  const std::clock_t before = std::clock();
  for (int i = 0; i < rounds; ++i) {
    const auto start = std::chrono::steady_clock::now();
    work();
    seconds.push_back(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  const double cpu = static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC / rounds;
  std::ranges::sort(seconds);
  return fmt::format(
      R"({{"median_s": {:.4f}, "most_s": {:.4f}, "processor_s": {:.4f}, "rounds": {}}})",
      seconds[seconds.size() / 2], seconds.back(), cpu, rounds);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: bench-audit WORKER [rounds]\n");
    return 2;
  }
  const int rounds = argc > 2 ? std::max(1, std::atoi(argv[2])) : 20;
  const Crowd crowd;  // before any thread is started
  const auto os = gantry::make_real_os();
  gantry::AuditOptions options;
  options.worker_exe = argv[1];
  const std::string audits = timed(rounds, [&] {
    if (!gantry::audit(*os, options)) std::abort();
  });
  const std::string holders = timed(rounds, [&] {
    std::vector<gantry::KernelDevice> cards(1);
    cards[0].driver = "amdgpu";
    cards[0].facts.bus = "0000:03:00.0";
    gantry::read_holders(*os, &cards);
  });
  double load[1] = {0};
  static_cast<void>(::getloadavg(load, 1));
  std::printf("{\"what\": \"seconds of an audit\",\n \"processes\": %zu,\n \"files_each\": %d,\n"
              " \"load_average\": %.2f,\n \"audit\": %s,\n \"holders\": %s}\n",
              crowd.size(), kFiles, load[0], audits.c_str(), holders.c_str());
  return 0;
}
