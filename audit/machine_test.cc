// Tests of the machine as JSON, round trips and refusals.
#include "audit/machine.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "audit/facts.h"

namespace gantry {
namespace {

using nlohmann::json;

Machine example() {
  Machine machine;
  machine.id = "example";
  machine.cpu = {"Some CPU", 6, {0, 1, 2, 3}, {4, 5}, {"avx2"}, {}};
  machine.memory.total = GiB(16);
  machine.memory.available = GiB(12);
  machine.memory.cgroup_limit = GiB(8);
  machine.memory.cgroup_used = GiB(1);
  Device cpu;
  cpu.name = "cpu";
  cpu.total = GiB(16);
  cpu.free = GiB(7);
  cpu.temperature_c = 55.5;
  cpu.bandwidth.memory_bytes_per_s = 2.5e10;
  Device gpu;
  gpu.name = "gpu0";
  gpu.backend = "CUDA0";
  gpu.description = "Card";
  gpu.kind = DeviceKind::kGpu;
  gpu.total = GiB(12);
  gpu.free = Bytes{GiB(11).n + MiB(512).n};
  machine.devices = {cpu, gpu};
  machine.disk = {"/models", GiB(100), 1.5e9, ""};
  gpu.power_w = 150.5;
  gpu.power_limit_w = 170;
  gpu.throttled = {"heat", "power"};
  gpu.bus = "0000:01:00.0";
  gpu.link = PcieLink{3, 8, 4, 16};
  gpu.numa_node = 1;
  gpu.holders = {{7, "Xorg", MiB(300)}, {8, "firefox", MiB(100)}};
  gpu.energy_counter = true;
  gpu.bandwidth = {3.6e11, 2.4e10, 6e9};
  gpu.rates = {{"Q4_K", 2.9e11, 2.1e13}, {"F16", 3.1e11, 3.3e13}};
  machine.devices[1] = gpu;
  machine.cpu.numa = {{0, {0, 1, 2}, GiB(8), GiB(5)}, {1, {3, 4, 5}, GiB(8), GiB(6)}};
  machine.recorded = true;
  machine.note = "NPUs unknown: why";
  write_verdicts(&machine);
  return machine;
}

TEST(MachineJson, RoundTrips) {
  const Machine machine = example();
  const std::string text = machine_json(machine).dump();
  const auto again = parse_machine(text);
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(machine_json(*again).dump(), text);
  EXPECT_EQ(again->memory.usable(), GiB(7));
  EXPECT_EQ(again->cpu.e_cores, (std::vector<int>{4, 5}));
  const Device& gpu = again->devices[1];
  EXPECT_EQ(gpu.kind, DeviceKind::kGpu);
  EXPECT_EQ(gpu.link->width_max, 16U);
  EXPECT_EQ(gpu.holders[1].bytes, MiB(100));
  EXPECT_EQ(gpu.rates[1].prefill_flop_per_s, 3.3e13);
  EXPECT_EQ(gpu.bandwidth.pageable_copy_bytes_per_s, 6e9);
  EXPECT_EQ(gpu.throttled.size(), 2U);
  EXPECT_EQ(gpu.numa_node, 1);
  EXPECT_EQ(again->cpu.numa[1].cpus, (std::vector<int>{3, 4, 5}));
  EXPECT_TRUE(again->recorded);
}

TEST(MachineJson, WhatTheFileDoesNotSayIsReadBack) {
  const auto machine = parse_machine(
      R"({"memory":{"total_bytes":8589934592},
          "devices":[{"name":"cpu","kind":"cpu","total_bytes":8589934592}]})");
  ASSERT_TRUE(machine) << machine.error().message;
  EXPECT_EQ(machine->cpu.threads, 1U);
  const auto again = parse_machine(machine_json(*machine).dump());
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(machine_json(*again), machine_json(*machine));
}

// Written by the version before links, holders and rates.
TEST(MachineJson, OldFilesAreStillRead) {
  const auto machine = parse_machine(
      R"({"cpu":{"e_cores":"","features":["avx2"],"model":"AMD EPYC","p_cores":"0-1","threads":2},
      "devices":[{"backend":"CPU","bandwidth":{"host_copy_bytes_per_s":null,
      "memory_bytes_per_s":21e9},"description":"AMD EPYC","free_bytes":22102466560,"kind":"cpu",
      "name":"cpu","temperature_c":null,"total_bytes":25276514304,"verdict":"2 threads"}],
      "disk":{"free_bytes":40330399744,"path":"/models","read_bytes_per_s":null,"verdict":"x"},
      "id":"local","memory":{"available_bytes":22102466560,"cgroup_limit_bytes":null,
      "cgroup_used_bytes":null,"total_bytes":25276514304,"usable_bytes":22102466560}})");
  ASSERT_TRUE(machine) << machine.error().message;
  EXPECT_FALSE(machine->recorded);
  EXPECT_FALSE(machine->devices[0].link);
  EXPECT_EQ(machine->devices[0].numa_node, -1);
  EXPECT_TRUE(machine->devices[0].rates.empty());
  EXPECT_EQ(machine->devices[0].bandwidth.memory_bytes_per_s, 21e9);
}

