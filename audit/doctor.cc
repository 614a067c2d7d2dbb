// The way to an NPU, step by step: hardware, kernel driver, firmware, node, permission, the
// driver's own libraries, OpenVINO. The first step that is missing hides those behind it.
#include "audit/doctor.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "audit/facts.h"

namespace gantry {

namespace {

constexpr std::string_view kNodes = "/dev/accel", kCards = "/dev/dri";
constexpr std::array<std::string_view, 4> kLibraries = {
    "/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib", "/usr/local/lib"};
constexpr std::array<std::string_view, 3> kFirmware = {
    "/lib/firmware/intel/vpu", "/usr/lib/firmware/intel/vpu", "/lib/firmware/updates/intel/vpu"};
constexpr std::string_view kJoin = "sudo usermod -aG render \"$USER\", then log in again";

class Doctor {
 public:
  Doctor(Os& os, const DoctorFacts& facts) : os_(os), facts_(facts) {}

  std::vector<Finding> all() {
    npus();
    openvino();
    cards();
    return std::move(found_);
  }

 private:
  void fine(std::string subject, std::string text) {
    found_.push_back({std::move(subject), false, std::move(text), ""});
  }
  void bad(std::string subject, std::string text, std::string remedy) {
    found_.push_back({std::move(subject), true, std::move(text), std::move(remedy)});
  }

  std::vector<std::string> nodes(std::string_view dir, std::string_view prefix) {
    std::vector<std::string> out;
    const Result<std::vector<std::string>> names = os_.list(std::string(dir));
    if (!names) return out;
    for (const std::string& name : *names) {
      if (name.starts_with(prefix)) out.push_back(join_path(dir, name));
    }
    std::ranges::sort(out);
    return out;
  }

  bool any_library(std::string_view name) {
    return std::ranges::any_of(kLibraries, [&](std::string_view dir) {
      const Result<std::vector<std::string>> names = os_.list(std::string(dir));
      return names && std::ranges::any_of(*names, [&](const std::string& file) {
        return file.starts_with(name);
      });
    });
  }

  void npus() {
    const std::vector<KernelDevice> kernel = read_kernel_devices(os_);
    const auto npu = std::ranges::find_if(kernel, [](const KernelDevice& one) {
      return one.facts.kind == DeviceKind::kNpu;
    });
    if (npu == kernel.end()) {
      fine("npu", "none on this machine: OpenVINO's CPU device answers in its place");
      return;
    }
    fine("npu", fmt::format("{} at {}",
                            npu->facts.description.empty() ? "an NPU" : npu->facts.description,
                            npu->facts.bus));
    if (driver(*npu) && node()) libraries();
  }

  bool driver(const KernelDevice& npu) {
    if (npu.driver == "intel_vpu") {
      fine("npu driver", "intel_vpu is bound to it");
      return true;
    }
    if (npu.driver == "vfio-pci") {
      fine("npu driver", "vfio-pci holds it for a virtual machine: ask the doctor there");
    } else if (npu.driver.empty()) {
      bad("npu driver", "no driver is bound to it",
          "sudo modprobe intel_vpu; it is in Linux since 6.3, see dmesg where it does not load");
    } else {
      bad("npu driver", npu.driver + " drives it, which OpenVINO does not know",
          "use the CPU or GPU device (--device gpu,cpu)");
    }
    return false;
  }

  bool firmware() {
    return std::ranges::any_of(kFirmware, [&](std::string_view dir) {
      return !nodes(dir, "vpu_").empty();
    });
  }

  bool node() {
    const std::vector<std::string> there = nodes(kNodes, "accel");
    if (there.empty()) {
      if (!firmware()) {
        bad("npu firmware", "no vpu_*.bin in /lib/firmware/intel/vpu",
            "install linux-firmware (Debian: firmware-misc-nonfree) or intel-fw-npu, then "
            "sudo modprobe -r intel_vpu && sudo modprobe intel_vpu");
      }
      bad("npu node", "there is no /dev/accel/accel*",
          "in a container: pass --device /dev/accel; elsewhere see dmesg | grep intel_vpu");
      return false;
    }
    // The kernel makes the node once the firmware runs.
    fine("npu firmware", "loaded");
    bool usable = true;
    for (const std::string& path : there) {
      if (facts_.may_use(path)) {
        fine("npu node", path + " may be used");
      } else {
        usable = false;
        bad("npu node", "this user may not open " + path, std::string(kJoin));
      }
    }
    return usable;
  }

