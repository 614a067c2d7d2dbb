// Times for the sentences of an engine that tells none.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "worker/silence.h"

namespace gantry {

// The sentences of what was heard in one piece, in order. Their letters say how far into the speech
// each one ends; where an utterance ends near that, so does the sentence, and the next one begins
// after the pause. A word alone belongs to the sentence after it: it may be an abbreviation.
// `voices`: the utterances of the piece, at least one, each of at least a frame.
std::vector<Segment> place_sentences(const std::string& text, std::span<const Piece> voices);

}  // namespace gantry
