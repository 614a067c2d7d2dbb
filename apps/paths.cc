// Folders of the daemon.
#include "apps/paths.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

namespace gantry {

namespace {

// FNV-1a: a name, not a secret.
uint64_t hash(std::string_view text) {
  uint64_t h = 0xcbf29ce484222325ULL;
  for (char c : text) h = (h ^ static_cast<uint8_t>(c)) * 0x100000001b3ULL;
  return h;
}

// lstat: a link planted by somebody else must not lead us out of our folder.
Result<void> own_private(const std::string& dir) {
  struct stat st{};
  if (::lstat(dir.c_str(), &st) != 0) return fail(os_error("cannot look at " + dir, errno));
  if (!S_ISDIR(st.st_mode) || st.st_uid != ::geteuid() || (st.st_mode & 077) != 0) {
    return fail(Code::kPermission, dir + " is not a private folder of this user",
                "remove it, or set XDG_RUNTIME_DIR to a folder of yours");
  }
  return {};
}

}  // namespace

std::string absolute_path(const std::string& path) {
  std::error_code ec;
  const std::filesystem::path full = std::filesystem::absolute(path, ec);
  return ec ? path : full.lexically_normal().string();
}

Result<std::string> state_directory(Os& os, const std::string& flag) {
  if (!flag.empty()) return absolute_path(flag);
  if (const auto dir = os.env("GANTRY_STATE_DIR"); dir && !dir->empty()) {
    return absolute_path(*dir);
  }
  if (const auto xdg = os.env("XDG_STATE_HOME"); xdg && !xdg->empty()) {
    return join_path(absolute_path(*xdg), "gantry");
  }
  const auto home = os.env("HOME");
  if (!home || home->empty()) {
    return fail(Code::kUsage, "there is no HOME to keep the queue in", "give --state-dir");
  }
  return join_path(*home, ".local/state/gantry");
}

Result<std::string> runtime_directory(Os& os, const std::string& state_dir) {
  const auto xdg = os.env("XDG_RUNTIME_DIR");
  const std::string parent = xdg && !xdg->empty() && xdg->size() < 60
                                 ? join_path(*xdg, "gantry")
                                 : fmt::format("/tmp/gantry-{}", ::geteuid());
  const std::string dir = join_path(parent, fmt::format("{:012x}", hash(state_dir) >> 16));
  if (Result<void> made = os.make_dirs(dir, 0700); !made) return fail(made.error());
  if (Result<void> mine = own_private(parent); !mine) return fail(mine.error());
  if (Result<void> mine = own_private(dir); !mine) return fail(mine.error());
  return dir;
}

std::string socket_path(const std::string& runtime_dir) { return join_path(runtime_dir, "d.sock"); }

std::string sibling_program(Os& os, const std::string& name) {
  return join_path(dir_name(os.self_exe()), name);
}

}  // namespace gantry
