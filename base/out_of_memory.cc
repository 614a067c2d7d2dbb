// The handler that operator new calls before it would throw.
#include "base/out_of_memory.h"

#include <unistd.h>

#include <new>
#include <string_view>

#include "base/result.h"

namespace gantry {

namespace {

// Threads may hold any lock: system calls only.
[[noreturn]] void out_of_memory() {
  constexpr std::string_view kWords =
      "gantry: there is no memory left (end other programs, or lower --ram-budget)\n";
  if (::write(STDERR_FILENO, kWords.data(), kWords.size()) < 0) ::_exit(1);
  ::_exit(exit_code(Code::kUnavailable));
}

}  // namespace

void exit_when_out_of_memory() { std::set_new_handler(out_of_memory); }

}  // namespace gantry
