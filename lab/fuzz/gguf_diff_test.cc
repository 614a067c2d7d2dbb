// Our GGUF reader against ggml's own, over right files, every named fault and thousands of mutants:
// ours may only be stricter, and what both accept they must read alike. ggml may abort on a
// hostile file, so it reads them in a child.
#include <ggml.h>
#include <gguf.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "base/rng.h"
#include "model/faults.h"
#include "model/gguf.h"

namespace gantry {
namespace {

constexpr uint64_t kSeedDefault = 20'260'101;
constexpr int kRounds = 100;
constexpr int kMutantsPerRound = 200;
constexpr int kAcceptedMin = 200;  // fewer mutants that both accept would prove little

// Everything a reader says about a file, as text; empty where it refuses the file.
struct Account {
  std::string text;
  bool crashed = false;
};

uint64_t hash(const void* data, size_t size) {  // FNV-1a
  uint64_t value = 0xCBF29CE484222325ULL;
  for (size_t i = 0; i < size; ++i) {
    value = (value ^ static_cast<const unsigned char*>(data)[i]) * 0x100000001B3ULL;
  }
  return value;
}

std::string our_account(std::string_view file) {
  const Result<Gguf> gguf = read_gguf(as_bytes(file));
  if (!gguf) return {};
  Ink ink;
  ink.put(gguf->version).put<uint64_t>(gguf->alignment).put(gguf->data_at);
  for (const GgufPair& pair : gguf->pairs) {
    ink.text(pair.key).put(pair.is_array).put(static_cast<uint32_t>(pair.type)).put(pair.count);
    if (pair.type != GgufType::kString) {
      ink.put(hash(pair.raw.data(), pair.raw.size()));
    } else if (!pair.is_array) {
      ink.text(std::string(*pair.text()).c_str());  // ggml gives it as a C string
    }
  }
  for (const GgufTensor& tensor : gguf->tensors) {
    ink.text(tensor.name).put(tensor.type);
    for (const uint64_t size : tensor.shape) ink.put(size);
    ink.put(tensor.offset).put(tensor.bytes);
  }
  return ink.out;
}

void add_pair(Ink& ink, const gguf_context* gguf, int64_t i) {
  const bool is_array = gguf_get_kv_type(gguf, i) == GGUF_TYPE_ARRAY;
  const gguf_type type = is_array ? gguf_get_arr_type(gguf, i) : gguf_get_kv_type(gguf, i);
  const uint64_t count = is_array ? gguf_get_arr_n(gguf, i) : 1;
  ink.text(gguf_get_key(gguf, i)).put(is_array).put(static_cast<uint32_t>(type)).put(count);
  if (type == GGUF_TYPE_STRING) {
    if (!is_array) ink.text(gguf_get_val_str(gguf, i));
    return;
  }
  constexpr std::array<size_t, 13> kSizes = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
  const void* data = is_array ? gguf_get_arr_data(gguf, i) : gguf_get_val_data(gguf, i);
  ink.put(hash(data, count * kSizes[static_cast<size_t>(type)]));
}

std::string ggml_account(const std::string& path) {
  gguf_context* gguf = gguf_init_from_file(path.c_str(), {/*no_alloc=*/true, /*ctx=*/nullptr});
  if (gguf == nullptr) return {};
  Ink ink;
  ink.put(gguf_get_version(gguf)).put<uint64_t>(gguf_get_alignment(gguf));
  ink.put<uint64_t>(gguf_get_data_offset(gguf));
  for (int64_t i = 0; i < gguf_get_n_kv(gguf); ++i) add_pair(ink, gguf, i);
  for (int64_t i = 0; i < gguf_get_n_tensors(gguf); ++i) {
    ink.text(gguf_get_tensor_name(gguf, i));
    ink.put(static_cast<uint32_t>(gguf_get_tensor_type(gguf, i)));
    const int64_t* shape = gguf_get_tensor_ne(gguf, i);
    for (size_t d = 0; d < kGgufDimensionsMax; ++d) ink.put(shape[d]);
    ink.put<uint64_t>(gguf_get_tensor_offset(gguf, i));
    ink.put<uint64_t>(gguf_get_tensor_size(gguf, i));
  }
  gguf_free(gguf);
  return ink.out;
}

struct Case {
  std::string file;
  std::string what;
};

// In a child: ggml's account of each case, as length and text, into `out`.
[[noreturn]] void tell_ggml_accounts(std::span<const Case> cases, FILE* out) {
  ggml_log_set([](ggml_log_level, const char*, void*) {}, nullptr);
  if (std::freopen("/dev/null", "w", stderr) == nullptr) _exit(1);
  const int file = memfd_create("case", 0);
  const std::string path = "/proc/self/fd/" + std::to_string(file);
  for (const Case& one : cases) {
    const auto size = static_cast<ssize_t>(one.file.size());
    if (ftruncate(file, 0) != 0 || pwrite(file, one.file.data(), one.file.size(), 0) != size) {
      _exit(1);
    }
    const std::string told = Ink().text(ggml_account(path)).out;
    if (std::fwrite(told.data(), 1, told.size(), out) != told.size()) _exit(1);
    std::fflush(out);  // what was told stays told when ggml crashes on the next
  }
  _exit(0);
}

// Appends what one child tells of the cases. A crash ends it early and is told as such.
void hear_ggml_accounts(std::span<const Case> cases, std::vector<Account>& accounts) {
  std::array<int, 2> ends{};
  ASSERT_EQ(pipe(ends.data()), 0);
  const pid_t child = fork();
  if (child == 0) tell_ggml_accounts(cases, fdopen(ends[1], "w"));
  close(ends[1]);
  FILE* in = fdopen(ends[0], "r");
  const size_t start = accounts.size();
  uint64_t length = 0;
  while (std::fread(&length, sizeof(length), 1, in) == 1) {
    accounts.push_back({std::string(length, ' '), false});
    ASSERT_EQ(std::fread(accounts.back().text.data(), 1, length, in), length);
  }
  std::fclose(in);
  int status = 0;
  waitpid(child, &status, 0);
  if (accounts.size() - start < cases.size()) accounts.push_back({{}, true});
}

class GgufDiff : public testing::Test {
 protected:
  // Counts what both accept, and fails where ours accepts what ggml refuses or reads otherwise.
  void compare(std::span<const Case> cases) {
    std::vector<Account> accounts;
    while (accounts.size() < cases.size() && !HasFatalFailure()) {
      hear_ggml_accounts(cases.subspan(accounts.size()), accounts);
    }
    for (size_t i = 0; i < accounts.size(); ++i) {
      const std::string ours = our_account(cases[i].file);
      const Account& theirs = accounts[i];
      crashes_ += theirs.crashed ? 1 : 0;
      stricter_ += ours.empty() && !theirs.text.empty() ? 1 : 0;
      if (ours.empty()) continue;
      ++accepted_;
      EXPECT_FALSE(theirs.crashed) << cases[i].what << ": ggml crashes on what we accept";
      EXPECT_FALSE(theirs.text.empty()) << cases[i].what << ": ggml refuses what we accept";
      EXPECT_TRUE(ours == theirs.text) << cases[i].what << ": read otherwise";
    }
  }

