#!/usr/bin/env python3
"""Makes the models beside it: real ONNX files that sherpa-onnx runs, without any learnt weight.

They have the inputs, outputs and metadata of the real ones, so that the engine, the protocol and
the memory accounting are tested with what they will meet. They say nothing about accuracy or about
how a voice sounds.

  tones.onnx, tones.txt   a VITS: every character is a short tone, two speakers, 16 kHz
  seg_energy.onnx         pyannote-segmentation-3.0's shape: what is loud is one speaker
  spk_stats.onnx          a speaker embedding: mean and spread of the spectrum over time
  ear_*                   recognisers that hear eight words, each a tone of its own: a Paraformer,
                          the same streaming, a SenseVoice, a Whisper, a Moonshine
  marks.onnx              a ct-transformer that sets a comma and a full stop

Needs onnx and numpy (pip install onnx numpy).
"""

import base64
import pathlib

import numpy as np
import onnx
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper as nh

HERE = pathlib.Path(__file__).resolve().parent
RATE = 16000
TONE = 960.0  # samples of a character at speed 1
CHARACTERS = " _abcdefghijklmnopqrstuvwxyz'0123456789.,;:!?-"


def save(name, nodes, inputs, outputs, initial, properties):
    graph = h.make_graph(nodes, name, inputs, outputs, initial)
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", 13)], ir_version=8)
    h.set_model_props(model, properties)
    onnx.checker.check_model(model)
    onnx.save(model, HERE / f"{name}.onnx")


def make_voice():
    n = h.make_node

    def constant(name, value, kind=np.float32):
        return nh.from_array(np.array(value, kind), name)

    initial = [constant("low", 200), constant("step", 12), constant("apart", 90),
               constant("tone", TONE), constant("zero", 0, np.int64), constant("one", 1, np.int64),
               constant("pi_rate", 2 * np.pi / RATE), constant("pi", np.pi),
               constant("loud", 0.3), constant("flat", [1, 1, -1], np.int64),
               constant("last", [-1], np.int64), constant("first", [0], np.int64)]
    nodes = [
        n("Cast", ["x"], ["xf"], to=T.FLOAT), n("Mul", ["xf", "step"], ["f0"]),
        n("Add", ["f0", "low"], ["f1"]), n("Cast", ["sid"], ["sidf"], to=T.FLOAT),
        n("Mul", ["sidf", "apart"], ["lift"]), n("Add", ["f1", "lift"], ["f2"]),
        n("Unsqueeze", ["f2", "last"], ["f"]),  # (1, L, 1) Hz
        n("Mul", ["length_scale", "tone"], ["s0"]), n("Cast", ["s0"], ["s1"], to=T.INT64),
        n("Squeeze", ["s1", "first"], ["s"]), n("Range", ["zero", "s", "one"], ["ti"]),
        n("Cast", ["ti"], ["t"], to=T.FLOAT), n("Mul", ["t", "pi_rate"], ["w"]),
        n("Mul", ["f", "w"], ["phase"]), n("Sin", ["phase"], ["wave"]),  # (1, L, S)
        n("Cast", ["s"], ["sf"], to=T.FLOAT), n("Div", ["t", "sf"], ["part"]),
        n("Mul", ["part", "pi"], ["arc"]), n("Sin", ["arc"], ["hull"]),
        n("Mul", ["wave", "hull"], ["shaped"]), n("Mul", ["shaped", "loud"], ["quiet"]),
        # Noise scales are inputs of every VITS; this one draws none.
        n("Mul", ["noise_scale", "noise_scale_w"], ["noise0"]),
        n("Sub", ["noise0", "noise0"], ["noise"]), n("Add", ["quiet", "noise"], ["sum"]),
        n("Reshape", ["sum", "flat"], ["y"])]
    inputs = [h.make_tensor_value_info("x", T.INT64, [1, "L"]),
              h.make_tensor_value_info("x_length", T.INT64, [1])]
    inputs += [h.make_tensor_value_info(name, T.FLOAT, [1])
               for name in ("noise_scale", "length_scale", "noise_scale_w")]
    inputs.append(h.make_tensor_value_info("sid", T.INT64, [1]))
    save("tones", nodes, inputs, [h.make_tensor_value_info("y", T.FLOAT, [1, 1, "N"])], initial,
         {"sample_rate": str(RATE), "n_speakers": "2", "language": "English", "comment": "vits",
          "model_type": "vits", "frontend": "characters", "add_blank": "0", "use_eos_bos": "0",
          "punctuation": ""})
    lines = [f"{c} {i}\n" for i, c in enumerate(CHARACTERS)]
    (HERE / "tones.txt").write_text("".join(lines), encoding="utf-8")


