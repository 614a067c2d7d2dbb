"""GGUF files of the micro models: writing them, and reading our own back to train on."""
import json

import gguf
import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

import lm


def add_tensor(writer, name, tensor, half=None):
    """Matrices as F16, vectors as F32, unless `half` says otherwise."""
    array = tensor.detach().float().numpy()
    half = array.ndim >= 2 if half is None else half
    writer.add_tensor(name, array.astype(np.float16 if half else np.float32))


def finish(writer):
    """Write all parts and close the file."""
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


# ---------------------------------------------------------------- language model
def _add_llama_facts(writer, shape, name):
    writer.add_name(name)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_context_length(shape["context"])
    writer.add_embedding_length(shape["width"])
    writer.add_block_count(shape["layers"])
    writer.add_feed_forward_length(shape["ffn"])
    writer.add_head_count(shape["heads"])
    writer.add_head_count_kv(shape["kv_heads"])
    writer.add_rope_dimension_count(shape["width"] // shape["heads"])
    writer.add_rope_freq_base(shape["rope_base"])
    writer.add_layer_norm_rms_eps(shape["eps"])
    writer.add_vocab_size(shape["vocab"])


def _add_bpe(writer, tokenizer):
    spec = json.loads(tokenizer.to_str())["model"]
    tokens = sorted(spec["vocab"], key=spec["vocab"].get)
    special = gguf.TokenType.CONTROL
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([special if t in lm.SPECIALS else gguf.TokenType.NORMAL for t in tokens])
    writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in spec["merges"]])
    writer.add_bos_token_id(tokens.index(lm.BOS))
    writer.add_eos_token_id(tokens.index(lm.END))
    writer.add_eot_token_id(tokens.index(lm.END))
    writer.add_pad_token_id(tokens.index(lm.PAD))
    writer.add_add_bos_token(True)       # so the chat template must not contain it
    writer.add_chat_template(lm.CHAT_TEMPLATE)


def _block_tensors(block, width, kv_width):
    """[(GGUF name, tensor)] of one block, from the fused matrices of the training."""
    q, k, v = block.qkv.weight.split([width, kv_width, kv_width])
    gate, up = block.gate_up.weight.chunk(2)
    return [("attn_norm", block.attn_norm.weight), ("attn_q", q), ("attn_k", k), ("attn_v", v),
            ("attn_output", block.out.weight), ("ffn_norm", block.ffn_norm.weight),
            ("ffn_gate", gate), ("ffn_up", up), ("ffn_down", block.down.weight)]


def write_lm(path, model, tokenizer, name):
    """The language model as llama.cpp's architecture `llama`."""
    shape = model.shape
    writer = gguf.GGUFWriter(path, "llama")
    _add_llama_facts(writer, shape, name)
    _add_bpe(writer, tokenizer)
    kv_width = shape["kv_heads"] * shape["width"] // shape["heads"]
    add_tensor(writer, "token_embd.weight", model.embed.weight)      # also the output matrix
    add_tensor(writer, "output_norm.weight", model.norm.weight)
    for i, block in enumerate(model.blocks):
        for tensor_name, tensor in _block_tensors(block, shape["width"], kv_width):
            add_tensor(writer, f"blk.{i}.{tensor_name}.weight", tensor)
    finish(writer)


def _field(reader, key):
    return reader.fields[key].contents()


def read_lm(path):
    """-> (model, tokenizer) of a file that write_lm wrote: to resume, or to check it."""
    reader = gguf.GGUFReader(path)
    tokens = _field(reader, "tokenizer.ggml.tokens")
    merges = [tuple(merge.split(" ")) for merge in _field(reader, "tokenizer.ggml.merges")]
    tokenizer = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(tokens)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(lm.SPECIALS)
    shape = {"layers": _field(reader, "llama.block_count"),
             "width": _field(reader, "llama.embedding_length"),
             "heads": _field(reader, "llama.attention.head_count"),
             "kv_heads": _field(reader, "llama.attention.head_count_kv"),
             "ffn": _field(reader, "llama.feed_forward_length"), "vocab": len(tokens),
             "context": _field(reader, "llama.context_length"),
             "rope_base": _field(reader, "llama.rope.freq_base"),
             "eps": _field(reader, "llama.attention.layer_norm_rms_epsilon")}
    model = lm.MicroLM(shape)
    stored = {t.name: torch.from_numpy(np.array(t.data, dtype=np.float32)) for t in reader.tensors}
    with torch.no_grad():
        model.embed.weight.copy_(stored["token_embd.weight"])
        model.norm.weight.copy_(stored["output_norm.weight"])
        for i, block in enumerate(model.blocks):
            part = {n: stored[f"blk.{i}.{n}.weight"] for n in
                    "attn_norm attn_q attn_k attn_v attn_output ffn_norm "
                    "ffn_gate ffn_up ffn_down".split()}
            block.attn_norm.weight.copy_(part["attn_norm"])
            block.qkv.weight.copy_(torch.cat([part["attn_q"], part["attn_k"], part["attn_v"]]))
            block.out.weight.copy_(part["attn_output"])
            block.ffn_norm.weight.copy_(part["ffn_norm"])
            block.gate_up.weight.copy_(torch.cat([part["ffn_gate"], part["ffn_up"]]))
            block.down.weight.copy_(part["ffn_down"])
    return model, tokenizer
