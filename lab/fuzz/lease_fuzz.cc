// Fuzz target: whatever is in a file of the shared folder, parse_lease ends with a lease that is
// written and read back the same, or with a typed error that says it is about a lease.
#include <cstdint>
#include <cstdlib>

#include "foreman/lease_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

void expect(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace gantry;
  const auto lease = parse_lease({reinterpret_cast<const char*>(data), size});
  if (!lease) {
    const Error& error = lease.error();
    expect(error.message.starts_with("lease: "));
    expect(error.code == Code::kCorrupt || error.code == Code::kTooLarge ||
           error.code == Code::kUnsupported);
    return 0;
  }
  expect(size <= kLeaseFileMax.n && lease->pid > 1);
  const auto again = parse_lease(lease_text(*lease));
  expect(again.has_value() && *again == *lease);
  return 0;
}