def make_segmentation():
    field, shift = 991, 270  # of pyannote-segmentation-3.0
    initial = [nh.from_array(np.full((1, 1, field), 1 / field, np.float32), "k"),
               nh.from_array(np.float32(1e-9), "eps"),
               nh.from_array(np.float32(np.log(1e-4)), "quiet"),
               nh.from_array(np.array([[[-1, 1, 0, 0, 0, 0, 0]]], np.float32), "w"),
               nh.from_array(np.array([[[0, 0, -40, -40, -40, -40, -40]]], np.float32), "b")]
    n = h.make_node
    nodes = [n("Mul", ["x", "x"], ["x2"]),
             n("Conv", ["x2", "k"], ["e"], kernel_shape=[field], strides=[shift]),
             n("Add", ["e", "eps"], ["e1"]), n("Log", ["e1"], ["le"]),
             n("Sub", ["le", "quiet"], ["d"]), n("Transpose", ["d"], ["dt"], perm=[0, 2, 1]),
             n("Mul", ["dt", "w"], ["z0"]), n("Add", ["z0", "b"], ["z"]),
             n("LogSoftmax", ["z"], ["y"], axis=-1)]
    save("seg_energy", nodes, [h.make_tensor_value_info("x", T.FLOAT, ["N", 1, "T"])],
         [h.make_tensor_value_info("y", T.FLOAT, ["N", "F", 7])], initial,
         {"num_speakers": "3", "powerset_max_classes": "2", "num_classes": "7",
          "sample_rate": "16000", "window_size": "160000", "receptive_field_size": str(field),
          "receptive_field_shift": str(shift), "model_type": "pyannote-segmentation-3.0",
          "version": "1"})


def make_embedding():
    n = h.make_node
    nodes = [n("ReduceMean", ["x"], ["m"], axes=[1], keepdims=1), n("Sub", ["x", "m"], ["d"]),
             n("Mul", ["d", "d"], ["d2"]), n("ReduceMean", ["d2"], ["v"], axes=[1], keepdims=0),
             n("Sqrt", ["v"], ["s"]), n("Squeeze", ["m", "axis"], ["m2"]),
             n("ReduceMean", ["m2"], ["mm"], axes=[1], keepdims=1), n("Sub", ["m2", "mm"], ["mc"]),
             n("Concat", ["mc", "s"], ["c"], axis=1),
             n("LpNormalization", ["c"], ["emb"], axis=1, p=2)]
    save("spk_stats", nodes, [h.make_tensor_value_info("x", T.FLOAT, [None, None, 80])],
         [h.make_tensor_value_info("emb", T.FLOAT, [None, 160])],
         [h.make_tensor("axis", T.INT64, [1], [1])],
         {"framework": "3d-speaker", "output_dim": "160", "sample_rate": "16000",
          "normalize_samples": "1", "language": "English", "feature_normalize_type": ""})


# Words that the recognisers hear: a tone of at least 200 ms each, this high.
WORDS = {"turn": 400, "on": 560, "off": 760, "the": 1000, "kitchen": 1300, "light": 1650,
         "radio": 2100, "please": 2700}
STACK, SHIFT = 7, 6  # frames of 80 mel bins that Paraformer and SenseVoice see at once, 60 ms apart
LOUD = 14.0  # log energy of a mel bin; samples count as 16-bit numbers


def mel_bin(hertz):
    """Which of the 80 bins from 20 Hz to 8 kHz a tone is loudest in."""
    def mel(f):
        return 1127 * np.log(1 + f / 700)
    return round((mel(hertz) - mel(20)) / (mel(8000) - mel(20)) * 81 - 1)