TEST(MachineJson, ShapeThatScriptsRelyOn) {
  const json out = machine_json(example());
  for (const char* key : {"name", "kind", "total_bytes", "free_bytes", "temperature_c",
                          "bandwidth", "verdict"}) {
    EXPECT_TRUE(out["devices"][1].contains(key)) << key;
  }
  EXPECT_EQ(out["devices"][0]["temperature_c"], 55.5);
  EXPECT_TRUE(out["devices"][1]["temperature_c"].is_null());
  EXPECT_EQ(out["memory"]["usable_bytes"], GiB(7).n);
  EXPECT_EQ(out["disk"]["read_bytes_per_s"], 1.5e9);
}

TEST(MachineJson, Verdicts) {
  Machine machine = example();
  machine.note.clear();
  machine.cpu.numa.clear();
  machine.devices[1].throttled.clear();
  machine.devices[1].holders.clear();
  write_verdicts(&machine);
  EXPECT_EQ(machine.devices[0].verdict,
            "6 threads (4 on performance cores), 16.0 GiB RAM of which a control group grants "
            "8.0 GiB, 7.0 GiB usable, read at 23.3 GiB/s");
  EXPECT_EQ(machine.devices[1].verdict,
            "12 GB card, 512.0 MiB held by others: plan with 11.5 GiB; link x8 of x16");
  EXPECT_EQ(machine.disk.verdict, "100.0 GiB free, read at 1.4 GiB/s");
  Machine plain = machine;
  plain.devices.resize(1);
  plain.cpu.threads = 1;
  plain.cpu.e_cores.clear();
  plain.memory.cgroup_limit.reset();
  plain.devices[0].bandwidth = {};
  plain.disk.read_bytes_per_s.reset();
  write_verdicts(&plain);
  EXPECT_EQ(plain.devices[0].verdict,
            "1 thread, 16.0 GiB RAM, 12.0 GiB usable; no accelerator: models run here");
  EXPECT_EQ(plain.disk.verdict, "100.0 GiB free, speed not measured");
  plain.note = "accelerators unknown: the driver is broken";
  write_verdicts(&plain);
  EXPECT_TRUE(plain.devices[0].verdict.ends_with("; " + plain.note));
}

TEST(MachineJson, HandWrittenMinimum) {
  const auto machine = parse_machine(
      R"({"memory": {"total_bytes": 1000}, "devices": [
          {"name": "cpu", "kind": "cpu", "total_bytes": 1000}]})");
  ASSERT_TRUE(machine) << machine.error().message;
  EXPECT_EQ(machine->memory.usable(), Bytes{1000});
  EXPECT_EQ(machine->devices[0].free, Bytes{1000});
}

