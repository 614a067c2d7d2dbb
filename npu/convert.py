"""A model made ready for OpenVINO: an ONNX file, or a folder as Hugging Face has them.

Called by `gantry convert` as `python3 -I -c <onnx_export.py and this text>`, with a JSON order as
the first line of stdin. First the system's Python makes an environment with the packages that
deps/lock.json names by hash, once for all conversions; then this program goes on inside it. Each
line of stdout is one JSON object: {"step": words}, at the end {"report": ...} or {"error": {"code",
"message", "remedy"}}.

What is made lies beside its place under another name until it has been compared with the
original, so that what is found there has been compared. Both ends of the comparison are other
programs than the one that serves: the original is computed by ONNX Runtime.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

# What a conversion may lose: the least cosine between the original's vectors and its own, over all
# of them. Weights of 16 bits round at the fourth digit; 8 and 4 bits are a matter of the model, and
# below these it should not be used in the other's place.
COSINE_MIN = {"f32": 0.99999, "f16": 0.9999, "int8": 0.99, "int4": 0.95}
TEXTS = ["open the door", "Please switch the lights off, it is late.", "call", "Zebra 42!",
         "Größe, naïve café: 12,5 %", "数字 and words 混ざる", "emoji 👍🏽 and\ttabs\n\nlines",
         "the meeting is at noon and everybody has to bring the report with them " * 6]
SAMPLE_MAX = 128  # tokens of a sample
LEFT_OVER = re.compile(r"\.(.+)\.partial-(\d+)$")
CARRIED = ("config.json", "tokenizer_config.json", "sentence_bert_config.json", "modules.json",
           "1_Pooling/config.json", "special_tokens_map.json", "preprocessor_config.json")


class Failure(Exception):
    def __init__(self, code, message, remedy=""):
        super().__init__(message)
        self.says = {"code": code, "message": message, "remedy": remedy}


def say(**line):
    print(json.dumps(line), file=sys.__stdout__, flush=True)


def cause_of(error):
    """The last line of what went wrong; libraries write whole pages."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines or [type(error).__name__])[-1][:300]


# ---- before the environment is there: nothing but the standard library -------------------------


def pip_cause(output):
    if re.search("NewConnectionError|NameResolution|ConnectTimeout|unreachable|ProxyError", output):
        return "the Python package index cannot be reached", "connect to the network once"
    if "DO NOT MATCH THE HASHES" in output:
        return "the Python package index has another file than the one wanted", "try another index"
    if missing := re.findall("No matching distribution found for (\\S+)", output):
        return (f"the Python package index has no {missing[-1]} for this Python "
                f"({sys.version.split()[0]})", "use Python 3.11 to 3.13")
    if re.search("No space left", output):
        return "no space left", "free some gigabytes, or name another --cache-dir"
    errors = [line for line in output.splitlines() if line.startswith("ERROR")]
    return (errors or ["pip failed"])[-1], ""


def make_environment(folder, packages, size):
    say(step=f"Python packages, once: {len(packages)}, about {size}")
    shutil.rmtree(folder, ignore_errors=True)
    made = subprocess.run([sys.executable, "-m", "venv", folder], text=True, capture_output=True,
                          check=False)
    if made.returncode != 0:
        raise Failure("unavailable", f"cannot make a Python environment in {folder}: "
                      f"{cause_of(made.stdout + made.stderr)}",
                      "install python3-venv, or free some disk space")
    wanted = folder / "requirements.txt"
    wanted.write_text("".join(
        f"{p['project']}=={p['version']} " + " ".join(f"--hash=sha256:{h}" for h in p["sha256"]) +
        "\n" for p in packages), encoding="utf-8")
    done = subprocess.run(
        [folder / "bin" / "python", "-m", "pip", "install", "--require-hashes", "--no-deps",
         "--only-binary", ":all:", "--no-input", "--disable-pip-version-check", "-q", "-r", wanted],
        text=True, capture_output=True, check=False)
    if done.returncode != 0:
        cause, remedy = pip_cause(done.stdout + done.stderr)
        shutil.rmtree(folder, ignore_errors=True)
        raise Failure("unavailable", cause, remedy)
    (folder / ".complete").touch()


