// The recorded laptop with an NPU, with one thing after the other missing.
#include "audit/doctor.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "audit/recorded.h"

namespace gantry {
namespace {

class DoctorTest : public ::testing::Test {
 protected:
  DoctorTest() : machine(recorded("core-ultra-npu")) {
    auto& files = machine.os.files;
    files["/dev/accel/accel0"] = "";
    for (const char* name : {"libze_loader.so.1.18", "libze_loader.so.1", "libze_intel_npu.so.1",
                             "libnpu_driver_compiler.so"}) {
      files[std::string("/usr/lib/x86_64-linux-gnu/") + name] = "";
    }
    facts.openvino = std::vector<std::string>{"CPU", "NPU"};
    facts.may_use = [this](const std::string& path) { return path != closed; };
  }
  // The one finding that wants attention.
  Finding only() {
    std::vector<Finding> out;
    for (const Finding& one : diagnose(machine.os, facts)) {
      if (one.attention) out.push_back(one);
    }
    EXPECT_EQ(out.size(), 1U);
    return out.empty() ? Finding{} : out.front();
  }
  void replace(const std::string& path, const std::string& old, const std::string& fresh) {
    std::string& text = machine.os.files[path];
    const size_t at = text.find(old);
    ASSERT_NE(at, std::string::npos);
    text.replace(at, old.size(), fresh);
  }

  Recorded machine;
  DoctorFacts facts;
  std::string closed;
};

constexpr const char* kUevent = "/sys/bus/pci/devices/0000:00:0b.0/uevent";

TEST_F(DoctorTest, NothingToDo) {
  const auto findings = diagnose(machine.os, facts);
  EXPECT_TRUE(healthy(findings)) << findings_text(findings);
  EXPECT_NE(findings_text(findings).find("OpenVINO sees it"), std::string::npos);
  const auto json = findings_json(findings);
  EXPECT_EQ(json["healthy"], true);
  EXPECT_TRUE(json["findings"][0]["remedy"].is_null());
}

TEST_F(DoctorTest, NoDriver) {
  replace(kUevent, "DRIVER=intel_vpu\n", "");
  const Finding one = only();
  EXPECT_EQ(one.subject, "npu driver");
  EXPECT_NE(one.remedy.find("modprobe intel_vpu"), std::string::npos);
}

TEST_F(DoctorTest, HeldForAVirtualMachine) {
  replace(kUevent, "DRIVER=intel_vpu", "DRIVER=vfio-pci");
  EXPECT_TRUE(healthy(diagnose(machine.os, facts)));
}

TEST_F(DoctorTest, NoFirmware) {
  machine.os.files.erase("/dev/accel/accel0");
  const auto findings = diagnose(machine.os, facts);
  EXPECT_NE(findings_text(findings).find("linux-firmware"), std::string::npos);
  EXPECT_NE(findings_text(findings).find("--device /dev/accel"), std::string::npos);
  machine.os.files["/lib/firmware/intel/vpu/vpu_37xx_v0.0.bin"] = "";
  EXPECT_EQ(only().subject, "npu node");
}

TEST_F(DoctorTest, NoPermission) {
  closed = "/dev/accel/accel0";
  const Finding one = only();
  EXPECT_EQ(one.subject, "npu node");
  EXPECT_NE(one.remedy.find("usermod -aG render"), std::string::npos);
}

TEST_F(DoctorTest, NoCompiler) {
  machine.os.files.erase("/usr/lib/x86_64-linux-gnu/libnpu_driver_compiler.so");
  const Finding one = only();
  EXPECT_NE(one.text.find("compiler"), std::string::npos);
  EXPECT_NE(one.remedy.find("intel-driver-compiler-npu"), std::string::npos);
}

TEST_F(DoctorTest, OpenVinoSeesNoNpu) {
  facts.openvino = std::vector<std::string>{"CPU"};
  EXPECT_NE(only().text.find("does not see it"), std::string::npos);
  facts.openvino.reset();
  facts.openvino_fault = "no such file";
  EXPECT_NE(only().text.find("no such file"), std::string::npos);
}

TEST_F(DoctorTest, CardsAndTheirNodes) {
  Device card;
  card.kind = DeviceKind::kGpu;
  card.name = "gpu0";
  card.description = "Card";
  facts.devices = {card};
  machine.os.files["/dev/dri/renderD128"] = "";
  EXPECT_TRUE(healthy(diagnose(machine.os, facts)));
  facts.devices[0].trouble = "driver does not answer";
  EXPECT_EQ(only().subject, "gpu0");
  facts.devices[0].trouble.clear();
  closed = "/dev/dri/renderD128";
  EXPECT_EQ(only().subject, "gpu node");
}

TEST_F(DoctorTest, WithoutAnNpuAllIsWell) {
  Recorded plain = recorded("laptop-6g");
  facts.openvino = std::vector<std::string>{"CPU"};
  const auto findings = diagnose(plain.os, facts);
  EXPECT_TRUE(healthy(findings)) << findings_text(findings);
  EXPECT_NE(findings_text(findings).find("OpenVINO's CPU device answers"), std::string::npos);
}

}  // namespace
}  // namespace gantry
