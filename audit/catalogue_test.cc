// Every recorded machine holds together, and is what its data sheets say.
#include "audit/catalogue.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>

namespace gantry {
namespace {

const Device& gpu(const Machine& machine, size_t index = 1) { return machine.devices.at(index); }

TEST(MachineCatalogue, EveryMachineHoldsTogether) {
  const std::vector<CatalogueMachine> all = catalogue_machines();
  ASSERT_GE(all.size(), 35U);
  std::set<std::string> ids;
  for (const CatalogueMachine& row : all) {
    SCOPED_TRACE(row.id);
    EXPECT_TRUE(ids.insert(row.id).second);
    EXPECT_FALSE(row.about.empty());
    const std::optional<Machine> machine = catalogue_machine(row.id);
    ASSERT_TRUE(machine);
    EXPECT_EQ(machine->id, row.id);
    EXPECT_TRUE(machine->recorded);
    EXPECT_EQ(machine->devices.front().kind, DeviceKind::kCpu);
    EXPECT_EQ(machine->cpu.p_cores.size() + machine->cpu.e_cores.size(), machine->cpu.threads);
    for (const Device& device : machine->devices) {
      EXPECT_LE(device.free, device.total);
      EXPECT_FALSE(device.verdict.empty());
      if (device.kind == DeviceKind::kNpu) continue;
      const double bandwidth = device.bandwidth.memory_bytes_per_s.value_or(0);
      EXPECT_GT(bandwidth, 0);
      for (const Rate& rate : device.rates) {
        EXPECT_GT(rate.decode_bytes_per_s, 0.2 * bandwidth) << rate.quantisation;
        EXPECT_LE(rate.decode_bytes_per_s, 0.9 * bandwidth) << rate.quantisation;
        EXPECT_GT(rate.prefill_flop_per_s, 1e9) << rate.quantisation;
      }
      EXPECT_GE(device.rates.size(), 19U);
    }
    // What is printed can be read again, as any machine file.
    const Result<Machine> again = parse_machine(machine_json(*machine).dump());
    ASSERT_TRUE(again) << again.error().message;
    EXPECT_EQ(again->devices.size(), machine->devices.size());
  }
}

TEST(MachineCatalogue, ListsTheSmallestCardFirst) {
  Bytes last;
  for (const CatalogueMachine& row : catalogue_machines()) {
    EXPECT_GE(row.accelerator_memory, last) << row.id;
    last = row.accelerator_memory;
  }
  EXPECT_EQ(last, GiB(32));
}

TEST(MachineCatalogue, KnowsTheReferenceMachines) {
  const auto rtx3060 = catalogue_machine("rtx3060-12g");
  ASSERT_TRUE(rtx3060);
  EXPECT_EQ(gpu(*rtx3060).total, GiB(12));
  EXPECT_EQ(gpu(*rtx3060).free, GiB(12) - MiB(512));  // the 11.5 GB of the reference figures
  EXPECT_EQ(gpu(*rtx3060).backend, "CUDA0");
  EXPECT_NEAR(*gpu(*rtx3060).bandwidth.host_copy_bytes_per_s, 24.9e9, 0.1e9);

  const auto two = catalogue_machine("rx6900xt+w5700x");
  ASSERT_TRUE(two);
  ASSERT_EQ(two->devices.size(), 3U);
  EXPECT_EQ(gpu(*two, 1).name, "gpu0");
  EXPECT_EQ(gpu(*two, 2).name, "gpu1");
  EXPECT_EQ(gpu(*two, 2).backend, "Vulkan0");
  EXPECT_GT(gpu(*two, 2).free, gpu(*two, 1).free);  // no display on it
  EXPECT_EQ(gpu(*two, 1).link->generation, 3U);     // that host's
  EXPECT_EQ(two->cpu.p_cores.size(), 56U);

  const auto laptop = catalogue_machine("laptop-6g");
  ASSERT_TRUE(laptop);
  EXPECT_EQ(gpu(*laptop).total, GiB(6));
  EXPECT_EQ(laptop->devices.back().kind, DeviceKind::kNpu);
  EXPECT_EQ(laptop->cpu.e_cores.size(), 10U);
}

TEST(MachineCatalogue, AnIntegratedCardTakesFromTheHost) {
  const auto igpu = catalogue_machine("igpu");
  const auto laptop = catalogue_machine("laptop-6g");
  ASSERT_TRUE(igpu && laptop);
  EXPECT_EQ(igpu->memory.available + gpu(*igpu).total, laptop->memory.available);
  EXPECT_EQ(igpu->devices.front().free, igpu->memory.available);
}

TEST(MachineCatalogue, JoinsCards) {
  const auto machine = catalogue_machine("rtx3090-24g+rtx3090-24g");
  ASSERT_TRUE(machine);
  ASSERT_EQ(machine->devices.size(), 3U);
  EXPECT_EQ(gpu(*machine, 2).backend, "CUDA1");
  EXPECT_TRUE(catalogue_machine("t4+t4+t4+t4"));
  EXPECT_FALSE(catalogue_machine("t4+t4+t4+t4+t4"));
}

TEST(MachineCatalogue, RefusesWhatItDoesNotKnow) {
  for (const char* id : {"", "+", "rtx3060-12g+", "+rtx3060-12g", "rtx3060-13g", "laptop-6g+t4",
                         "t4++t4", "cpu-16g+t4"}) {
    EXPECT_FALSE(catalogue_machine(id)) << id;
  }
  EXPECT_EQ(catalogue_machine("arc")->id, "a770-16g");
  EXPECT_EQ(nearest_machine("rtx-3060-12g"), "rtx3060-12g");
}

}  // namespace
}  // namespace gantry
