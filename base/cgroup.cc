// Making, filling and emptying control groups.
#include "base/cgroup.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <sstream>
#include <thread>
#include <vector>

#include "base/os.h"

namespace gantry {

namespace {

constexpr Millis kPoll{5};
// What a group has by default: cpu.weight of version 2, cpu.shares of version 1.
constexpr uint32_t kWeight = 100, kShares = 1024;

// A control file takes one write.
bool set(const std::string& file, const std::string& value) {
  const int fd = ::open(file.c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const bool done = ::write(fd, value.data(), value.size()) == static_cast<ssize_t>(value.size());
  ::close(fd);
  return done;
}

std::vector<int> members(const std::string& dir) {
  std::ifstream file(dir + "/cgroup.procs");
  std::vector<int> pids;
  for (int pid = 0; file >> pid;) pids.push_back(pid);
  return pids;
}

class RealCgroup final : public Cgroup {
 public:
  RealCgroup(std::vector<std::string> dirs, bool limited)
      : dirs_(std::move(dirs)), limited_(limited) {}
  ~RealCgroup() override {
    for (const std::string& dir : dirs_) ::rmdir(dir.c_str());
  }
  bool limits_memory() const override { return limited_; }
  bool clear(Millis patience) override {
    for (Millis waited{0};; waited += kPoll) {
      bool empty = true;
      for (const std::string& dir : dirs_) {
        for (const int pid : members(dir)) {
          empty = false;
          ::kill(pid, SIGKILL);
        }
      }
      if (empty) return true;
      if (waited >= patience) return false;
      std::this_thread::sleep_for(kPoll);
    }
  }

 private:
  std::vector<std::string> dirs_;
  bool limited_;
};

struct Hierarchy {
  std::string dir;      // where groups of ours may be made
  bool unified = true;  // version 2
};

class RealCgroups final : public Cgroups {
 public:
  explicit RealCgroups(std::vector<Hierarchy> hierarchies)
      : hierarchies_(std::move(hierarchies)) {}

  std::unique_ptr<Cgroup> put(int pid, std::string_view name,
                              const CgroupLimits& limits) override {
    std::string plain(name.substr(0, kNameMax));
    std::ranges::replace_if(plain, [](char c) { return c == '/' || c == '.' || c < 0x21; }, '_');
    std::vector<std::string> dirs;
    bool limited = false;
    for (const Hierarchy& each : hierarchies_) {
      const std::string dir =
          join_path(each.dir, fmt::format("gantry-{}-{}-{}", ::getpid(), pid, plain));
      if (::mkdir(dir.c_str(), 0755) != 0) continue;
      // Kept to itself only once its limits hold.
      limited = limit(dir, each.unified, limits) || limited;
      if (set(dir + "/cgroup.procs", std::to_string(pid))) {
        dirs.push_back(dir);
      } else {
        ::rmdir(dir.c_str());
      }
    }
    if (dirs.empty()) return nullptr;
    return std::make_unique<RealCgroup>(std::move(dirs), limited);
  }

 private:
  static constexpr size_t kNameMax = 60;

  static bool limit(const std::string& dir, bool unified, const CgroupLimits& limits) {
    if (limits.cpu_percent > 0) {
      const uint32_t whole = unified ? kWeight : kShares;
      const uint32_t part = std::max(2U, whole * limits.cpu_percent / 100);
      (void)set(dir + (unified ? "/cpu.weight" : "/cpu.shares"), std::to_string(part));
    }
    if (limits.memory == Bytes{}) return false;
    return set(dir + (unified ? "/memory.max" : "/memory.limit_in_bytes"),
               std::to_string(limits.memory.n));
  }

  std::vector<Hierarchy> hierarchies_;
};

bool may_make(const std::string& dir) {
  const std::string probe = join_path(dir, fmt::format("gantry-{}-probe", ::getpid()));
  if (::mkdir(probe.c_str(), 0755) != 0) return false;
  ::rmdir(probe.c_str());
  return true;
}

// Beside our own group where that is allowed (version 2 has no processes in inner groups), else in
// it.
std::string place_for(const std::string& root, const std::string& path, bool unified) {
  std::vector<std::string> places;
  if (unified && path != "/") places.push_back(root + dir_name(path));
  places.push_back(root + path);
  for (const std::string& dir : places) {
    if (may_make(dir)) return dir;
  }
  return {};
}

}  // namespace

std::unique_ptr<Cgroups> open_cgroups(const std::string& mounted, const std::string& own) {
  std::vector<Hierarchy> found;
  std::ifstream file(own);
  for (std::string line; std::getline(file, line);) {
    // "0::/user.slice/x" of version 2, "4:memory:/x" of version 1.
    const size_t first = line.find(':');
    const size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const std::string path = line.substr(second + 1);
    if (controllers.empty()) {
      for (const char* root : {"", "/unified"}) {
        if (::access((mounted + root + "/cgroup.procs").c_str(), F_OK) != 0) continue;
        if (std::string dir = place_for(mounted + root, path, true); !dir.empty()) {
          found.push_back({std::move(dir), true});
        }
        break;
      }
      continue;
    }
    std::istringstream names(controllers);
    for (std::string name; std::getline(names, name, ',');) {
      if (name != "memory" && name != "cpu") continue;
      std::string dir = place_for(join_path(mounted, controllers), path, false);
      if (!dir.empty()) found.push_back({std::move(dir), false});
      break;
    }
  }
  if (found.empty()) return nullptr;
  return std::make_unique<RealCgroups>(std::move(found));
}

}  // namespace gantry
