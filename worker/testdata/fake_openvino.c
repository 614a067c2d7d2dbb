/* Stands in for libopenvino_c.so in tests: a Core Ultra with an NPU. FAKE_OPENVINO=fail: its core
 * cannot be made; =hang: it never answers. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef void* Core;
struct Names {
  char** names;
  size_t size;
};

int ov_core_create(Core* core) {
  const char* wanted = getenv("FAKE_OPENVINO");
  if (wanted != NULL && strcmp(wanted, "hang") == 0) {
    for (;;) pause();
  }
  *core = malloc(1);
  return wanted != NULL && strcmp(wanted, "fail") == 0 ? -1 : 0;
}

void ov_core_free(Core core) { free(core); }

int ov_core_get_available_devices(Core core, struct Names* out) {
  (void)core;
  out->size = 3;
  out->names = calloc(3, sizeof(char*));
  out->names[0] = strdup("CPU");
  out->names[1] = strdup("GPU");
  out->names[2] = strdup("NPU");
  return 0;
}

void ov_available_devices_free(struct Names* names) {
  for (size_t i = 0; i < names->size; ++i) free(names->names[i]);
  free(names->names);
}

int ov_core_get_property(Core core, const char* device, const char* key, char** value) {
  (void)core;
  if (strcmp(device, "NPU") != 0) return -1;
  if (strcmp(key, "FULL_DEVICE_NAME") == 0) {
    *value = strdup("Intel(R) AI Boost");
  } else if (strcmp(key, "NPU_DEVICE_TOTAL_MEM_SIZE") == 0) {
    *value = strdup("17179869184");
  } else if (strcmp(key, "NPU_DEVICE_ALLOC_MEM_SIZE") == 0) {
    *value = strdup("1073741824");
  } else {
    return -1;
  }
  return 0;
}

void ov_free(const char* text) { free((void*)text); }
