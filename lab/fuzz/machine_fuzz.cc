// Fuzz target: whatever the bytes, parse_machine ends with a machine that prints and reads back, or
// with a typed error that names a field; and what it accepts can be planned for.
#include <nlohmann/json.hpp>

#include "lab/fuzz/expect.h"
#include "plan/example.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace gantry;
  const auto machine = parse_machine({reinterpret_cast<const char*>(data), size});
  if (!machine) {
    expect_typed(machine.error(), "machine: ");
    return 0;
  }
  const std::string text = machine_json(*machine).dump();
  const auto again = parse_machine(text);
  expect(again.has_value() && machine_json(*again).dump() == text);
  Demand demand;
  demand.wishes = {wish_for("speech", whisper_card()), wish_for("small", llama_card(kMicro)),
                   wish_for("large", llama_card(kSevenB))};
  const auto made = plan(*machine, demand);
  expect(made.has_value() && verify(*machine, demand, *made).has_value());
  return 0;
}