def environment(order):
    """The Python with this order's packages; a second caller waits for the first."""
    packages = order["packages"]
    key = hashlib.sha256(json.dumps([packages, sys.version], sort_keys=True).encode()).hexdigest()
    cache = Path(order["cache"])
    cache.mkdir(parents=True, exist_ok=True)
    folder = cache / f"python-{key[:16]}"
    with open(cache / "lock", "w", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(step="waiting for another conversion's packages")
            fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / ".complete").exists():
            make_environment(folder, packages, order["size"])
    return folder / "bin" / "python"


# ---- inside it ---------------------------------------------------------------------------------


def find_source(given):
    """The folder of the model and its ONNX file, or where its weights begin."""
    path = Path(given)
    if path.is_file() and is_weights(path):
        return path.parent, path
    if path.is_file():
        return (path.parent.parent if path.parent.name == "onnx" else path.parent), path
    for name in ("onnx/model.onnx", "model.onnx"):
        if (path / name).is_file():
            return path, path / name
    if not path.is_dir():
        raise Failure("not_found", f"{path} is not there", "name an ONNX file or a model's folder")
    if weights := weights_beside(path):
        return path, weights
    raise Failure("not_found", f"{path} has neither onnx/model.onnx nor model.onnx, and no weights "
                  f"({', '.join(WEIGHT_FILES)})", "take the whole folder of the model")


def output_kind(outputs):
    """The output that embeddings are made of: (texts, tokens, width); else all."""
    names = [name for name, rank in outputs if rank == 3]
    for wanted in ("last_hidden_state", "token_embeddings"):
        if wanted in names:
            return [wanted]
    return names[:1] or [name for name, _ in outputs]


class OnnxOriginal:
    """Computed by ONNX Runtime."""

    def __init__(self, file, tokens_max):
        import onnxruntime
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        try:
            self.session = onnxruntime.InferenceSession(str(file), options,
                                                        providers=["CPUExecutionProvider"])
        except Exception as error:
            raise Failure("corrupt", f"{file} cannot be read: {cause_of(error)}",
                          "take the file again; weights beside it (.onnx_data) belong to it"
                          ) from error
        self.inputs = [(i.name, i.type, i.shape) for i in self.session.get_inputs()]
        self.outputs = output_kind([(o.name, len(o.shape)) for o in self.session.get_outputs()])
        self.file, self.tokens_max = file, tokens_max

    def run(self, feeds):
        try:
            return self.session.run(self.outputs, feeds)
        except Exception as error:
            raise Failure("corrupt", f"the model cannot be computed: {cause_of(error)}",
                          "take the whole folder again: its tokens and its weights have to belong "
                          "together") from error

    def converted(self):
        import openvino
        return openvino.convert_model(str(self.file))


def text_feeds(original, tokenizer):
    """The sample texts, alone and together, as the original's inputs."""
    names = [name for name, _, _ in original.inputs]
    for texts in [[text] for text in TEXTS] + [TEXTS[:4]]:
        rows = tokenizer(texts, padding=True, truncation=True, max_length=original.tokens_max,
                         return_tensors="np", return_token_type_ids="token_type_ids" in names)
        yield {name: rows[name].astype("int64") for name in names if name in rows}, \
            rows["attention_mask"]


def random_feeds(original):
    """Noise of the shapes that the inputs have; what is free is 1, height and width 224."""
    import numpy
    kinds = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(int64)": "int64",
             "tensor(int32)": "int32", "tensor(uint8)": "uint8", "tensor(bool)": "bool"}
    rng = numpy.random.default_rng(1)
    for _ in range(4):
        feeds = {}
        for name, kind, shape in original.inputs:
            if kind not in kinds:
                raise Failure("unsupported", f"the input {name} is {kind}")
            free = [1] + [3 if len(shape) == 4 and at == 1 else 224 if len(shape) == 4 else 8
                          for at in range(1, len(shape))]
            dims = [size if isinstance(size, int) and size > 0 else free[at]
                    for at, size in enumerate(shape)]
            noise = rng.random(dims) if "float" in kind else rng.integers(0, 2, dims)
            feeds[name] = noise.astype(kinds[kind])
        yield feeds, None


