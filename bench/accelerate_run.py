"""Accelerate's offload of a model's weights to disk or to host memory, measured as bench/disk and
bench/gpu measure the others. Runs in a Python that has bench/requirements.txt; prints JSON lines.

    accelerate_run.py convert MODEL.gguf FOLDER      the same weights for Transformers, at F16
    accelerate_run.py check MODEL.gguf FOLDER        the likeliest next tokens, to compare with ours
    accelerate_run.py run FOLDER [-p N] [-n N] [-s N] [-t N] [--device cuda] [--offload disk|cpu]
                                 [--resident BYTES]
"""

import argparse
import json
import os
import pathlib
import time

import numpy as np
import torch
from accelerate import cpu_offload, disk_offload, dispatch_model, init_empty_weights
from accelerate.utils import (offload_weight, save_offload_index,
                              set_module_tensor_to_device)
from transformers import LlamaConfig, LlamaForCausalLM

NAMES = {"attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj",
         "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
         "attn_output": "self_attn.o_proj", "ffn_norm": "post_attention_layernorm",
         "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}
TOP = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight",
       "output.weight": "lm_head.weight"}


def say(event, **fields):
    print(json.dumps({"event": event, **fields}), flush=True)


def hf_name(name):
    if name in TOP:
        return TOP[name]
    _, layer, part, _ = name.split(".")
    return f"model.layers.{layer}.{NAMES[part]}.weight"


def unpermuted(weight, heads):
    """GGUF's q and k have the halves of each head interleaved; Transformers wants them apart."""
    rows, columns = weight.shape
    return weight.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(
        rows, columns)


