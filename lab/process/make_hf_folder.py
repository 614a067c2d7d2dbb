#!/usr/bin/env python3
"""A sentence encoder with random weights as Hugging Face keeps one, without an ONNX file:

    make_hf_folder.py DIR FAMILY [safetensors|sharded|torch|torch-sharded] [f32|f16|bf16] [unigram]

Runs in the environment that `gantry convert` makes. The weights of a family are the same for ever
(RandomState promises that); hf_expected.json has what they give.
"""

import io
import json
import pathlib
import pickle
import sys
import types
import zipfile
from collections import OrderedDict

import ml_dtypes
import numpy
import safetensors.numpy
from tokenizers import (Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers,
                        processors, trainers)

WORDS = "open close the door window light lights off is it meeting at noon and has to bring".split()
FAMILIES = {  # model_type: prefix, hidden_act, layers, heads, width, inner, positions
    "bert": ("bert.", "gelu", 3, 4, 48, 96, 160),
    "roberta": ("roberta.", "gelu_new", 2, 4, 48, 80, 162),
    "xlm-roberta": ("", "gelu", 2, 6, 48, 64, 162),
    "camembert": ("model.", "gelu", 2, 3, 48, 64, 162),
    "distilbert": ("distilbert.", "relu", 3, 4, 48, 96, 160),
    "mpnet": ("mpnet.", "gelu", 2, 6, 48, 96, 330)}
TYPES = {"f32": "float32", "f16": "float16", "bf16": ml_dtypes.bfloat16}


# ---- tokenizers ----------------------------------------------------------------------------------


def word_pieces(special):
    letters = sorted(set("abcdefghijklmnopqrstuvwxyz0123456789.,:;%!?'"))
    pieces = [*special, *letters, *("##" + letter for letter in letters), *WORDS]
    made = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(pieces)},
                                      unk_token=special[3]))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return made


