// What hostile and huge files cost in memory. A program of its own: the limit is only exact where
// malloc has little free already.
#include <gtest/gtest.h>
#include <malloc.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <memory>

#include "base/os.h"
#include "model/card.h"
#include "model/forge.h"
#include "model/forge_whisper.h"

namespace gantry {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;  // takes memory for itself
#else
constexpr bool kSanitized = false;
#endif

uint64_t own_memory(const std::string& field) {  // of /proc/self/status: "VmRSS:", "VmData:"
  std::ifstream status("/proc/self/status");
  uint64_t kib = 0;
  for (std::string word; status >> word;) {
    if (word == field) status >> kib;
  }
  return KiB(kib).n;
}

// Ends the process: with 0 when `work` came to its end within `room`, by a signal when it did not.
// What malloc has free already counts as part of the room.
[[noreturn]] void work_within(Bytes room, const std::function<void()>& work) noexcept {
  malloc_trim(0);
  const uint64_t most = own_memory("VmData:") + (room - Bytes{mallinfo2().fordblks}).n;
  const rlimit limit{most, most};
  if (setrlimit(RLIMIT_DATA, &limit) != 0) _exit(2);
  work();
  _exit(0);
}

bool fits_in(Bytes room, const std::function<void()>& work) {
  const pid_t child = fork();
  if (child == 0) work_within(room, work);
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

Bytes allowance(uint64_t metadata) { return MiB(16) + Bytes{4 * metadata}; }

// As many pairs and tensors as are read at all, each as small as can be.
std::string smallest_parts() {
  GgufForge forge;
  forge.alignment = 1;
  forge.set("general.alignment", 1);
  for (uint64_t i = 1; i < kGgufPairsMax; ++i) {
    forge.pairs.emplace_back(std::to_string(i), Ink().put<uint32_t>(0).put<uint8_t>(1).out);
  }
  for (uint64_t i = 0; i < kGgufTensorsMax; ++i) forge.tensor(std::to_string(i), {1}, 24);
  return forge.bytes();
}

TEST(CardMemory, TheProbeCanFail) {
  if (kSanitized) GTEST_SKIP() << "memory cannot be limited under a sanitizer";
  mallopt(M_MMAP_THRESHOLD, 128 << 10);  // large blocks go back to the system when freed
  const auto take = [](size_t size) {
    return [size] {
      const std::vector<char> taken(size, 'x');
      const volatile char* seen = taken.data();  // or the compiler would leave it all out
      if (seen[size / 2] != 'x') _exit(1);
    };
  };
  EXPECT_TRUE(fits_in(MiB(16), take(12 << 20)));
  EXPECT_FALSE(fits_in(MiB(16), take(17 << 20)));
}

TEST(CardMemory, HostileFilesStayWithinTheAllowance) {
  if (kSanitized) GTEST_SKIP() << "memory cannot be limited under a sanitizer";
  mallopt(M_MMAP_THRESHOLD, 128 << 10);  // large blocks go back to the system when freed
  const std::string parts = smallest_parts();
  const std::string head = Ink().raw("GGUF").put<uint32_t>(3).put<uint64_t>(0).put<uint64_t>(1)
                               .text("k").put<uint32_t>(9).out;
  const std::string strings =
      Ink().raw(head).put<uint32_t>(8).put<uint64_t>(4 << 20).zeros(32 << 20).out;
  const std::string numbers =
      Ink().raw(head).put<uint32_t>(0).put<uint64_t>(32 << 20).zeros(32 << 20).out;
  WhisperForge declared = forge_whisper();
  declared.numbers[kAudioLayersNumber] = declared.numbers[kTextLayersNumber] = 512;
  const std::string layers = declared.bytes();
  // The smallest parts are the worst ratio: held to 16 MiB without the 4x.
  EXPECT_TRUE(fits_in(MiB(16), [&] { (void)read_card(as_bytes(parts)); }));
  for (const std::string* file : {&strings, &numbers, &layers}) {
    EXPECT_TRUE(fits_in(MiB(16), [&] { (void)read_card(as_bytes(*file)); }));
    EXPECT_TRUE(fits_in(allowance(file->size()), [&] { (void)read_card(as_bytes(*file)); }));
  }
}

// A file of 64 GiB, of which only the metadata is on the disk.
TEST(CardMemory, A64GibFileIsNotReadWhole) {
  GgufForge forge = forge_language();
  forge.with_data = false;
  forge.tensors[0].shape = {64, uint64_t{1} << 29};
  const std::string head = forge.bytes();
  const char* folder = std::getenv("TMPDIR");
  std::string path = std::string(folder == nullptr ? "/tmp" : folder) + "/gantry_sparse_XXXXXX";
  const int file = mkstemp(path.data());
  ASSERT_GE(file, 0);
  ASSERT_EQ(write(file, head.data(), head.size()), static_cast<ssize_t>(head.size()));
  const int grown = ftruncate(file, (off_t{1} << 36) + (1 << 20));
  close(file);
  if (grown != 0) {
    unlink(path.c_str());
    GTEST_SKIP() << "this file system has no sparse files of 64 GiB";
  }
  const Result<std::unique_ptr<MappedFile>> mapped = make_real_os()->map_file(path);
  unlink(path.c_str());
  ASSERT_TRUE(mapped) << mapped.error().message;
  const uint64_t before = own_memory("VmRSS:");
  const Result<ModelCard> card = read_card((*mapped)->bytes());
  const uint64_t after = own_memory("VmRSS:");
  ASSERT_TRUE(card) << card.error().message;
  EXPECT_EQ(card->bytes_in(Part::kEmbedding), GiB(64));
  EXPECT_LT(after - std::min(before, after), MiB(2).n);
}

}  // namespace
}  // namespace gantry
