// A byte-level BPE vocabulary of any size: every byte a token, so that any text goes in and comes
// out again, then made-up words of syllables, each built by one merge.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace gantry {

// Ids of the special tokens. Those that end a text come first.
enum : uint32_t { kSynthEos, kSynthTurnEnd, kSynthBos, kSynthTurnStart, kSynthPad, kSynthSpecials };

struct SynthVocab {
  std::vector<std::string> tokens;  // in GPT-2's spelling of bytes
  std::vector<int32_t> types;       // 1 normal, 3 control
  std::vector<std::string> merges;
};

// `size` from kSynthVocabMin to kSynthVocabMax.
SynthVocab synth_vocab(uint32_t size);

// ChatML, of those tokens.
std::string synth_chat_template();

}  // namespace gantry
