// Names, exit codes and texts of errors.
#include "base/result.h"

#include <cerrno>
#include <system_error>

namespace gantry {

namespace {

struct Row {
  Code code;
  std::string_view name;
  int exit;
  int http;
};

constexpr Row kRows[] = {
    {Code::kUsage, "usage", 2, 400},
    {Code::kNotFound, "not_found", 1, 404},
    {Code::kCorrupt, "corrupt", 1, 422},
    {Code::kTooLarge, "too_large", 1, 413},
    {Code::kUnsupported, "unsupported", 1, 422},
    {Code::kPermission, "permission", 1, 403},
    {Code::kDiskFull, "disk_full", 1, 507},
    {Code::kIo, "io", 1, 500},
    {Code::kBusy, "busy", 4, 503},
    {Code::kTimeout, "timeout", 1, 504},
    {Code::kCancelled, "cancelled", 1, 409},
    {Code::kDoesNotFit, "does_not_fit", 3, 507},
    {Code::kUnavailable, "unavailable", 4, 503},
    {Code::kWorkerFailed, "worker_failed", 4, 502},
    {Code::kConflict, "conflict", 1, 409},
    {Code::kInternal, "internal", 1, 500},
};

const Row& row(Code code) {
  for (const Row& candidate : kRows) {
    if (candidate.code == code) return candidate;
  }
  return kRows[std::size(kRows) - 1];
}

}  // namespace

std::string_view code_name(Code code) { return row(code).name; }
Code code_from_name(std::string_view name) {
  for (const Row& candidate : kRows) {
    if (candidate.name == name) return candidate.code;
  }
  return Code::kInternal;
}

int exit_code(Code code) { return row(code).exit; }
int http_status(Code code) { return row(code).http; }

std::string describe(const Error& error) {
  if (error.remedy.empty()) return error.message;
  return error.message + " (" + error.remedy + ")";
}

Error os_error(std::string_view doing, int err) {
  std::string message = std::string(doing) + ": " + std::generic_category().message(err);
  switch (err) {
    case ENOENT:
    case ENOTDIR:
      return {Code::kNotFound, message, "check the path"};
    case EACCES:
    case EPERM:
    case EROFS:
      return {Code::kPermission, message, "check the owner and the mode of that path"};
    case ENOSPC:
    case EDQUOT:
      return {Code::kDiskFull, message, "free some space, or choose another --state-dir"};
    case EADDRINUSE:
      return {Code::kBusy, message, "choose another port with --listen or --host"};
    case EMFILE:
    case ENFILE:
      return {Code::kBusy, message, "raise the limit of open files (ulimit -n)"};
    default:
      return {Code::kIo, message, {}};
  }
}

}  // namespace gantry