def byte_pairs(special):
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.train_from_iterator([" ".join(WORDS)] * 3, trainers.BpeTrainer(
        vocab_size=330, special_tokens=special, show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    return made


def unigram(special):
    """What SentencePiece trains by default, as XLM-RoBERTa's own is kept."""
    made = Tokenizer(models.Unigram())
    made.normalizer = normalizers.Sequence([normalizers.NFKC(),
                                            normalizers.Replace(Regex(" {2,}"), " ")])
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.decoder = decoders.Metaspace()
    letters = "abcdefghijklmnopqrstuvwxyz 0123456789.,:;%!?'"
    made.train_from_iterator([f"{' '.join(WORDS)} {letters}"] * 3,
                             trainers.UnigramTrainer(vocab_size=200, special_tokens=special,
                                                     unk_token=special[3], show_progress=False))
    return made


def tokenizer(family, pieces):
    special = (["<s>", "<pad>", "</s>", "<unk>", "<mask>"] if "bert" != family != "distilbert" else
               ["[CLS]", "[PAD]", "[SEP]", "[UNK]", "[MASK]"])
    made = unigram(special) if pieces == "unigram" else \
        byte_pairs(special) if "roberta" in family or family == "camembert" else \
        word_pieces(special)
    made.add_special_tokens(special)
    kind = processors.RobertaProcessing if "<s>" in special else processors.BertProcessing
    made.post_processor = kind((special[2], 2), (special[0], 0))
    names = dict(zip(("cls_token", "pad_token", "sep_token", "unk_token", "mask_token"), special))
    return made, {**names, "bos_token": special[0], "eos_token": special[2],
                  "tokenizer_class": "PreTrainedTokenizerFast"}


# ---- weights -------------------------------------------------------------------------------------


def layer_names(family):
    """What each layer has, as (attention's four, its norm, the inner two, the last norm)."""
    if family == "distilbert":
        return ([f"attention.{name}_lin" for name in ("q", "k", "v", "out")], "sa_layer_norm",
                ("ffn.lin1", "ffn.lin2"), "output_layer_norm")
    if family == "mpnet":
        return ([f"attention.attn.{name}" for name in "qkvo"], "attention.LayerNorm",
                ("intermediate.dense", "output.dense"), "output.LayerNorm")
    return (["attention.self.query", "attention.self.key", "attention.self.value",
             "attention.output.dense"], "attention.output.LayerNorm",
            ("intermediate.dense", "output.dense"), "output.LayerNorm")


def weights(family, words):
    """{name: f32 array}, large enough that masks, places and kinds of tokens are seen."""
    prefix, _, layers, heads, width, inner, positions = FAMILIES[family]
    rng = numpy.random.RandomState(sorted(FAMILIES).index(family) + 1)
    made = {}

    def put(name, *shape, scale=0.25, middle=0.0):
        made[prefix + name] = (middle + scale * rng.standard_normal(shape)).astype("float32")

    def norm(name):
        # BERT's as TensorFlow's checkpoints have them.
        put(name + (".gamma" if family == "bert" else ".weight"), width, scale=0.1, middle=1.0)
        put(name + (".beta" if family == "bert" else ".bias"), width, scale=0.1)

    put("embeddings.word_embeddings.weight", words, width, scale=1)
    put("embeddings.position_embeddings.weight", positions, width, scale=1)
    if family not in ("distilbert", "mpnet"):
        put("embeddings.token_type_embeddings.weight", 2 if family == "bert" else 1, width, scale=1)
    norm("embeddings.LayerNorm")
    if family == "mpnet":
        put("encoder.relative_attention_bias.weight", 32, heads, scale=1)
    four, attended, two, last = layer_names(family)
    for number in range(layers):
        layer = f"{'transformer' if family == 'distilbert' else 'encoder'}.layer.{number}."
        shapes = [*((name, width, width) for name in four), (two[0], inner, width),
                  (two[1], width, inner)]
        for name, rows, columns in shapes:
            put(f"{layer}{name}.weight", rows, columns)
            put(f"{layer}{name}.bias", rows)
        norm(layer + attended)
        norm(layer + last)
    put("pooler.dense.weight", width, width)  # nobody's, and there all the same
    return made


def bits(array, kind):
    if kind == "bf16":
        return (array.view("uint32") >> 16).astype("uint16")
    return array.astype(TYPES[kind])


def write_safetensors(path, tensors, kind):
    safetensors.numpy.save_file(
        {name: numpy.ascontiguousarray(bits(array, kind)).view(TYPES[kind])
         for name, array in tensors.items()}, path, {"format": "pt"})


# ---- what torch.save writes, without PyTorch -----------------------------------------------------


class Storage:
    def __init__(self, key, numbers):
        self.key, self.numbers = key, numbers


class Stored:
    """A tensor that pickles as PyTorch's do; every second matrix lies in columns, every second
    vector inside of a longer storage."""

    def __init__(self, key, array):
        lies = array.T if array.ndim == 2 and key % 2 else array
        self.offset = 3 if array.ndim == 1 and key % 2 else 0
        self.storage = Storage(str(key), numpy.concatenate(
            [numpy.full(self.offset, 7, array.dtype), lies.ravel()]))
        self.shape = array.shape
        self.strides = ((1, array.shape[0]) if lies is not array else
                        tuple(stride // array.itemsize for stride in array.strides))

    def __reduce__(self):
        rebuild = sys.modules["torch._utils"]._rebuild_tensor_v2
        return rebuild, (self.storage, self.offset, self.shape, self.strides, False, OrderedDict())


def stand_in(name, **members):
    """A module that pickle finds names in."""
    module = types.ModuleType(name)
    for member, value in members.items():
        value.__module__, value.__qualname__ = name, member
        setattr(module, member, value)
    sys.modules[name] = module


def write_torch(path, tensors, kind):
    names = {"f32": "FloatStorage", "f16": "HalfStorage", "bf16": "BFloat16Storage"}
    stand_in("torch", **{names[kind]: type(names[kind], (), {})})
    stand_in("torch._utils", _rebuild_tensor_v2=lambda *_: None)
    made = OrderedDict((name, Stored(key, bits(array, kind)))
                       for key, (name, array) in enumerate(tensors.items()))
    made._metadata = OrderedDict({"": {"version": 1}})

    class Pickler(pickle.Pickler):
        def persistent_id(self, obj):
            if isinstance(obj, Storage):
                kind_of = getattr(sys.modules["torch"], names[kind])
                return ("storage", kind_of, obj.key, "cpu", len(obj.numbers))
            return None

    page = io.BytesIO()
    Pickler(page, protocol=2).dump(made)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("archive/data.pkl", page.getvalue())
        archive.writestr("archive/byteorder", "little")
        for tensor in made.values():
            archive.writestr(f"archive/data/{tensor.storage.key}", tensor.storage.numbers.tobytes())
        archive.writestr("archive/version", "3\n")


def write_weights(folder, tensors, how, kind):
    write, stem, end = ((write_torch, "pytorch_model", "bin") if how.startswith("torch") else
                        (write_safetensors, "model", "safetensors"))
    if not how.endswith("sharded"):
        write(folder / f"{stem}.{end}", tensors, kind)
        return
    names, index = list(tensors), {}
    for shard in range(3):
        file = f"{stem}-{shard + 1:05}-of-00003.{end}"
        mine = {name: tensors[name] for name in names[shard::3]}
        write(folder / file, mine, kind)
        index.update({name: file for name in mine})
    page = {"metadata": {"total_size": sum(a.nbytes for a in tensors.values())},
            "weight_map": index}
    (folder / f"{stem}.{end}.index.json").write_text(json.dumps(page), encoding="utf-8")


def config(family, words):
    _, act, layers, heads, width, inner, positions = FAMILIES[family]
    page = {"model_type": family, "vocab_size": words, "max_position_embeddings": positions,
            "pad_token_id": 1}
    if family == "distilbert":
        return {**page, "n_layers": layers, "n_heads": heads, "dim": width, "hidden_dim": inner,
                "activation": act, "sinusoidal_pos_embds": False}
    return {**page, "num_hidden_layers": layers, "num_attention_heads": heads, "hidden_size": width,
            "intermediate_size": inner, "hidden_act": act, "layer_norm_eps": 1e-5,
            "relative_attention_num_buckets": 32, "type_vocab_size": 2 if family == "bert" else 1}


def main():
    folder, family, *rest = sys.argv[1:]
    how, kind, pieces = rest + ["safetensors", "f32", ""][len(rest):]
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True)
    made, words_of = tokenizer(family, pieces)
    made.save(str(folder / "tokenizer.json"))
    words = made.get_vocab_size()
    pages = {"config.json": config(family, words), "tokenizer_config.json": words_of}
    for name, page in pages.items():
        (folder / name).write_text(json.dumps(page) + "\n", encoding="utf-8")
    write_weights(folder, weights(family, words), how, kind)


main()
