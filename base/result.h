// Errors are values: every fallible call returns Result<T>. The only place that names tl::expected.
#pragma once

#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>

namespace gantry {

// One value per kind of cause; exit_code() and http_status() give its meaning at the two doors.
enum class Code {
  kUsage,         // the caller asked for something malformed
  kNotFound,      // no such file, model or job
  kCorrupt,       // bytes from outside that are not what they claim to be
  kTooLarge,      // over a named limit
  kUnsupported,   // well-formed, but not something we can do
  kPermission,    // the operating system or a policy says no
  kDiskFull,      // ENOSPC or EDQUOT
  kIo,            // any other failure of the operating system
  kBusy,          // taken by somebody else; trying later may work
  kTimeout,       // a time limit ran out
  kCancelled,     // the caller or a signal ended it
  kDoesNotFit,    // more bytes than the budget has
  kUnavailable,   // device, worker or daemon not to be had
  kWorkerFailed,  // a worker process died or answered with an error
  kConflict,      // state changed under the caller (stale token, finished job)
  kInternal,      // a broken invariant of ours
};

struct Error {
  Code code = Code::kInternal;
  std::string message;      // the cause, one line, lower case, no full stop
  std::string remedy = {};  // what the user can do about it; may be empty
};

template <class T>
using Result = tl::expected<T, Error>;

inline tl::unexpected<Error> fail(Code code, std::string message, std::string remedy = {}) {
  return tl::unexpected<Error>(Error{code, std::move(message), std::move(remedy)});
}
inline tl::unexpected<Error> fail(Error error) { return tl::unexpected<Error>(std::move(error)); }

// The lower-case word for logs, JSON and jobs: "not_found", "does_not_fit", ...
std::string_view code_name(Code code);
Code code_from_name(std::string_view name);  // kInternal for an unknown word

// Exit status of a program: 1 failed, 2 wrong usage, 3 does not fit, 4 device or worker
// unavailable.
int exit_code(Code code);

// Status of an HTTP answer.
int http_status(Code code);

// "CAUSE (REMEDY)", or the cause alone where there is no remedy.
std::string describe(const Error& error);

// An Error from errno; disk-full, permission and not-found get their own codes and remedies.
Error os_error(std::string_view doing, int err);

}  // namespace gantry