  int accepted_ = 0;
  int stricter_ = 0;
  int crashes_ = 0;
};

// Values at which checks are wrong by one, or wrap.
uint64_t edge(Rng& rng) {
  const uint64_t power = uint64_t{1} << rng.below(64);
  constexpr std::array<uint64_t, 8> kEdges = {0, 1, 2, 31, 32, 33, UINT64_MAX, INT64_MAX};
  return rng.below(2) == 0 ? kEdges[rng.below(kEdges.size())] : power + rng.below(3) - 1;
}

void mutate_once(std::string& file, size_t front, Rng& rng) {
  if (file.size() < 16) return;
  const size_t at = rng.below(std::min(front, file.size() - 8));
  const uint64_t value = edge(rng);
  switch (rng.below(8)) {
    case 0: file[at] = static_cast<char>(file[at] ^ (1 << rng.below(8))); break;
    case 1: file[at] = static_cast<char>(rng.next()); break;
    case 2: std::memcpy(file.data() + at, &value, 4); break;
    case 3: std::memcpy(file.data() + at, &value, 8); break;
    case 4: file.insert(at, file.substr(rng.below(file.size()), rng.below(40))); break;
    case 5: file.erase(at, rng.below(40)); break;
    case 6: file.resize(rng.below(file.size())); break;
    default: file[at] = static_cast<char>(file[at] + (rng.below(2) == 0 ? 1 : -1)); break;
  }
}

std::vector<std::string> right_files() {
  std::vector<std::string> files;
  for (const uint32_t type : {0U, 1U, 2U, 8U, 40U}) {
    files.push_back(forge_language("llama", type).bytes());
  }
  files.push_back(forge_projector().bytes());
  GgufForge forge = forge_language();
  forge.version = 2;
  forge.alignment = 64;
  forge.set("general.alignment", 64).set("f64", GgufType::kF64, 0.5);
  forge.list<int16_t>("i16s", GgufType::kI16, {-1, 2}).list<uint8_t>("flags", GgufType::kBool,
                                                                     {0, 1});
  forge.strings("texts", {"a", "", "ccc"}).list<uint64_t>("none", GgufType::kU64, {});
  forge.tensor("scalar", {}, 0);
  files.push_back(forge.bytes());
  files.push_back(GgufForge().bytes());
  return files;
}

TEST(GgufDiffTypes, BlocksAndNamesAreGgmls) {
  ASSERT_EQ(kTensorTypeCount, static_cast<uint32_t>(GGML_TYPE_COUNT));
  for (uint32_t id = 0; id < kTensorTypeCount; ++id) {
    const auto type = static_cast<ggml_type>(id);
    const TensorType* ours = tensor_type(id);
    ASSERT_EQ(ours != nullptr, ggml_blck_size(type) > 0) << id;
    if (ours == nullptr) continue;
    EXPECT_EQ(ours->block, ggml_blck_size(type)) << ours->name;
    EXPECT_EQ(ours->bytes, ggml_type_size(type)) << ours->name;
    std::string name = ggml_type_name(type);
    std::transform(name.begin(), name.end(), name.begin(),
                   [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
    EXPECT_EQ(ours->name, name);
  }
  for (uint32_t ftype = 0; ftype <= 28; ++ftype) {
    const std::optional<uint32_t> ours = tensor_type_of_ftype(ftype);
    if (!ours) continue;  // ggml aborts there
    const ggml_type theirs = ggml_ftype_to_ggml_type(static_cast<ggml_ftype>(ftype));
    EXPECT_EQ(*ours, static_cast<uint32_t>(theirs));
  }
}

TEST_F(GgufDiff, RightFilesAreReadAlike) {
  std::vector<Case> cases;
  for (std::string& file : right_files()) {
    cases.push_back({std::move(file), "right file " + std::to_string(cases.size())});
  }
  compare(cases);
  EXPECT_EQ(accepted_, static_cast<int>(cases.size()));
}

TEST_F(GgufDiff, NamedFaultsAreAcceptedOnlyWhereGgmlDoes) {
  std::vector<Case> cases;
  for (const auto& faults : {gguf_faults(), geometry_faults()}) {
    for (const Fault& fault : faults) cases.push_back({fault.bytes, fault.name});
  }
  compare(cases);
  std::printf("we are stricter in %d, ggml crashes on %d\n", stricter_, crashes_);
}

TEST_F(GgufDiff, MutantsAreAcceptedOnlyWhereGgmlDoes) {
  const char* wanted = std::getenv("GANTRY_SEED");
  const uint64_t seed = wanted == nullptr ? kSeedDefault : std::strtoull(wanted, nullptr, 10);
  std::printf("seed %llu (set GANTRY_SEED for another)\n", static_cast<unsigned long long>(seed));
  const std::vector<std::string> files = right_files();
  Rng rng(seed);
  for (int round = 0; round < kRounds && !HasFailure(); ++round) {
    std::vector<Case> cases;
    for (int i = 0; i < kMutantsPerRound; ++i) {
      std::string file = files[rng.below(files.size())];
      const size_t front = std::min<size_t>(file.size(), 2'000);  // little of the tensor data
      for (uint64_t times = 1 + rng.below(3); times > 0; --times) mutate_once(file, front, rng);
      cases.push_back({std::move(file), "seed " + std::to_string(seed) + ", mutant " +
                                            std::to_string(round * kMutantsPerRound + i)});
    }
    compare(cases);
  }
  std::printf("%d mutants: both accept %d, we are stricter in %d, ggml crashes on %d\n",
              kRounds * kMutantsPerRound, accepted_, stricter_, crashes_);
  EXPECT_GE(accepted_, kAcceptedMin);
}

TEST_F(GgufDiff, ModelsBesideTheProjectAreReadAlike) {
  std::vector<Case> cases;
  for (const char* folder : {GANTRY_SOURCE_DIR "/models", GANTRY_SOURCE_DIR "/../shared/data"}) {
    if (!std::filesystem::is_directory(folder)) continue;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      if (entry.path().extension() != ".gguf") continue;
      std::ifstream in(entry.path(), std::ios::binary);
      cases.push_back({std::string(std::istreambuf_iterator<char>(in), {}), entry.path()});
    }
  }
  if (cases.empty()) GTEST_SKIP() << "no models here";
  compare(cases);
  EXPECT_EQ(accepted_, static_cast<int>(cases.size()));
}

}  // namespace
}  // namespace gantry
