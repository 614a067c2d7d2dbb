// Vocabularies: every byte is there, nothing is there twice, every merge makes a token.
#include "model/synth_vocab.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "model/synth.h"

namespace gantry {
namespace {

TEST(SynthVocab, EveryTokenIsDistinctAndTyped) {
  for (const uint32_t size : {kSynthVocabMin, kSynthVocabMin + 1, 400U, 2'048U, 32'000U}) {
    const SynthVocab vocab = synth_vocab(size);
    EXPECT_EQ(vocab.tokens.size(), size);
    EXPECT_EQ(vocab.types.size(), size);
    EXPECT_EQ(std::set<std::string>(vocab.tokens.begin(), vocab.tokens.end()).size(), size);
    EXPECT_EQ(vocab.merges.size(), size - kSynthVocabMin);
    EXPECT_EQ(std::ranges::count(vocab.types, 3), kSynthSpecials);
  }
}

TEST(SynthVocab, EveryMergeJoinsTwoTokensThatAreThere) {
  const SynthVocab vocab = synth_vocab(20'000);
  std::set<std::string> known(vocab.tokens.begin(), vocab.tokens.begin() + kSynthVocabMin);
  for (size_t i = 0; i < vocab.merges.size(); ++i) {
    const std::string& merge = vocab.merges[i];
    const size_t blank = merge.find(' ');
    const std::string left = merge.substr(0, blank), right = merge.substr(blank + 1);
    ASSERT_TRUE(known.contains(left) && known.contains(right)) << merge;
    EXPECT_EQ(vocab.tokens[kSynthVocabMin + i], left + right);
    known.insert(left + right);
  }
}

TEST(SynthVocab, TheLargestIsWhole) {
  const SynthVocab vocab = synth_vocab(kSynthVocabMax);
  EXPECT_EQ(vocab.tokens.size(), kSynthVocabMax);
  EXPECT_EQ(std::set<std::string_view>(vocab.tokens.begin(), vocab.tokens.end()).size(),
            kSynthVocabMax);
}

TEST(SynthVocab, SpecialTokensAreThoseOfTheTemplate) {
  const SynthVocab vocab = synth_vocab(kSynthVocabMin);
  EXPECT_EQ(vocab.tokens[kSynthEos], "<|eos|>");
  EXPECT_EQ(vocab.tokens[kSynthBos], "<|bos|>");
  for (const uint32_t id : {kSynthTurnStart, kSynthTurnEnd}) {
    EXPECT_NE(synth_chat_template().find(vocab.tokens[id]), std::string::npos);
  }
}

}  // namespace
}  // namespace gantry
