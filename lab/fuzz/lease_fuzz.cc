// Fuzz target: whatever is in a file of the shared folder, parse_lease ends with a lease that is
// written and read back the same, or with a typed error that says it is about a lease.
#include <cstdint>

#include "foreman/lease_file.h"
#include "lab/fuzz/expect.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace gantry;
  const auto lease = parse_lease({reinterpret_cast<const char*>(data), size});
  if (!lease) {
    expect_typed(lease.error(), "lease: ");
    return 0;
  }
  expect(size <= kLeaseFileMax.n && lease->pid > 1);
  const auto again = parse_lease(lease_text(*lease));
  expect(again.has_value() && *again == *lease);
  return 0;
}
