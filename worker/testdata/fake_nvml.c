/* Stands in for libnvidia-ml.so.1 in tests: an RTX 3060 whose calls fail, lie or hang as the
 * variable FAKE_NVML asks, "FUNCTION=fail", "FUNCTION=hang", "FUNCTION=crash", "absurd". */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { kOk = 0, kNotSupported = 3, kMismatch = 18 };

static int fault(const char* function) {
  const char* wanted = getenv("FAKE_NVML");
  const size_t n = strlen(function);
  if (wanted == NULL || strncmp(wanted, function, n) != 0 || wanted[n] != '=') return kOk;
  if (strcmp(wanted + n + 1, "hang") == 0) {
    for (;;) pause();
  }
  if (strcmp(wanted + n + 1, "crash") == 0) abort();
  return strcmp(function, "nvmlInit_v2") == 0 ? kMismatch : kNotSupported;
}

static int absurd(void) {
  const char* wanted = getenv("FAKE_NVML");
  return wanted != NULL && strcmp(wanted, "absurd") == 0;
}

typedef void* Card;
struct PciInfo {
  char legacy[16];
  unsigned domain, bus, device, id, subsystem;
  char bus_id[32];
};
struct Memory {
  unsigned long long total, free, used;
};
struct Process {
  unsigned pid;
  unsigned long long used;
  unsigned gi, ci;
};

int nvmlInit_v2(void) { return fault("nvmlInit_v2"); }
int nvmlShutdown(void) { return kOk; }
const char* nvmlErrorString(int status) {
  return status == kMismatch ? "Driver/library version mismatch" : "Not Supported";
}

int nvmlDeviceGetCount_v2(unsigned* count) {
  *count = absurd() ? 0xffffffffU : 1;
  return fault("nvmlDeviceGetCount_v2");
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, Card* card) {
  static char token;
  *card = &token;
  return index > 0 ? kNotSupported : fault("nvmlDeviceGetHandleByIndex_v2");
}

#ifndef FAKE_PARTIAL
int nvmlDeviceGetMemoryInfo(Card card, struct Memory* memory) {
  (void)card;
  memory->total = absurd() ? ~0ULL : 12288ULL << 20;
  memory->free = absurd() ? ~0ULL - 1 : 11000ULL << 20;
  memory->used = memory->total - memory->free;
  return fault("nvmlDeviceGetMemoryInfo");
}
#endif

int nvmlDeviceGetName(Card card, char* name, unsigned size) {
  (void)card;
  if (absurd()) {
    memset(name, 0xff, size); /* not even terminated */
  } else {
    snprintf(name, size, "NVIDIA GeForce RTX 3060");
  }
  return kOk;
}

int nvmlDeviceGetPciInfo_v3(Card card, struct PciInfo* pci) {
  (void)card;
  memset(pci, absurd() ? 'x' : 0, sizeof *pci);
  if (!absurd()) strcpy(pci->bus_id, "00000000:01:00.0");
  return fault("nvmlDeviceGetPciInfo_v3");
}

int nvmlDeviceGetTemperature(Card card, int sensor, unsigned* celsius) {
  (void)card;
  (void)sensor;
  *celsius = absurd() ? 4000000000U : 71;
  return fault("nvmlDeviceGetTemperature");
}

int nvmlDeviceGetPowerUsage(Card card, unsigned* milliwatts) {
  (void)card;
  *milliwatts = absurd() ? 0xffffffffU : 42500;
  return fault("nvmlDeviceGetPowerUsage");
}

int nvmlDeviceGetEnforcedPowerLimit(Card card, unsigned* milliwatts) {
  (void)card;
  *milliwatts = absurd() ? 0 : 170000;
  return kOk;
}

int nvmlDeviceGetTotalEnergyConsumption(Card card, unsigned long long* millijoules) {
  (void)card;
  *millijoules = 123456;
  return kOk;
}

/* The name of drivers before 535, so that the second name is looked for too. */
int nvmlDeviceGetCurrentClocksThrottleReasons(Card card, unsigned long long* reasons) {
  (void)card;
  const char* bits = getenv("FAKE_NVML_REASONS");
  *reasons = absurd() ? ~0ULL : bits == NULL ? 1 : strtoull(bits, NULL, 0);
  return kOk;
}

static int link_value(unsigned* out, unsigned value) {
  *out = absurd() ? 0xffffffffU : value;
  return kOk;
}
int nvmlDeviceGetCurrPcieLinkGeneration(Card card, unsigned* out) {
  (void)card;
  return link_value(out, 1);
}
int nvmlDeviceGetCurrPcieLinkWidth(Card card, unsigned* out) {
  (void)card;
  return link_value(out, 4);
}
int nvmlDeviceGetMaxPcieLinkGeneration(Card card, unsigned* out) {
  (void)card;
  return link_value(out, 4);
}
int nvmlDeviceGetMaxPcieLinkWidth(Card card, unsigned* out) {
  (void)card;
  return link_value(out, 16);
}

#ifndef FAKE_PARTIAL
int nvmlDeviceGetComputeRunningProcesses_v3(Card card, unsigned* n, struct Process* out) {
  (void)card;
  const unsigned room = *n;
  *n = absurd() ? 0xffffffffU : 1;
  for (unsigned i = 0; absurd() && i < room; ++i) out[i] = (struct Process){i, ~0ULL - i, 0, 0};
  if (!absurd()) out[0] = (struct Process){4242, 700ULL << 20, 0, 0};
  return fault("nvmlDeviceGetComputeRunningProcesses_v3");
}
#endif

int nvmlDeviceGetGraphicsRunningProcesses_v2(Card card, unsigned* n, struct Process* out) {
  (void)card;
  *n = 3;
  out[0] = (struct Process){1207, 350ULL << 20, 0, 0};
  out[1] = (struct Process){4242, 700ULL << 20, 0, 0}; /* on both lists */
  out[2] = (struct Process){99, ~0ULL, 0, 0};          /* not available */
  return kOk;
}

int nvmlSystemGetProcessName(unsigned pid, char* name, unsigned size) {
  if (pid != 1207) return kNotSupported;
  snprintf(name, size, "/usr/lib/xorg/Xorg -core :0 -seat seat0");
  return kOk;
}