def compared(original, model, feeds):
    """The least cosine and the largest difference over all vectors."""
    import numpy
    import openvino
    core = openvino.Core()
    device = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    ports = [device.output(name) for name in original.outputs]
    cosine, difference, vectors = 1.0, 0.0, 0
    for inputs, mask in feeds:
        answers = device(inputs)
        for theirs, port in zip(original.run(inputs), ports):
            ours = numpy.asarray(answers[port], dtype="float64")
            theirs = numpy.asarray(theirs, dtype="float64")
            if ours.shape != theirs.shape or not numpy.isfinite(ours).all():
                raise Failure("internal", f"the converted model's {port.any_name} is "
                              f"{list(ours.shape)} or not finite; the original's is "
                              f"{list(theirs.shape)}")
            if mask is not None and ours.ndim == 3:
                ours, theirs = ours[mask.astype(bool)], theirs[mask.astype(bool)]
            ours, theirs = (x.reshape(-1, x.shape[-1] if x.ndim else 1) for x in (ours, theirs))
            lengths = numpy.linalg.norm(ours, axis=1) * numpy.linalg.norm(theirs, axis=1)
            cosines = (ours * theirs).sum(axis=1)[lengths > 0] / lengths[lengths > 0]
            cosine = min([cosine, *cosines.tolist()])
            difference = max(difference, float(numpy.abs(ours - theirs).max()))
            vectors += len(ours)
    return {"cosine": cosine, "largest_difference": difference, "vectors": vectors}


def load_tokenizer(folder):
    if not (folder / "tokenizer.json").is_file() and not (folder / "vocab.txt").is_file():
        return None
    import transformers
    try:
        return transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True,
                                                          trust_remote_code=False, use_fast=True)
    except Exception as error:
        raise Failure("corrupt", f"the tokenizer in {folder} cannot be loaded: {cause_of(error)}",
                      "take tokenizer.json and tokenizer_config.json again") from error


def convert_tokenizer(tokenizer, into):
    """Its graph, which has to cut the sample texts into the same tokens."""
    import openvino
    import openvino_tokenizers
    say(step="converting the tokenizer")
    longest = tokenizer.model_max_length  # 1e30 where there is none
    cut = {"truncation": True, "max_length": longest} if longest < 1_000_000 else {}
    graph = openvino_tokenizers.convert_tokenizer(tokenizer, **cut)
    openvino.save_model(graph, into / "openvino_tokenizer.xml")
    core = openvino.Core()
    core.add_extension(openvino_tokenizers._ext_path)
    device = core.compile_model(core.read_model(into / "openvino_tokenizer.xml"), "CPU")
    for text in TEXTS:
        ours = device([text])["input_ids"][0].tolist()
        theirs = tokenizer(text, truncation=bool(cut))["input_ids"]
        if ours != theirs:
            raise Failure("unsupported", f"the converted tokenizer cuts {text[:30]!r} into other "
                          f"tokens ({ours[:8]} ..., not {theirs[:8]} ...)",
                          "use the model's GGUF file, whose tokens are llama.cpp's")
    return len(TEXTS)


def squeezed(original, weights):
    import nncf
    model = original.converted()
    if weights in ("int8", "int4"):
        mode = {"int8": nncf.CompressWeightsMode.INT8_ASYM,
                "int4": nncf.CompressWeightsMode.INT4_SYM}[weights]
        more = {"group_size": 32, "ratio": 1.0} if weights == "int4" else {}
        with contextlib.suppress(AttributeError):
            nncf.set_log_level("ERROR")
        model = nncf.compress_weights(model, mode=mode, **more)
    return model


def convert(original, tokenizer, weights, into):
    """Made, written, read again and compared; what is compared is what was written."""
    import openvino
    say(step=f"converting to {weights}")
    try:
        model = squeezed(original, weights)
    except Failure:
        raise
    except Exception as error:
        raise Failure("unsupported", f"OpenVINO cannot convert it: {cause_of(error)}") from error
    openvino.save_model(model, into / "openvino_model.xml", compress_to_fp16=weights != "f32")
    say(step="comparing with the original")
    feeds = text_feeds(original, tokenizer) if tokenizer else random_feeds(original)
    found = compared(original, openvino.Core().read_model(into / "openvino_model.xml"), feeds)
    found.update(weights=weights, bytes=(into / "openvino_model.bin").stat().st_size)
    return found


