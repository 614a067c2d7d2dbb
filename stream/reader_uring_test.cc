// Tests of what only the reader on io_uring has: being refused, at once or later.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "stream/reader.h"

namespace gantry {
namespace {

constexpr size_t kBytes = 64 * kReadAlign;

// From now on one system call answers EPERM to every thread of this process, as in a container.
bool forbid(uint32_t call) {
  std::array<sock_filter, 4> program = {{
      {BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(seccomp_data, nr)},
      {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, call},
      {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | EPERM},
      {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW},
  }};
  const sock_fprog filter{static_cast<unsigned short>(program.size()), program.data()};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &filter) == 0;
}

// A file of kBytes 'a'; gone by name at once.
int letters() {
  std::string path = testing::TempDir() + "/gantry-uring-XXXXXX";
  const int fd = ::mkostemp(path.data(), O_CLOEXEC);
  std::filesystem::remove(path);
  const std::string text(kBytes, 'a');
  return ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(kBytes) ? fd : -1;
}

bool reads(Reader& reader, int fd, unsigned count) {
  std::byte* memory = static_cast<std::byte*>(std::aligned_alloc(kReadAlign, kBytes));
  bool well = true;
  for (unsigned i = 0; i < count && well; ++i) {
    std::memset(memory, 0, kBytes);
    ReadRequest request;
    request.fd = fd;
    request.to = memory;
    request.bytes = kBytes;
    request.direct = false;
    well = reader.submit(request).has_value();
    const auto done = reader.next(std::chrono::seconds(60));
    well = well && done && done->bytes && memory[0] == std::byte{'a'} &&
           memory[kBytes - 1] == std::byte{'a'};
  }
  std::free(memory);
  return well;
}

// In a child: a filter cannot be taken off again.
template <class Body>
int in_child(Body body) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(body());
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

TEST(UringReader, RefusedByAFilterThreadsReadInstead) {
  const int fd = letters();
  ASSERT_GE(fd, 0);
  const int failed_step = in_child([fd] {
    if (!forbid(__NR_io_uring_setup)) return 1;
    ReaderOptions options;
    options.kind = ReaderKind::kUring;
    const auto refused = make_reader(options);
    if (refused || refused.error().code != Code::kUnavailable) return 2;
    if (refused.error().message.find("Operation not permitted") == std::string::npos) return 3;
    options.kind = ReaderKind::kAuto;
    const auto made = make_reader(options);
    if (!made || std::strcmp(made->reader->name(), "threads") != 0) return 4;
    if (made->note.find("io_uring") == std::string::npos) return 5;
    return reads(*made->reader, fd, 5) ? 0 : 6;
  });
  EXPECT_EQ(failed_step, 0);
  ::close(fd);
}

TEST(UringReader, AFilterThatComesLaterOnlySlowsItDown) {
  const int fd = letters();
  ASSERT_GE(fd, 0);
  const int failed_step = in_child([fd] {
    ReaderOptions options;
    options.kind = ReaderKind::kUring;
    options.chunk_bytes = 4 * kReadAlign;
    options.depth = 3;
    const auto made = make_reader(options);
    if (!made || !reads(*made->reader, fd, 3)) return 1;
    if (!forbid(__NR_io_uring_enter)) return 2;
    return reads(*made->reader, fd, 5) ? 0 : 3;
  });
  EXPECT_EQ(failed_step, 0);
  ::close(fd);
}

TEST(UringReader, IsWhatAutoGivesWhereItIsPermitted) {
  ReaderOptions options;
  options.kind = ReaderKind::kUring;
  if (!make_reader(options)) GTEST_SKIP() << "io_uring is refused here";
  options.kind = ReaderKind::kAuto;
  const auto made = make_reader(options);
  ASSERT_TRUE(made);
  EXPECT_STREQ(made->reader->name(), "uring");
  EXPECT_TRUE(made->note.empty());
}

}  // namespace
}  // namespace gantry