def convert(model, folder):
    """Writes config.json and one memory-mappable file per weight, as Accelerate's own offload."""
    import gguf  # only here: a run under a memory limit loads nothing it does not need

    reader = gguf.GGUFReader(model)

    def field(name, default=None):
        found = reader.fields.get("llama." + name)
        return found.contents() if found else default

    heads = field("attention.head_count")
    kv_heads = field("attention.head_count_kv", heads)
    names = {tensor.name for tensor in reader.tensors}
    vocab = next(t for t in reader.tensors if t.name == "token_embd.weight").data.shape[0]
    config = LlamaConfig(
        vocab_size=int(vocab), hidden_size=field("embedding_length"),
        intermediate_size=field("feed_forward_length"), num_hidden_layers=field("block_count"),
        num_attention_heads=heads, num_key_value_heads=kv_heads,
        head_dim=field("attention.key_length", field("embedding_length") // heads),
        max_position_embeddings=field("context_length"),
        rms_norm_eps=float(field("attention.layer_norm_rms_epsilon")),
        rope_theta=float(field("rope.freq_base", 10000.0)), dtype="float16",
        tie_word_embeddings="output.weight" not in names, attention_bias=False, mlp_bias=False)
    folder.mkdir(parents=True, exist_ok=True)
    config.save_pretrained(folder)
    index = {}
    for tensor in reader.tensors:
        data = np.asarray(tensor.data)
        if data.dtype not in (np.float16, np.float32):
            raise SystemExit(f"gantry: {tensor.name} is {tensor.tensor_type.name} "
                             "(convert a model whose weights are F16)")
        if ".attn_q." in tensor.name:
            data = unpermuted(data, heads)
        elif ".attn_k." in tensor.name:
            data = unpermuted(data, kv_heads)
        weight = torch.from_numpy(np.ascontiguousarray(data).astype(np.float16))
        offload_weight(weight, hf_name(tensor.name), str(folder), index=index)
    save_offload_index(index, str(folder))


def empty_model(folder):
    config = LlamaConfig.from_pretrained(folder)
    config._attn_implementation = "sdpa"
    with init_empty_weights():
        model = LlamaForCausalLM(config)
    return model.to(torch.float16).eval()


def resident_map(model, budget):
    """Layers from the last one up that fit the budget stay, with norm and head; others go."""
    size = {name: sum(p.numel() * 2 for p in module.parameters())
            for name, module in [("lm_head", model.lm_head), ("model.norm", model.model.norm)]}
    layers = model.model.layers
    for i, layer in enumerate(layers):
        size[f"model.layers.{i}"] = sum(p.numel() * 2 for p in layer.parameters())
    kept = set()
    for name in ["model.norm", "lm_head",
                 *(f"model.layers.{i}" for i in reversed(range(len(layers))))]:
        if size[name] <= budget:
            budget -= size[name]
            kept.add(name)
    return kept, size


def dispatched(folder, args):
    model = empty_model(folder)
    if args.offload == "disk" and not args.resident:
        disk_offload(model, str(folder), execution_device=torch.device(args.device))
        return model
    if args.offload == "cpu":
        state = {}
        index = json.loads((folder / "index.json").read_text())
        for name, facts in index.items():
            shape = tuple(facts["shape"])
            state[name] = torch.from_numpy(
                np.fromfile(folder / f"{name}.dat", dtype=facts["dtype"]).reshape(shape))
        cpu_offload(model, execution_device=torch.device(args.device), state_dict=state)
        return model
    kept, size = resident_map(model, args.resident)
    place = {name: args.device if name in kept else "disk"
             for name in [*size, "model.embed_tokens", "model.rotary_emb"]}
    index = json.loads((folder / "index.json").read_text())
    for name, facts in index.items():
        if any(name.startswith(one + ".") for one in kept):
            data = np.fromfile(folder / f"{name}.dat", dtype=facts["dtype"])
            set_module_tensor_to_device(model, name, args.device,
                                        torch.from_numpy(data.reshape(tuple(facts["shape"]))))
    dispatch_model(model, place, main_device=args.device, offload_dir=str(folder),
                   offload_index=index, force_hooks=True)
    return model


def read_bytes():
    try:
        for line in pathlib.Path("/proc/self/io").read_text().splitlines():
            if line.startswith("read_bytes:"):
                return int(line.split()[1])
    except OSError:
        pass
    return None


def memory():
    fields = {"VmHWM": "peak_rss_bytes", "RssAnon": "anonymous_bytes", "RssFile": "file_bytes"}
    out = {}
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        key = fields.get(line.split(":")[0])
        if key:
            out[key] = int(line.split()[1]) << 10
    return out


class Phase:
    def __init__(self, device):
        self.device = device
        self.read, self.start = read_bytes(), time.perf_counter()

    def end(self, tokens):
        if self.device.startswith("cuda"):
            torch.cuda.synchronize()
        seconds = time.perf_counter() - self.start
        out = {"tokens": tokens, "seconds": seconds, "tokens_per_second": tokens / seconds}
        now = read_bytes()
        if now is not None and self.read is not None:
            out["read_bytes"] = now - self.read
        return out


def run(folder, args):
    started = time.perf_counter()
    model = dispatched(folder, args)
    say("loaded", seconds=time.perf_counter() - started, layers=len(model.model.layers),
        memory=memory())
    generator = torch.Generator().manual_seed(1)
    prompt = torch.randint(0, model.config.vocab_size, (args.sequences, max(1, args.prompt)),
                           generator=generator).to(args.device)
    for i in range(args.iterations):
        phase = Phase(args.device)
        out = model(input_ids=prompt, use_cache=True, logits_to_keep=1)
        prefill = phase.end(args.prompt * args.sequences)
        phase = Phase(args.device)
        for _ in range(args.decode):
            tokens = out.logits[:, -1].argmax(-1, keepdim=True)
            out = model(input_ids=tokens, past_key_values=out.past_key_values, use_cache=True)
        say("iteration", index=i, prefill=prefill,
            decode=phase.end(args.decode * args.sequences) if args.decode else None)
    devices = []
    if args.device.startswith("cuda"):
        devices = [{"name": "CUDA0", "held_bytes": torch.cuda.max_memory_reserved()}]
    say("done", memory=memory(), devices=devices, statistics=None)


def check(folder, args):
    """Next tokens after 1, 2, 3, ... 16, alone: deterministic, and cheap to ask of any engine."""
    model = dispatched(folder, args)
    out = model(input_ids=torch.arange(1, 17).reshape(1, -1).to(args.device))
    best = out.logits[0].float().topk(2, dim=-1)
    say("check", next=best.indices[:, 0].tolist())


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["convert", "check", "run"])
    parser.add_argument("paths", nargs="+", type=pathlib.Path)
    parser.add_argument("-p", "--prompt", type=int, default=8)
    parser.add_argument("-n", "--decode", type=int, default=8)
    parser.add_argument("-s", "--sequences", type=int, default=1)
    parser.add_argument("-t", "--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--iterations", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--offload", choices=["disk", "cpu"], default="disk")
    parser.add_argument("--resident", type=int, default=0, help="bytes of weights to keep")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.set_grad_enabled(False)
    if args.what == "convert":
        convert(*args.paths)
    else:
        {"run": run, "check": check}[args.what](args.paths[-1], args)


if __name__ == "__main__":
    main()
