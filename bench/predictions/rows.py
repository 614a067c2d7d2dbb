"""What is predicted: models of real widths with random weights, and how each is configured."""

import collections

# `gantry synth` arguments. Layers are few where the width is large, so that a file stays between
# 0.2 and 2 GB and a whole physical batch is computed in seconds; every buffer that does not grow
# with the number of layers has its real size.
Model = collections.namedtuple("Model", "name about synth mmproj embeddings f16",
                               defaults=(False, False, False))
NONE, HALF, ALL = "none", "half", "all"  # layers on an accelerator
Config = collections.namedtuple("Config",
                                "name context_each parallel ubatch cache flash prompt gpu",
                                defaults=(NONE,))

MODELS = [
    Model("llama3-1b", "Llama 3.2 1B: grouped heads, large vocabulary, tied",
          "llama --embd 2048 --ff 8192 --layers 16 --heads 32 --kv-heads 8 --vocab 128256 "
          "--context 32768 --quant Q4_K_M --tied"),
    Model("llama2-7b-cut", "Llama 2 7B, 6 of 32 layers: as many K and V heads as heads",
          "7b --layers 6 --context 32768 --quant Q4_K_M"),
    Model("llama3-8b-cut", "Llama 3 8B, 4 of 32 layers",
          "8b --layers 4 --context 32768 --quant Q4_0"),
    Model("qwen2-1.5b-cut", "Qwen2 1.5B, 14 of 28 layers: two K and V heads",
          "tts28 --layers 14 --context 32768 --quant Q8_0"),
    Model("qwen3-0.6b", "Qwen3 0.6B: heads wider than embedding / heads, tied",
          "qwen3 --embd 1024 --ff 3072 --layers 28 --heads 16 --kv-heads 8 --head-size 128 "
          "--vocab 151936 --context 32768 --quant Q8_0 --tied"),
    Model("qwen3-moe-cut", "Qwen3 30B-A3B, 3 of 48 layers: 8 of 128 experts",
          "30b-a3b --layers 3 --context 32768 --quant Q4_K_M"),
    Model("mixtral-small", "2 of 8 experts",
          "mixtral --embd 2048 --ff 4096 --layers 6 --heads 32 --kv-heads 8 --vocab 32000 "
          "--context 32768 --quant Q4_0"),
    Model("gemma3-1b", "Gemma 3 1B: one K and V head of 256, 5 of 6 layers windowed",
          "gemma --embd 1152 --ff 6912 --layers 24 --heads 4 --kv-heads 1 --head-size 256 "
          "--vocab 262144 --context 32768 --quant Q8_0"),
    Model("gemma2-2b-cut", "Gemma 2 2B, 8 of 26 layers: capped logits, half windowed",
          "gemma2 --embd 2304 --ff 9216 --layers 8 --heads 8 --kv-heads 4 --head-size 256 "
          "--vocab 256000 --context 32768 --quant Q4_0"),
    Model("phi3-mini-cut", "Phi-3 mini, 8 of 32 layers: q, k and v in one matrix",
          "phi --embd 3072 --ff 8192 --layers 8 --heads 32 --kv-heads 32 --vocab 32064 "
          "--context 32768 --quant Q4_K_M"),
    Model("phi2-cut", "Phi-2, 8 of 32 layers: parallel feed-forward, biases",
          "phi2 --embd 2560 --ff 10240 --layers 8 --heads 32 --kv-heads 32 --vocab 51200 "
          "--context 32768 --quant Q4_0", f16=True),  # heads of 80 are no whole q8_0 blocks
    Model("granite-2b-cut", "Granite 2B, 10 of 40 layers",
          "granite --embd 2048 --ff 8192 --layers 10 --heads 32 --kv-heads 8 --vocab 49155 "
          "--context 32768 --quant Q8_0"),
    Model("mamba-2.8b-cut", "Mamba 2.8B, 12 of 64 layers: no KV cache, a state",
          "mamba --embd 2560 --layers 12 --vocab 50280 --context 32768 --quant Q8_0"),
    Model("mamba2-2.7b-cut", "Mamba-2 2.7B, 12 of 64 layers: a state with heads",
          "mamba2 --embd 2560 --layers 12 --vocab 50280 --context 32768 --quant Q8_0"),
    Model("jamba-small", "Mamba and attention, taking turns",
          "jamba --embd 2048 --ff 7168 --layers 8 --heads 32 --kv-heads 8 --vocab 65536 "
          "--context 32768 --quant Q4_0"),
    Model("granite-hybrid", "Mamba-2 and attention",
          "granitehybrid --embd 2048 --ff 4096 --layers 12 --heads 32 --kv-heads 8 --vocab 49160 "
          "--context 32768 --quant Q8_0"),
    Model("lfm2-1.2b", "LFM2 1.2B: short convolutions and attention",
          "lfm2 --embd 2048 --ff 8192 --layers 16 --heads 32 --kv-heads 8 --vocab 65536 "
          "--context 32768 --quant Q4_0"),
    Model("bert-large", "BERT large: an encoder for embeddings",
          "bert --embd 1024 --ff 4096 --layers 24 --heads 16 --kv-heads 16 --vocab 30522 "
          "--context 512 --quant F16", embeddings=True),
    Model("llama-vision", "a Llama of 0.3 GB with a vision encoder beside it",
          "llama --embd 2048 --ff 5632 --layers 8 --heads 32 --kv-heads 4 --vocab 32000 "
          "--context 32768 --quant Q4_0", mmproj=True),
]