TEST(MachineJson, RefusalsNameTheField) {
  const json good = machine_json(example());
  const auto refused = [&](const char* pointer, const json& value) -> std::string {
    json bad = good;
    bad[json::json_pointer(pointer)] = value;
    const auto machine = parse_machine(bad.dump());
    return machine ? "it was accepted" : machine.error().message;
  };
  EXPECT_EQ(refused("/memory/total_bytes", -1),
            "machine: memory.total_bytes is no number of bytes");
  EXPECT_EQ(refused("/memory/total_bytes", 2e30),
            "machine: memory.total_bytes is no number of bytes");
  EXPECT_EQ(refused("/memory", nullptr), "machine: memory is missing");
  EXPECT_EQ(refused("/memory", 5), "machine: memory is no object");
  EXPECT_EQ(refused("/devices", json::array()), "machine: devices is no list of 1 to 64 devices");
  EXPECT_EQ(refused("/devices/1/kind", "tpu"),
            "machine: devices[1].kind is none of cpu, gpu, integrated_gpu, npu, other");
  EXPECT_EQ(refused("/devices/1/name", "cpu"), "machine: devices[1].name is empty or taken");
  EXPECT_EQ(refused("/devices/0/kind", "gpu"),
            "machine: devices[0].kind must be cpu for the first device and no other");
  EXPECT_EQ(refused("/devices/1/free_bytes", GiB(13).n),
            "machine: devices[1].free_bytes is more than total_bytes");
  EXPECT_EQ(refused("/devices/1/bandwidth/memory_bytes_per_s", 0),
            "machine: devices[1].bandwidth.memory_bytes_per_s is out of range");
  EXPECT_EQ(refused("/cpu/threads", "two"), "machine: cpu.threads is no whole number");
  EXPECT_EQ(refused("/disk/path", 5), "machine: disk.path is no text");
  EXPECT_EQ(refused("/devices/1/link/width", 65),
            "machine: devices[1].link.width is out of range");
  EXPECT_EQ(refused("/devices/1/link", 5), "machine: devices[1].link is no object");
  EXPECT_EQ(refused("/devices/1/holders/1/bytes", "x"),
            "machine: devices[1].holders[1].bytes is no number of bytes");
  EXPECT_EQ(refused("/devices/1/holders/0/pid", 1.5),
            "machine: devices[1].holders[0].pid is no whole number");
  EXPECT_EQ(refused("/devices/1/holders", std::vector<int>(65)),
            "machine: devices[1].holders is no list of at most 64");
  EXPECT_EQ(refused("/devices/1/rates/0/decode_bytes_per_s", -1),
            "machine: devices[1].rates[0].decode_bytes_per_s is out of range");
  EXPECT_EQ(refused("/devices/1/throttled/0", 5),
            "machine: devices[1].throttled[0] is no text of 256 characters");
  EXPECT_EQ(refused("/devices/1/energy_counter", 1),
            "machine: devices[1].energy_counter is neither true nor false");
  EXPECT_EQ(refused("/devices/1/numa_node", UINT64_MAX),
            "machine: devices[1].numa_node is out of range");
  EXPECT_EQ(refused("/cpu/numa/1/total_bytes", nullptr),
            "machine: cpu.numa[1].total_bytes is missing");
  EXPECT_EQ(refused("/recorded", "yes"), "machine: recorded is neither true nor false");
  EXPECT_EQ(refused("/devices/1/description", std::string(257, 'x')),
            "machine: devices[1].description is longer than 256 characters");
}

TEST(MachineJson, DevicesAtTheLimitAndOneOver) {
  json many = machine_json(example());
  while (many["devices"].size() < kDevicesMax) {
    json more = many["devices"][1];
    more["name"] = "gpu" + std::to_string(many["devices"].size());
    many["devices"].push_back(more);
  }
  EXPECT_TRUE(parse_machine(many.dump()));
  many["devices"].push_back(many["devices"][1]);
  EXPECT_FALSE(parse_machine(many.dump()));
}

TEST(MachineJson, EveryTruncationIsRefused) {
  const std::string text = machine_json(example()).dump();
  for (size_t n = 0; n < text.size(); ++n) EXPECT_FALSE(parse_machine(text.substr(0, n)));
  EXPECT_FALSE(parse_machine(std::string(kMachineFileMax.n + 1, ' ')));
  EXPECT_FALSE(parse_machine(std::string(100'000, '[')));
}

}  // namespace
}  // namespace gantry