def choose(original, tokenizer, wanted, into):
    """The weights asked for; `auto`: the smallest that lose no more than they may."""
    tried = []
    for weights in ["int8", "f16"] if wanted == "auto" else [wanted]:
        found = convert(original, tokenizer, weights, into)
        tried.append(found)
        if found["cosine"] >= COSINE_MIN[weights]:
            return found, tried
        say(step=f"{weights} is refused: the least cosine is {found['cosine']:.5f}")
    worst = tried[-1]
    finer = {"int4": "int8", "int8": "f16", "f16": "f32"}.get(worst["weights"])
    raise Failure("does_not_fit", f"{worst['weights']} loses too much: the least cosine with the "
                  f"original is {worst['cosine']:.5f}, {COSINE_MIN[worst['weights']]} is wanted",
                  f"use --weights {finer}" if finer else "report the model")


def clear_left_overs(parent):
    for path in parent.iterdir():
        found = LEFT_OVER.search(path.name)
        if found and not Path(f"/proc/{found[2]}").exists():
            shutil.rmtree(path, ignore_errors=True)


def sync(folder):
    for path in [p for p in folder.rglob("*") if p.is_file()] + [folder]:
        with open(path, "rb") if path.is_file() else contextlib.nullcontext() as file:
            handle = file.fileno() if file else os.open(path, os.O_RDONLY)
            os.fsync(handle)
            if not file:
                os.close(handle)


def work(order):
    begun = time.monotonic()
    folder, source = find_source(order["source"])
    out = Path(order["out"])
    clear_left_overs(out.parent)
    into = out.parent / f".{out.name}.partial-{os.getpid()}"
    older = out.parent / f".{out.name}-older.partial-{os.getpid()}"
    into.mkdir()
    try:
        onnx, tokens_max = source, SAMPLE_MAX
        if is_weights(source):
            say(step=f"writing the graph of {source}")
            onnx, tokens_max = export_onnx(source, into / "original")
        say(step=f"loading {onnx}")
        original = OnnxOriginal(onnx, min(tokens_max, SAMPLE_MAX))
        names = [name for name, _, _ in original.inputs]
        tokenizer = load_tokenizer(folder) if "input_ids" in names else None
        if "input_ids" in names and tokenizer is None:
            raise Failure("not_found", f"{folder} has no tokenizer.json",
                          "take the whole folder of the model")
        checked = convert_tokenizer(tokenizer, into) if tokenizer else 0
        found, tried = choose(original, tokenizer, order["weights"], into)
        shutil.rmtree(into / "original", ignore_errors=True)
        for name in CARRIED:
            if (folder / name).is_file():
                (into / name).parent.mkdir(exist_ok=True)
                shutil.copyfile(folder / name, into / name)
        report = {"out": str(out), **found, "tokenizer_texts": checked, "tried": tried,
                  "source": str(source), "seconds": round(time.monotonic() - begun, 2)}
        (into / "conversion.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        sync(into)
        if order["replace"] and out.exists():
            os.rename(out, older)
        os.rename(into, out)
        return report
    finally:
        for path in (into, older):
            shutil.rmtree(path, ignore_errors=True)


def interrupted(_number, _frame):
    raise KeyboardInterrupt


def main():
    signal.signal(signal.SIGTERM, interrupted)
    try:
        order = json.loads(os.environ.pop("GANTRY_CONVERT", "") or sys.stdin.readline())
        if sys.argv[1:] != ["inside"]:
            python = environment(order)
            os.environ["GANTRY_CONVERT"] = json.dumps({**order, "packages": []})
            # Libraries print to stdout as they like: theirs goes where their warnings go.
            os.execv(python, [str(python), "-I", "-c", sys.orig_argv[3], "inside"])
        os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", OPENVINO_TELEMETRY="0",
                          TRANSFORMERS_VERBOSITY="error", TOKENIZERS_PARALLELISM="false")
        sys.__stdout__ = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)
        say(report=work(order))
    except Failure as failure:
        say(error=failure.says)
    except KeyboardInterrupt:
        say(error={"code": "cancelled", "message": "cancelled", "remedy": ""})
    except OSError as error:
        code = "disk_full" if error.errno in (28, 122) else "io"
        say(error={"code": code, "message": str(error), "remedy": ""})
    except Exception as error:  # a library's; its name is all that is known
        say(error={"code": "unsupported", "message": f"{type(error).__name__}: {cause_of(error)}",
                   "remedy": ""})


main()