def hear(first):
    """Nodes and constants that turn stacked frames `x` (1, T, 560) into `id` (1, T): 0 for silence,
    else `first` and the number of the word whose bins are loudest in the middle frame."""
    bins = [STACK // 2 * 80 + mel_bin(hertz) + d for hertz in WORDS.values() for d in (-1, 0, 1)]
    n = h.make_node
    nodes = [n("Gather", ["x", "bins"], ["seen"], axis=2), n("Reshape", ["seen", "three"], ["s3"]),
             n("ReduceMax", ["s3"], ["power"], axes=[3], keepdims=0),  # (1, T, words)
             n("ReduceMax", ["power"], ["peak"], axes=[2], keepdims=0),
             n("Greater", ["peak", "loud"], ["voice"]),
             n("ArgMax", ["power"], ["word"], axis=2, keepdims=0),
             n("Add", ["word", "first"], ["named"]),
             n("Where", ["voice", "named", "none"], ["id"])]
    initial = [nh.from_array(np.array(bins, np.int64), "bins"),
               nh.from_array(np.array([0, 0, len(WORDS), 3], np.int64), "three"),
               nh.from_array(np.float32(LOUD), "loud"),
               nh.from_array(np.array([first], np.int64), "first"),
               nh.from_array(np.array([0], np.int64), "none")]
    return nodes, initial


def one_hot(ids, size):
    """Scores that leave no doubt: `ids` (1, U) to `scores` (1, U, size)."""
    return ([h.make_node("OneHot", [ids, "depth", "sure"], ["scores"], axis=-1)],
            [nh.from_array(np.array([size], np.int64), "depth"),
             nh.from_array(np.array([-20, 0], np.float32), "sure")])


def stacked_properties(tokens):
    width = STACK * 80
    return {"vocab_size": str(len(tokens)), "lfr_window_size": str(STACK),
            "lfr_window_shift": str(SHIFT), "neg_mean": ",".join(["0"] * width),
            "inv_stddev": ",".join(["1"] * width)}


def save_tokens(name, tokens):
    (HERE / f"{name}.txt").write_text("".join(f"{t} {i}\n" for i, t in enumerate(tokens)),
                                      encoding="utf-8")


def make_paraformer():
    tokens = ["<blank>", "<s>", "</s>", *WORDS, "<unk>"]
    nodes, initial = hear(first=3)
    n = h.make_node
    # A word begins where the frame before held another one, or none.
    nodes += [n("Slice", ["id", "zero", "minus", "axis"], ["early"]),
              n("Concat", ["none2", "early"], ["before"], axis=1),
              n("Equal", ["id", "before"], ["same"]), n("Not", ["same"], ["other"]),
              n("And", ["other", "voice"], ["begins"]), n("Reshape", ["begins", "flat"], ["take"]),
              n("Compress", ["id", "take"], ["words"], axis=1),
              n("Concat", ["words", "stop"], ["said"], axis=1),
              n("Shape", ["words"], ["shape"]), n("Gather", ["shape", "axis"], ["count"]),
              n("Cast", ["count"], ["token_num"], to=T.INT32)]
    initial += [nh.from_array(np.array([0], np.int64), "zero"),
                nh.from_array(np.array([-1], np.int64), "minus"),
                nh.from_array(np.array([1], np.int64), "axis"),
                nh.from_array(np.array([-1], np.int64), "flat"),
                nh.from_array(np.array([[0]], np.int64), "none2"),
                nh.from_array(np.array([[2]], np.int64), "stop")]
    more, constants = one_hot("said", len(tokens))
    save("ear_paraformer", nodes + more,
         [h.make_tensor_value_info("x", T.FLOAT, [1, "T", STACK * 80]),
          h.make_tensor_value_info("x_length", T.INT32, [1])],
         [h.make_tensor_value_info("scores", T.FLOAT, [1, "U", len(tokens)]),
          h.make_tensor_value_info("token_num", T.INT32, [1])],
         initial + constants, {**stacked_properties(tokens), "model_type": "paraformer"})
    save_tokens("ear_paraformer", tokens)


def make_streaming_paraformer():
    """The pair of an encoder that says where words begin and a decoder that names them."""
    tokens = ["<blank>", "<s>", "</s>", *WORDS, "<unk>"]
    size, blocks, kernel = len(tokens), 1, 2
    n = h.make_node
    # The engine multiplies what it hears by the root of `size` before it adds positions.
    nodes, initial = hear(first=3)
    nodes[0] = n("Gather", ["x0", "bins"], ["seen"], axis=2)
    nodes = [n("Div", ["x", "root"], ["x0"])] + nodes
    nodes += [n("Slice", ["id", "zero", "minus", "axis"], ["early"]),
              n("Concat", ["none2", "early"], ["before"], axis=1),
              n("Equal", ["id", "before"], ["same"]), n("Not", ["same"], ["other"]),
              n("And", ["other", "voice"], ["begins"]),
              n("Cast", ["begins"], ["alphas"], to=T.FLOAT),
              n("OneHot", ["id", "depth", "sure"], ["enc"], axis=-1),
              n("Identity", ["x_length"], ["enc_len"])]
    initial += [nh.from_array(np.float32(size ** 0.5), "root"),
                nh.from_array(np.array([0], np.int64), "zero"),
                nh.from_array(np.array([-1], np.int64), "minus"),
                nh.from_array(np.array([1], np.int64), "axis"),
                nh.from_array(np.array([[0]], np.int64), "none2"),
                nh.from_array(np.array([size], np.int64), "depth"),
                nh.from_array(np.array([0, 1], np.float32), "sure")]
    save("ear_streaming_encoder", nodes,
         [h.make_tensor_value_info("x", T.FLOAT, [1, "T", STACK * 80]),
          h.make_tensor_value_info("x_length", T.INT32, [1])],
         [h.make_tensor_value_info("enc", T.FLOAT, [1, "T", size]),
          h.make_tensor_value_info("enc_len", T.INT32, [1]),
          h.make_tensor_value_info("alphas", T.FLOAT, [1, "T"])],
         initial, {**stacked_properties(tokens), "encoder_output_size": str(size),
                   "decoder_num_blocks": str(blocks), "decoder_kernel_size": str(kernel),
                   "model_type": "paraformer"})
    inputs = [h.make_tensor_value_info("enc", T.FLOAT, [1, "T", size]),
              h.make_tensor_value_info("enc_len", T.INT32, [1]),
              h.make_tensor_value_info("embedding", T.FLOAT, [1, "U", size]),
              h.make_tensor_value_info("embedding_len", T.INT32, [1]),
              h.make_tensor_value_info("cache_in", T.FLOAT, [1, size, kernel - 1])]
    save("ear_streaming_decoder",
         [n("Identity", ["embedding"], ["logits"]), n("ArgMax", ["embedding"], ["ids"], axis=2,
                                                      keepdims=0),
          n("Identity", ["cache_in"], ["cache_out"])], inputs,
         [h.make_tensor_value_info("logits", T.FLOAT, [1, "U", size]),
          h.make_tensor_value_info("ids", T.INT64, [1, "U"]),
          h.make_tensor_value_info("cache_out", T.FLOAT, [1, size, kernel - 1])], [], {})


LANGUAGES = ["auto", "zh", "en", "yue", "ja", "ko"]


def make_sense_voice():
    # The first four answers say language, mood, kind of sound and whether numbers are written out.
    marks = [f"<|{name}|>" for name in LANGUAGES[1:]]
    tokens = ["<unk>", "<s>", "</s>", *marks, "<|NEUTRAL|>", "<|Speech|>", "<|withitn|>",
              "<|woitn|>", *("\u2581" + word for word in WORDS)]
    nodes, initial = hear(first=tokens.index("\u2581turn"))
    n = h.make_node
    # Language 0 is for the model to tell: this one knows English alone.
    nodes += [n("Cast", ["language"], ["l64"], to=T.INT64), n("Equal", ["l64", "none"], ["auto"]),
              n("Where", ["auto", "english", "l64"], ["tongue"]),
              n("Add", ["tongue", "marks"], ["mark"]), n("Cast", ["text_norm"], ["itn"],
                                                         to=T.INT64),
              n("Concat", ["mark", "mood", "itn"], ["front"], axis=0),
              n("Unsqueeze", ["front", "none"], ["row"]),
              n("Concat", ["row", "id"], ["said"], axis=1)]
    initial += [nh.from_array(np.array([LANGUAGES.index("en")], np.int64), "english"),
                nh.from_array(np.array([tokens.index("<|zh|>") - 1], np.int64), "marks"),
                nh.from_array(np.array([tokens.index("<|NEUTRAL|>"), tokens.index("<|Speech|>")],
                                       np.int64), "mood")]
    more, constants = one_hot("said", len(tokens))
    scalars = [h.make_tensor_value_info(name, T.INT32, [1])
               for name in ("x_length", "language", "text_norm")]
    save("ear_sense", nodes + more,
         [h.make_tensor_value_info("x", T.FLOAT, [1, "T", STACK * 80]), *scalars],
         [h.make_tensor_value_info("scores", T.FLOAT, [1, "U", len(tokens)])],
         initial + constants,
         {**stacked_properties(tokens), "model_type": "sense_voice_ctc", "normalize_samples": "0",
          "with_itn": str(tokens.index("<|withitn|>")),
          "without_itn": str(tokens.index("<|woitn|>")),
          **{f"lang_{name}": str(i) for i, name in enumerate(LANGUAGES)}, "comment": "ear"})
    save_tokens("ear_sense", tokens)

def make_whisper():
    """An English whisper: the encoder writes the words down with the times of the first and the
    last, the decoder reads them out one after another."""
    tokens = [*(" " + word for word in WORDS), "<|endoftext|>", "<|startoftranscript|>",
              "<|translate|>", "<|transcribe|>", "<|nospeech|>", "<|notimestamps|>",
              *(f"<|{i / 50:.2f}|>" for i in range(1501))]
    size, stop, start = len(tokens), len(WORDS), len(WORDS) + 1
    times = tokens.index("<|0.00|>")
    n = h.make_node
    bins = [b + d for b in map(slaney_bin, WORDS.values()) for d in (-1, 0, 1)]
    nodes = [n("Gather", ["mel", "bins"], ["seen"], axis=1),  # (1, 3 words, 3000)
             n("Reshape", ["seen", "three"], ["s3"]),
             n("ReduceMax", ["s3"], ["power"], axes=[2], keepdims=0),
             n("ReduceMax", ["power"], ["peak"], axes=[1], keepdims=0),  # (1, 3000)
             n("ReduceMax", ["mel"], ["top"], keepdims=0), n("Sub", ["top", "half"], ["floor"]),
             n("Greater", ["peak", "floor"], ["voice"]),
             n("ArgMax", ["power"], ["word"], axis=1, keepdims=0),
             n("Add", ["word", "one"], ["w1"]),
             n("Where", ["voice", "w1", "zero"], ["id"]),
             n("Slice", ["id", "zero", "last", "axis"], ["early"]),
             n("Concat", ["none2", "early"], ["before"], axis=1),
             n("Equal", ["id", "before"], ["same"]), n("Not", ["same"], ["other"]),
             n("And", ["other", "voice"], ["begins"]), n("Reshape", ["begins", "last"], ["take"]),
             n("Compress", ["id", "take"], ["said1"], axis=1), n("Sub", ["said1", "one"], ["said"]),
             n("Cast", ["voice"], ["v64"], to=T.INT64),
             n("ArgMax", ["v64"], ["first"], axis=1, keepdims=1),
             n("ArgMax", ["v64"], ["final"], axis=1, keepdims=1, select_last_index=1),
             n("Div", ["first", "two"], ["f2"]), n("Add", ["f2", "times"], ["from"]),
             n("Div", ["final", "two"], ["l2"]), n("Add", ["l2", "times"], ["till"]),
             n("Concat", ["from", "said", "till", "stop"], ["all"], axis=1),
             n("OneHot", ["all", "depth", "sure"], ["scores"], axis=-1),
             n("Unsqueeze", ["scores", "zero"], ["cross_k"]),
             n("Identity", ["cross_k"], ["cross_v"])]

    def whole(name, value):
        return nh.from_array(np.array(value, np.int64), name)

    initial = [whole("bins", bins), whole("three", [1, len(WORDS), 3, -1]), whole("one", [1]),
               whole("zero", [0]), whole("last", [-1]), whole("axis", [1]), whole("none2", [[0]]),
               whole("two", [2]), whole("times", [times]), whole("stop", [[stop]]),
               whole("depth", [size]), nh.from_array(np.float32(0.5), "half"),
               nh.from_array(np.array([-20, 0], np.float32), "sure")]
    cross = [1, 1, "U", size]
    save("ear_whisper_encoder", nodes,
         [h.make_tensor_value_info("mel", T.FLOAT, [1, 80, "T"])],
         [h.make_tensor_value_info(name, T.FLOAT, cross) for name in ("cross_k", "cross_v")],
         initial, {"model_type": "whisper-tones.en", "version": "1", "n_mels": "80",
                   "n_audio_ctx": "1500", "n_audio_state": "1", "n_audio_head": "1",
                   "n_audio_layer": "1", "n_vocab": str(size), "n_text_ctx": "448",
                   "n_text_state": "1", "n_text_head": "1", "n_text_layer": "1",
                   "sot_sequence": str(start), "all_language_tokens": "", "all_language_codes": "",
                   "sot": str(start), "sot_index": "0", "eot": str(stop), "blank_id": str(size - 1),
                   "is_multilingual": "0", "no_speech": str(start + 3),
                   "non_speech_tokens": str(start + 3), "transcribe": str(start + 2),
                   "translate": str(start + 1), "sot_prev": str(start), "sot_lm": str(start),
                   "no_timestamps": str(start + 4)})
    cache = [1, 1, 448, 1]
    names = ("self_k", "self_v")
    save("ear_whisper_decoder",
         [n("Shape", ["tokens"], ["shape"]), n("Gather", ["shape", "one"], ["n"]),
          n("Add", ["offset", "n"], ["read"]), n("Sub", ["read", "one"], ["at"]),
          n("Shape", ["cross_k"], ["cs"]), n("Gather", ["cs", "two"], ["count"]),
          n("Sub", ["count", "one"], ["most"]), n("Min", ["at", "most"], ["row"]),
          n("Gather", ["cross_k", "row"], ["r4"], axis=2), n("Squeeze", ["r4", "zero"], ["r3"]),
          n("Concat", ["one", "n", "one"], ["spread"], axis=0),
          n("Expand", ["r3", "spread"], ["logits"]),
          *(n("Identity", [f"in_{name}"], [f"out_{name}"]) for name in names)],
         [h.make_tensor_value_info("tokens", T.INT64, [1, "n"]),
          *(h.make_tensor_value_info(f"in_{name}", T.FLOAT, cache) for name in names),
          *(h.make_tensor_value_info(name, T.FLOAT, cross) for name in ("cross_k", "cross_v")),
          h.make_tensor_value_info("offset", T.INT64, [1])],
         [h.make_tensor_value_info("logits", T.FLOAT, [1, "n", size]),
          *(h.make_tensor_value_info(f"out_{name}", T.FLOAT, cache) for name in names)],
         [whole("one", [1]), whole("two", [2]), whole("zero", [0])], {})
    (HERE / "ear_whisper.txt").write_text("".join(
        f"{base64.b64encode(t.encode()).decode()} {i}\n" for i, t in enumerate(tokens)
        if i < start), encoding="utf-8")


def slaney_bin(hertz):
    """Which of whisper's 80 mel bins a tone is loudest in."""
    def mel(f):
        return f * 3 / 200 if f < 1000 else 15 + 27 * np.log(f / 1000) / np.log(6.4)
    return round(mel(hertz) / mel(8000) * 81 - 1)

def make_moonshine():
    """Version 1: a preprocessor that listens at each word's pitch, an encoder that writes the words
    down, and two decoders that read them out."""
    tokens = ["<unk>", "<s>", "</s>", *("\u2581" + word for word in WORDS)]
    size, window = len(tokens), 400
    t = np.arange(window) * 2 * np.pi / RATE
    waves = [f(hertz * t) * np.hanning(window)
             for hertz in WORDS.values() for f in (np.cos, np.sin)]
    n = h.make_node

    def whole(name, value):
        return nh.from_array(np.array(value, np.int64), name)

    audio = h.make_tensor_value_info("audio", T.FLOAT, [1, "N"])
    features = h.make_tensor_value_info("features", T.FLOAT, [1, "T", len(WORDS)])
    save("ear_moonshine_preprocess",
         [n("Unsqueeze", ["audio", "one"], ["a"]),
          n("Conv", ["a", "waves"], ["w"], kernel_shape=[window], strides=[160]),
          n("Mul", ["w", "w"], ["w2"]), n("Reshape", ["w2", "pairs"], ["p"]),
          n("ReduceSum", ["p", "two"], ["power"], keepdims=0),
          n("Transpose", ["power"], ["features"], perm=[0, 2, 1])], [audio], [features],
         [nh.from_array(np.array(waves, np.float32)[:, None, :], "waves"), whole("one", [1]),
          whole("two", [2]), whole("pairs", [1, len(WORDS), 2, -1])], {})
    length = h.make_tensor_value_info("features_len", T.INT32, [1])
    encoded = h.make_tensor_value_info("enc", T.FLOAT, [1, "U", size])
    save("ear_moonshine_encode",
         [n("ReduceMax", ["features"], ["peak"], axes=[2], keepdims=0),
          n("ReduceMax", ["features"], ["top"], keepdims=0), n("Mul", ["top", "part"], ["floor"]),
          n("Greater", ["peak", "floor"], ["voice"]),
          n("ArgMax", ["features"], ["word"], axis=2, keepdims=0),
          n("Add", ["word", "three"], ["w3"]), n("Where", ["voice", "w3", "zero"], ["id"]),
          n("Slice", ["id", "zero", "last", "one"], ["early"]),
          n("Concat", ["none2", "early"], ["before"], axis=1),
          n("Equal", ["id", "before"], ["same"]), n("Not", ["same"], ["other"]),
          n("And", ["other", "voice"], ["begins"]), n("Reshape", ["begins", "last"], ["take"]),
          n("Compress", ["id", "take"], ["said"], axis=1),
          # The engine reads no more words than the encoder's frames last.
          n("Mul", ["id", "zero"], ["frames"]), n("Add", ["frames", "stop"], ["stops"]),
          n("Concat", ["said", "stops"], ["all"], axis=1),
          n("OneHot", ["all", "depth", "sure"], ["enc"], axis=-1)], [features, length], [encoded],
         [nh.from_array(np.float32(0.01), "part"), whole("three", [3]), whole("zero", [0]),
          whole("last", [-1]), whole("one", [1]), whole("none2", [[0]]), whole("stop", [[2]]),
          whole("depth", [size]), nh.from_array(np.array([-20, 0], np.float32), "sure")], {})
    inputs = [h.make_tensor_value_info("token", T.INT32, [1, 1]), encoded,
              h.make_tensor_value_info("seq_len", T.INT32, [1])]
    read = [n("Cast", ["seq_len"], ["s64"], to=T.INT64), n("Sub", ["s64", "one"], ["at"]),
            n("Shape", ["enc"], ["shape"]), n("Gather", ["shape", "one"], ["count"]),
            n("Sub", ["count", "one"], ["most"]), n("Min", ["at", "most"], ["row"]),
            n("Gather", ["enc", "row"], ["logits"], axis=1)]
    logits = h.make_tensor_value_info("logits", T.FLOAT, [1, 1, size])
    state = [h.make_tensor_value_info(f"state_{way}", T.INT64, [1]) for way in ("in", "out")]
    save("ear_moonshine_uncached", [*read, n("Identity", ["at"], ["state_out"])], inputs,
         [logits, state[1]], [whole("one", [1])], {})
    save("ear_moonshine_cached", [*read, n("Identity", ["state_in"], ["state_out"])],
         [*inputs, state[0]], [logits, state[1]], [whole("one", [1])], {})
    save_tokens("ear_moonshine", tokens)


def make_punctuation():
    """A ct-transformer: a comma after "please", a full stop at the end."""
    words = ["<unk>", *WORDS, *"abcdefghijklmnopqrstuvwxyz"]
    marks = ["<unk>", "_", "\uff0c", "\u3002", "\uff1f", "\u3001"]
    n = h.make_node
    nodes = [n("Equal", ["inputs", "please"], ["pause"]), n("Where", ["pause", "comma", "plain"],
                                                           ["id"])]
    initial = [nh.from_array(np.array([words.index("please")], np.int32), "please"),
               nh.from_array(np.array([2], np.int64), "comma"),
               nh.from_array(np.array([1], np.int64), "plain")]
    more, constants = one_hot("id", len(marks))
    save("marks", nodes + more,
         [h.make_tensor_value_info("inputs", T.INT32, [1, "T"]),
          h.make_tensor_value_info("text_lengths", T.INT32, [1])],
         [h.make_tensor_value_info("scores", T.FLOAT, [1, "T", len(marks)])],
         initial + constants,
         {"model_type": "ct-transformer", "tokens": "|".join(words), "unk_symbol": "<unk>",
          "punctuations": "|".join(marks), "vocab_size": str(len(words))})

if __name__ == "__main__":
    make_voice()
    make_segmentation()
    make_embedding()
    make_paraformer()
    make_sense_voice()
    make_punctuation()
    make_streaming_paraformer()
    make_whisper()
    make_moonshine()