# The last figure: tokens of the prompt that is answered before the process is measured. It reaches
# the worst case: a whole physical batch, and without flash attention the whole context, because
# the CPU's work buffer then grows with the part of it in use. 0: that would take minutes, so only
# ggml's buffers are compared.
CONFIGS = [
    Config("512", 512, 1, 512, "f16", False, 504),
    Config("8k flash", 8192, 1, 512, "f16", True, 512),
    Config("2k x 4 q8_0 flash", 2048, 4, 512, "q8_0", True, 512),
    Config("8k batch 2048", 8192, 1, 2048, "f16", False, 0),
    Config("32k q4_0 flash batch 2048", 32768, 1, 2048, "q4_0", True, 0),
]
# On an accelerator that is not here (lab/phantom): what the engine would put there.
GPU_CONFIGS = [
    Config("8k flash, GPU", 8192, 1, 512, "f16", True, 0, ALL),
    Config("8k, GPU", 8192, 1, 512, "f16", False, 0, ALL),
    Config("8k flash, half on a GPU", 8192, 1, 512, "f16", True, 0, HALF),
]
GPU_MODELS = ("llama3-1b", "llama3-8b-cut", "qwen3-0.6b", "qwen3-moe-cut", "gemma3-1b",
              "phi3-mini-cut", "mamba2-2.7b-cut", "granite-hybrid", "lfm2-1.2b")
ENCODER_CONFIGS = [
    Config("512", 512, 1, 512, "f16", False, 504),
    Config("512 flash", 512, 1, 512, "f16", True, 504),
    Config("256 x 2", 256, 2, 256, "f16", False, 250),
    Config("128 x 4 flash", 128, 4, 128, "f16", True, 120),
]
# Trained, in models/: their vocabularies and templates are real.
MICRO = [
    Model("micro-minutes", "trained, 2.4 MB", "models/micro-minutes.gguf"),
    Model("micro-vision", "trained, with its vision encoder", "models/micro-vision.gguf",
          mmproj=True),
    Model("micro-embed-en", "trained encoder", "models/micro-embed-en.gguf", embeddings=True),
]
WHOLE = -1  # a prompt that fills the context
MICRO_CONFIGS = [
    Config("as trained, flash", 0, 1, 512, "f16", True, WHOLE),
    Config("as trained", 0, 1, 512, "f16", False, WHOLE),
    Config("as trained x 4 flash", 0, 4, 512, "f16", True, WHOLE),
]


def configs_of(model, phantom):
    """The configurations of a model; with `phantom` also those on an accelerator."""
    if model in MICRO:
        return MICRO_CONFIGS
    if model.embeddings:
        return ENCODER_CONFIGS
    configs = [*CONFIGS, *(GPU_CONFIGS if phantom and model.name in GPU_MODELS else [])]
    if not model.f16:
        return configs
    return [config._replace(name=config.name.replace(config.cache, "f16"), cache="f16")
            for config in configs]


def gpu_layers(share, layers):
    """llama.cpp's -ngl: the output counts as one layer more."""
    return {NONE: 0, HALF: layers // 2 + 1, ALL: layers + 1}[share]


def output_growth(card, batch, parallel):
    """Bytes by which an encoder's output buffer grows with its first full batch, unlogged.

    llama_context::encode() reserves a row of logits and an embedding for each token; what is logged
    at the start is one for each sequence.
    """
    return 4 * (card["vocab"] + card["embd"]) * (max(batch, parallel) - parallel)


def row_of(model, config, files, card):
    """One row as every tool gets it; `card`: of `gantry inspect`, for what a 0 stands for."""
    trained = card["context_trained"]
    each = config.context_each or trained
    if model.embeddings:  # an encoder sees a whole input in one physical batch
        batch = each
    else:
        batch = min(config.ubatch, each)
    return {"id": f"{model.name} / {config.name}", "model": model.name, "config": config.name,
            "file": str(files[0]), "mmproj": str(files[1] or ""), "context_each": each,
            "context": each * config.parallel, "parallel": config.parallel, "ubatch": batch,
            "cache_k": config.cache, "cache_v": config.cache, "flash": config.flash,
            "embeddings": model.embeddings, "gpu_layers": gpu_layers(config.gpu, card["layers"]),
            "prompt": each - 8 if config.prompt == WHOLE else config.prompt,
            "answers": output_growth(card, batch, config.parallel) if model.embeddings else 0}
