// Tests of a machine's lines for a person.
#include <gtest/gtest.h>

#include "audit/facts.h"

namespace gantry {
namespace {

Machine machine_with(const Device& device) {
  Machine machine;
  machine.cpu.threads = 8;
  machine.memory.total = machine.memory.available = GiB(16);
  Device cpu;
  cpu.name = "cpu";
  machine.devices = {cpu, device};
  write_verdicts(&machine);
  return machine;
}

Device card(Bytes total, Bytes free) {
  Device device;
  device.name = "gpu0";
  device.description = "Card";
  device.kind = DeviceKind::kGpu;
  device.total = total;
  device.free = free;
  return device;
}

std::string verdict(const Device& device) { return machine_with(device).devices[1].verdict; }

TEST(Verdict, TheSizeOnTheBox) {
  EXPECT_EQ(verdict(card(GiB(16), GiB(16))), "16 GB card: plan with 16.0 GiB");
  EXPECT_EQ(verdict(card(Bytes{12622168064}, Bytes{12622168064})),
            "12 GB card: plan with 11.8 GiB");
  EXPECT_EQ(verdict(card(MiB(512), MiB(512))), "512.0 MiB card: plan with 512.0 MiB");
}

TEST(Verdict, Holders) {
  Device device = card(GiB(16), GiB(13));
  EXPECT_EQ(verdict(device), "16 GB card, 3.0 GiB held by others: plan with 13.0 GiB");
  device.holders = {{1, "Xorg", GiB(2)}};
  EXPECT_EQ(verdict(device),
            "16 GB card, 2.0 GiB held by Xorg, 1.0 GiB by others: plan with 13.0 GiB");
  device.holders = {{1, "a", MiB(900)}, {2, "b", MiB(800)}, {3, "c", MiB(700)},
                    {4, "d", MiB(600)}, {5, "a", MiB(50)}};
  EXPECT_EQ(verdict(device), "16 GB card, 950.0 MiB held by a, 800.0 MiB by b, 700.0 MiB by c, "
                             "622.0 MiB by others: plan with 13.0 GiB");
  device.free = GiB(15);
  device.holders = {{1, "Xorg", GiB(1)}, {2, "tiny", MiB(10)}};
  EXPECT_EQ(verdict(device), "16 GB card, 1.0 GiB held by Xorg: plan with 15.0 GiB");
  device.holders = {{1, "Xorg", GiB(40)}};  // absurd, and no reason to wrap around
  EXPECT_EQ(verdict(device), "16 GB card, 40.0 GiB held by Xorg: plan with 15.0 GiB");
}

TEST(Verdict, HeatPowerAndLink) {
  Device device = card(GiB(8), GiB(8));
  device.temperature_c = 84;
  EXPECT_EQ(verdict(device), "8 GB card: plan with 8.0 GiB");
  device.temperature_c = 85;
  EXPECT_EQ(verdict(device), "8 GB card: plan with 8.0 GiB; hot: 85 C");
  device.throttled = {"heat", "power"};
  device.link = PcieLink{1, 4, 4, 16};
  EXPECT_EQ(verdict(device), "8 GB card: plan with 8.0 GiB; throttled by heat and power at 85 C; "
                             "link x4 of x16");
}

TEST(Verdict, Trouble) {
  Device device = card(GiB(8), GiB(7));
  device.trouble = "the kernel has no driver for it";
  EXPECT_EQ(verdict(device), "8 GB card, unusable: the kernel has no driver for it");
  Machine machine = machine_with(device);
  EXPECT_EQ(troubles(machine),
            std::vector<std::string>{"gpu0 (Card): the kernel has no driver for it"});
  device.kind = DeviceKind::kIntegratedGpu;
  EXPECT_TRUE(troubles(machine_with(device)).empty());
  machine.note = "accelerators unknown: x";
  EXPECT_EQ(troubles(machine).front(), "accelerators unknown: x");
  write_verdicts(&machine);
  EXPECT_EQ(machine.devices[0].verdict,
            "8 threads, 16.0 GiB RAM, 16.0 GiB usable; accelerators unknown: x");
}

TEST(Verdict, WithoutMemoryOfItsOwn) {
  Device npu = card({}, {});
  EXPECT_EQ(verdict(npu), "card, memory unknown");
  npu.kind = DeviceKind::kNpu;
  EXPECT_EQ(verdict(npu), "NPU, no memory of its own");
}

}  // namespace
}  // namespace gantry