  void libraries() {
    struct Library {
      std::string_view file, what, package;
    };
    constexpr std::array<Library, 3> kNeeded = {{
        {"libze_loader.so.1", "Level Zero's loader", "libze1 (Level Zero)"},
        {"libze_intel_npu.so.1", "the NPU's user-space driver", "intel-level-zero-npu"},
        {"libnpu_driver_compiler.so", "the compiler in the driver", "intel-driver-compiler-npu"},
    }};
    for (const Library& one : kNeeded) {
      if (any_library(one.file)) {
        fine("npu library", fmt::format("{} ({})", one.file, one.what));
      } else {
        bad("npu library", fmt::format("{} is not there: {}", one.file, one.what),
            fmt::format("install {} (https://github.com/intel/linux-npu-driver)", one.package));
      }
    }
    if (!facts_.openvino) return;
    const bool seen = std::ranges::any_of(*facts_.openvino, [](const std::string& name) {
      return name.starts_with("NPU");
    });
    if (seen) return fine("npu", "OpenVINO sees it");
    bad("npu", "OpenVINO does not see it", "update the NPU driver to one of this OpenVINO's time");
  }

  void openvino() {
    if (!facts_.openvino) {
      return bad("openvino", "it does not start: " + facts_.openvino_fault,
                 "build the dependencies again: ./run --setup");
    }
    fine("openvino", fmt::format("its devices: {}", fmt::join(*facts_.openvino, ", ")));
  }

  void cards() {
    size_t count = 0;
    for (const Device& device : facts_.devices) {
      const bool card = device.kind == DeviceKind::kGpu;
      if (!card && device.kind != DeviceKind::kIntegratedGpu) continue;
      ++count;
      if (device.trouble.empty()) {
        fine(device.name, device.description + " can be used");
      } else if (card) {
        bad(device.name, device.description + ": " + device.trouble,
            "docs/cli.md lists what each trouble of a card wants");
      } else {
        fine(device.name, device.description + " is not used: " + device.trouble);
      }
    }
    if (count == 0) return fine("gpu", "none on this machine");
    for (const std::string& path : nodes(kCards, "renderD")) {
      if (!facts_.may_use(path)) {
        bad("gpu node", "this user may not open " + path, std::string(kJoin));
      }
    }
  }

  Os& os_;
  const DoctorFacts& facts_;
  std::vector<Finding> found_;
};

}  // namespace

std::vector<Finding> diagnose(Os& os, const DoctorFacts& facts) {
  return Doctor(os, facts).all();
}

bool healthy(const std::vector<Finding>& findings) {
  return std::ranges::none_of(findings, &Finding::attention);
}

nlohmann::json findings_json(const std::vector<Finding>& findings) {
  nlohmann::json list = nlohmann::json::array();
  for (const Finding& one : findings) {
    list.push_back({{"subject", one.subject},
                    {"attention", one.attention},
                    {"text", one.text},
                    {"remedy", one.remedy.empty() ? nlohmann::json(nullptr)
                                                  : nlohmann::json(one.remedy)}});
  }
  return {{"healthy", healthy(findings)}, {"findings", std::move(list)}};
}

std::string findings_text(const std::vector<Finding>& findings) {
  std::string out;
  for (const Finding& one : findings) {
    out += fmt::format("{} {:<13} {}\n", one.attention ? "!!" : "ok", one.subject, one.text);
    if (!one.remedy.empty()) out += fmt::format("{:>17}{}\n", "do: ", one.remedy);
  }
  return out;
}

}  // namespace gantry
