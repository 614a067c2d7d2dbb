// Whole audits of machines that are not here (testdata/), and of the same machines damaged.
#include "audit/recorded.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "audit/facts.h"
#include "base/rng.h"

namespace gantry {
namespace {

constexpr const char* kMachines[] = {"rtx3060-12g", "rx6900xt-w5700x", "core-ultra-npu",
                                     "laptop-6g",   "container-4g",    "broken-driver"};

Machine audited(Recorded recording) {
  const auto machine = audit(recording.os, {"/models", "gantry-worker", ""});
  EXPECT_TRUE(machine) << machine.error().message;
  return machine ? *machine : Machine();
}

TEST(Recorded, Rtx3060) {
  const Machine machine = audited(recorded("rtx3060-12g"));
  ASSERT_EQ(machine.devices.size(), 2U);  // NVML, CUDA and the kernel mean one card
  const Device& card = machine.devices[1];
  EXPECT_EQ(card.verdict, "12 GB card, 304.0 MiB held by Xorg, 100.0 MiB by gnome-shell, 367.6 MiB "
                          "by others: plan with 11.2 GiB");
  EXPECT_EQ(card.name, "gpu0");
  EXPECT_EQ(card.backend, "CUDA0");
  EXPECT_EQ(card.total, GiB(12));
  EXPECT_EQ(card.free, Bytes{12075794432});  // before CUDA's own context took some
  EXPECT_EQ(card.temperature_c, 43);
  EXPECT_EQ(card.power_limit_w, 170);
  EXPECT_TRUE(card.energy_counter);
  ASSERT_TRUE(card.link);
  EXPECT_EQ(card.link->generation, 1U);  // idle: it saves power
  EXPECT_EQ(card.link->generation_max, 4U);
  EXPECT_EQ(card.link->width, 16U);
  EXPECT_EQ(card.holders[1].name, "gnome-shell");  // from /proc: NVML had no name
  EXPECT_TRUE(machine.devices[0].energy_counter);
  EXPECT_EQ(machine.devices[0].temperature_c, 41.25);
  EXPECT_TRUE(troubles(machine).empty());
}

TEST(Recorded, TwoCardsOfAmd) {
  const Machine machine = audited(recorded("rx6900xt-w5700x"));
  ASSERT_EQ(machine.devices.size(), 3U);
  EXPECT_EQ(machine.cpu.threads, 28U);
  const Device& first = machine.devices[1];
  EXPECT_EQ(first.verdict, "16 GB card, 640.0 MiB held by Xorg, 280.0 MiB by gnome-shell, "
                           "210.0 MiB by others: plan with 14.9 GiB");
  EXPECT_EQ(first.backend, "ROCm0");
  EXPECT_EQ(first.free, Bytes{17163091968 - 1184890880});
  ASSERT_EQ(first.holders.size(), 2U);
  EXPECT_EQ(first.holders[0].bytes, MiB(640));  // one client, open twice
  EXPECT_EQ(first.link->width, 16U);
  const Device& second = machine.devices[2];
  EXPECT_EQ(second.verdict, "16 GB card: plan with 16.0 GiB; throttled by heat at 94 C; link x8 of "
                            "x16");
  EXPECT_EQ(second.link->generation, 3U);  // the slot's, above the card's own switch
  EXPECT_EQ(second.power_w, 201);
  EXPECT_EQ(second.power_limit_w, 205);
  EXPECT_EQ(second.numa_node, 0);
  EXPECT_TRUE(troubles(machine).empty());
}

TEST(Recorded, TheSameCardsWithoutTheirEngine) {
  Recorded recording = recorded("rx6900xt-w5700x");
  recording.probe[1] = R"({"backends":"CPU","devices":[]})";
  recording.script();
  const Machine machine = audited(std::move(recording));
  ASSERT_EQ(machine.devices.size(), 3U);
  EXPECT_EQ(machine.devices[1].description, "AMD Radeon RX 6900 XT");  // libdrm's list
  EXPECT_EQ(machine.devices[2].description, "AMD Radeon Pro W5700X");
  EXPECT_EQ(machine.devices[1].verdict,
            "16 GB card, unusable: no engine here drives it: ggml has CPU only");
  EXPECT_EQ(machine.devices[1].free, Bytes{17163091968 - 1184890880});  // the facts stay
  EXPECT_EQ(troubles(machine).size(), 2U);
}

TEST(Recorded, CoreUltraWithNpu) {
  const Machine machine = audited(recorded("core-ultra-npu"));
  ASSERT_EQ(machine.devices.size(), 3U);
  EXPECT_EQ(machine.cpu.p_cores.size(), 12U);
  EXPECT_EQ(machine.cpu.e_cores.size(), 10U);
  const Device& graphics = machine.devices[1];
  EXPECT_EQ(graphics.kind, DeviceKind::kIntegratedGpu);
  EXPECT_EQ(graphics.bus, "0000:00:02.0");
  EXPECT_EQ(graphics.verdict, "23.2 GiB of the host's memory, 2.7 GiB held by others: plan with "
                              "20.5 GiB");
  const Device& npu = machine.devices[2];
  EXPECT_EQ(npu.name, "npu0");
  EXPECT_EQ(npu.kind, DeviceKind::kNpu);
  EXPECT_EQ(npu.description, "Intel(R) AI Boost");
  EXPECT_EQ(npu.bus, "0000:00:0b.0");  // OpenVINO's and the kernel's are one
  EXPECT_EQ(npu.free, Bytes{33178832896 - 536870912});
  EXPECT_EQ(npu.verdict,
            "30.9 GiB of the host's memory, 512.0 MiB held by others: plan with 30.4 GiB");
  EXPECT_TRUE(troubles(machine).empty());
}

TEST(Recorded, AnNpuWithoutOpenVinoIsInTrouble) {
  Recorded recording = recorded("core-ultra-npu");
  recording.probe[1] = R"({"backends":"CPU","devices":[]})";
  recording.probe[2] = R"({"openvino":[]})";
  recording.script();
  const Machine machine = audited(std::move(recording));
  ASSERT_EQ(machine.devices.size(), 3U);
  EXPECT_EQ(machine.devices[1].description, "Intel Arc Graphics");  // pci.ids
  EXPECT_EQ(machine.devices[1].verdict,
            "graphics in the processor, no memory of its own, unusable: no engine here drives it: "
            "ggml has CPU only");
  EXPECT_EQ(machine.devices[2].description, "Intel Meteor Lake NPU");
  ASSERT_EQ(troubles(machine).size(), 1U);  // the NPU; graphics share the processor's memory
  EXPECT_EQ(troubles(machine)[0],
            "npu0 (Intel Meteor Lake NPU): no engine here drives it: OpenVINO is not installed, or "
            "does not see it");
}

TEST(Recorded, Laptop) {
  const Machine machine = audited(recorded("laptop-6g"));
  ASSERT_EQ(machine.devices.size(), 3U);
  EXPECT_EQ(machine.devices[0].verdict,
            "20 threads (12 on performance cores), 15.4 GiB RAM, 8.0 GiB usable; hot: 97 C");
  const Device& card = machine.devices[1];
  EXPECT_EQ(card.verdict, "6 GB card, 450.0 MiB held by Xorg, 300.0 MiB by firefox, 617.5 MiB by "
                          "others: plan with 4.7 GiB; throttled by heat at 87 C; link x8 of x16");
  EXPECT_EQ(card.holders.size(), 3U);
  EXPECT_EQ(machine.devices[2].kind, DeviceKind::kIntegratedGpu);
  EXPECT_FALSE(machine.devices[2].trouble.empty());
  EXPECT_TRUE(troubles(machine).empty());
}

TEST(Recorded, Container) {
  const Machine machine = audited(recorded("container-4g"));
  ASSERT_EQ(machine.devices.size(), 1U);
  EXPECT_EQ(machine.devices[0].verdict,
            "2 threads, 125.8 GiB RAM in 2 NUMA nodes of which a control group grants 4.0 GiB, "
            "3.2 GiB usable; no accelerator: models run here");
  ASSERT_EQ(machine.cpu.numa.size(), 2U);
  EXPECT_EQ(machine.cpu.numa[1].id, 1);
  EXPECT_EQ(machine.cpu.numa[1].cpus.size(), 32U);
  EXPECT_EQ(machine.cpu.numa[0].free, KiB(32980864));
  EXPECT_TRUE(troubles(machine).empty());
}

TEST(Recorded, ABrokenDriverThatHangsDiesOrTalksNonsense) {
  const std::pair<std::vector<std::string>, const char*> answers[] = {
      {{}, "no answer within 10 s from NVIDIA's driver"},
      {{"NVRM: not a line of ours"}, "the device probe answered with something else"},
      {{R"({"nvidia":7})"}, "the device probe answered with something else"},
      {{R"({"nvidia":[],"trouble":""})"}, "no answer within 10 s from the engines' drivers"}};
  for (const auto& [lines, why] : answers) {
    Recorded recording = recorded("broken-driver");
    recording.probe = lines;
    recording.script();
    const Machine machine = audited(std::move(recording));
    ASSERT_EQ(machine.devices.size(), 2U);
    EXPECT_EQ(machine.devices[1].description, "NVIDIA GeForce RTX 2070");
    EXPECT_EQ(machine.devices[1].verdict,
              std::string("card, memory unknown, unusable: its driver does not answer: ") + why);
    EXPECT_EQ(machine.note, std::string("accelerators unknown: ") + why);
    EXPECT_EQ(troubles(machine).size(), 2U);
  }
  Recorded recording = recorded("broken-driver");
  recording.hangs = false;
  recording.script();
  EXPECT_EQ(audited(std::move(recording)).note,
            "accelerators unknown: the device probe ended while it asked NVIDIA's driver: killed "
            "by signal 11 (Segmentation fault)");
  recording = recorded("broken-driver");
  recording.probe = probe_of("");
  recording.probe[0] = R"({"nvidia":[],"trouble":"Driver/library version mismatch"})";
  recording.script();
  EXPECT_EQ(audited(std::move(recording)).devices[1].trouble,
            "its driver does not work: Driver/library version mismatch");
}

TEST(Recorded, WhatWasAnsweredBeforeTheHangStays) {
  Recorded recording = recorded("rtx3060-12g");
  recording.probe.resize(1);
  recording.hangs = true;
  recording.script();
  const Machine machine = audited(std::move(recording));
  ASSERT_EQ(machine.devices.size(), 2U);
  EXPECT_EQ(machine.devices[1].total, GiB(12));
  EXPECT_EQ(machine.devices[1].holders.size(), 2U);
  EXPECT_EQ(machine.devices[1].trouble,
            "its driver does not answer: no answer within 10 s from the engines' drivers");
  recording = recorded("rtx3060-12g");
  recording.probe.resize(2);
  recording.hangs = true;
  recording.script();
  const Machine without_npu = audited(std::move(recording));
  EXPECT_EQ(without_npu.devices[1].trouble, "");
  EXPECT_EQ(without_npu.note, "NPUs unknown: no answer within 10 s from OpenVINO");
}

TEST(Recorded, RoundTripsAsJson) {
  for (const char* name : kMachines) {
    const std::string text = machine_json(audited(recorded(name))).dump();
    const auto again = parse_machine(text);
    ASSERT_TRUE(again) << name << ": " << again.error().message;
    EXPECT_EQ(machine_json(*again).dump(), text) << name;
  }
}

TEST(Recorded, EveryFileMayBeMissingOrUnreadable) {
  for (const char* name : kMachines) {
    Recorded whole = recorded(name);
    const auto files = whole.os.files;
    for (const auto& [path, text] : files) {
      Recorded recording = recorded(name);
      recording.os.files.erase(path);
      const auto machine = audit(recording.os, {"/models", "gantry-worker", ""});
      const bool needed = path == "/proc/cpuinfo" || path == "/proc/meminfo";
      EXPECT_EQ(machine.has_value(), !needed) << name << " without " << path;
    }
    ASSERT_TRUE(audit(whole.os, {"/models", "gantry-worker", ""}));
    const uint64_t operations = whole.os.operations();
    for (uint64_t n = 0; n < operations; ++n) {  // a loop of links, no permission, a dead disk
      Recorded recording = recorded(name);
      recording.os.fail_at(n, {Code::kIo, "Too many levels of symbolic links"});
      const auto machine = audit(recording.os, {"/models", "gantry-worker", ""});
      if (!machine) {
        EXPECT_EQ(machine.error().code, Code::kIo);
      }
    }
  }
}

// Contents that a driver must not write, and that one did.
std::string damaged(Rng& rng, const std::string& text) {
  constexpr const char* kOdd[] = {"", "-1", "99999999999999999999999", "18446744073709551615",
                                  "0x", "N/A", "drm-total-vram0:\t18446744073709551615 MiB\n",
                                  "PCI_ID=:::\nPCI_CLASS=zz\nDRIVER=\n"};
  std::string out = text;
  switch (rng.below(4)) {
    case 0: return kOdd[rng.below(std::size(kOdd))];
    case 1: out.resize(rng.below(out.size() + 1)); return out;
    case 2: return out + out + std::string(rng.below(5000), static_cast<char>(rng.below(256)));
    default:
      for (int i = 0; i < 4 && !out.empty(); ++i) {
        out[rng.below(out.size())] = static_cast<char>(rng.below(256));
      }
      return out;
  }
}

TEST(Recorded, GarbageCostsFactsNeverTheAudit) {
  Rng rng(20261121);
  for (int round = 0; round < 600; ++round) {
    Recorded recording = recorded(kMachines[rng.below(std::size(kMachines))]);
    for (auto& [path, text] : recording.os.files) {
      if (path != "/proc/cpuinfo" && path != "/proc/meminfo" && rng.below(4) == 0) {
        text = damaged(rng, text);
      }
    }
    for (std::string& line : recording.probe) {
      if (rng.below(4) == 0) line = damaged(rng, line);
    }
    recording.script();
    const auto machine = audit(recording.os, {"/models", "gantry-worker", ""});
    ASSERT_TRUE(machine) << machine.error().message;
    for (const Device& device : machine->devices) {
      EXPECT_LE(device.free, device.total);
      EXPECT_LE(device.total, kDeviceBytesMax);
    }
    const auto again = parse_machine(
        machine_json(*machine).dump(-1, ' ', false, nlohmann::json::error_handler_t::strict));
    ASSERT_TRUE(again) << again.error().message;
  }
}

TEST(Recorded, AThousandProcesses) {
  Recorded recording = recorded("rx6900xt-w5700x");
  for (int pid = 10'000; pid < 11'000; ++pid) {
    const std::string dir = "/proc/" + std::to_string(pid);
    recording.os.files[dir + "/comm"] = "ffmpeg\n";
    recording.os.files[dir + "/fdinfo/3"] = "drm-pdev:\t0000:09:00.0\ndrm-client-id:\t" +
                                            std::to_string(pid) + "\ndrm-memory-vram:\t1024 KiB\n";
  }
  const Machine machine = audited(std::move(recording));
  EXPECT_EQ(machine.devices[2].holders.size(), kHoldersMax);
  EXPECT_EQ(machine.devices[1].holders.size(), 2U);
}

}  // namespace
}  // namespace gantry
