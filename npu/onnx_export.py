"""Weights as Hugging Face keeps them, made an ONNX graph without PyTorch: sentence encoders.

The first half of convert.py's program, whose `Failure` and `cause_of` it uses. Nothing of a file
is run, also where it is a pickle. Weights stay in their files until the graph's own file is
written, one tensor at a time.
"""

DIMENSIONS_MAX = 8
HEADER_MAX = 1 << 24  # bytes of config.json, of an index and of the list of a file's tensors
SHARDS_MAX = 1024
WEIGHT_FILES = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin",
                "pytorch_model.bin.index.json")
AGAIN = "take the whole folder again"
EXPORT = "export it with PyTorch: `optimum-cli export onnx`"

FLOATS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
STORAGES = {"torch DoubleStorage": "F64", "torch FloatStorage": "F32", "torch HalfStorage": "F16",
            "torch BFloat16Storage": "BF16", "torch LongStorage": "I64", "torch IntStorage": "I32",
            "torch ShortStorage": "I16", "torch CharStorage": "I8", "torch ByteStorage": "U8",
            "torch BoolStorage": "BOOL"}

# What a family calls its numbers in config.json, with the most that is believed of each, and its
# weights. `types`: an input that tells sentences apart, a row that all tokens get, or none.
# `padding`: the token that has no position; positions are counted from the one after it.
BERT = {
    "numbers": {"num_hidden_layers": 512, "num_attention_heads": 1024, "hidden_size": 1 << 16,
                "intermediate_size": 1 << 18, "vocab_size": 1 << 24,
                "max_position_embeddings": 1 << 20},
    "types": "input", "padding": None, "epsilon": "layer_norm_eps", "act": "hidden_act",
    "layer": "encoder.layer.",
    "query": "attention.self.query", "key": "attention.self.key", "value": "attention.self.value",
    "joined": "attention.output.dense", "attended": "attention.output.LayerNorm",
    "up": "intermediate.dense", "down": "output.dense", "out": "output.LayerNorm"}
ROBERTA = {**BERT, "types": "row", "padding": "pad_token_id"}
MPNET = {**BERT, "types": None, "padding": 1, "query": "attention.attn.q",
         "key": "attention.attn.k", "value": "attention.attn.v", "joined": "attention.attn.o",
         "attended": "attention.LayerNorm"}
DISTILBERT = {
    "numbers": {"n_layers": 512, "n_heads": 1024, "dim": 1 << 16, "hidden_dim": 1 << 18,
                "vocab_size": 1 << 24, "max_position_embeddings": 1 << 20},
    "types": None, "padding": None, "epsilon": None, "act": "activation",
    "layer": "transformer.layer.",
    "query": "attention.q_lin", "key": "attention.k_lin", "value": "attention.v_lin",
    "joined": "attention.out_lin", "attended": "sa_layer_norm", "up": "ffn.lin1",
    "down": "ffn.lin2", "out": "output_layer_norm"}
FAMILIES = {"bert": BERT, "roberta": ROBERTA, "xlm-roberta": ROBERTA, "camembert": ROBERTA,
            "mpnet": MPNET, "distilbert": DISTILBERT}
FIRST = "embeddings.word_embeddings.weight"  # each family has it; what stands before is a prefix
ACTIVATIONS = {"gelu": "erf", "gelu_python": "erf", "gelu_new": "tanh", "gelu_fast": "tanh",
               "gelu_pytorch_tanh": "tanh", "relu": "relu", "silu": "silu", "swish": "silu"}


def corrupt(message, remedy=AGAIN):
    return Failure("corrupt", message, remedy)


def whole(value, most, least=0):
    return type(value) is int and least <= value <= most


def sizes(values):
    """Whether these are a tensor's sizes, or strides."""
    return isinstance(values, (list, tuple)) and len(values) <= DIMENSIONS_MAX and \
        all(whole(size, 1 << 48) for size in values)


# ---- the weights, where they lie -----------------------------------------------------------------


class Tensor:
    """Numbers in a file, read when asked for. `strides` are in elements; none: row after row."""

    def __init__(self, kind, shape, data, strides=None):
        self.kind, self.shape, self.data, self.strides = kind, tuple(shape), data, strides

    def numbers(self):
        """(shape) of f32, in rows."""
        import numpy
        flat = self.data.view(FLOATS[self.kind])
        if self.strides is None:
            rows = flat.reshape(self.shape)
        else:
            rows = numpy.lib.stride_tricks.as_strided(
                flat, self.shape, [stride * flat.itemsize for stride in self.strides])
        if self.kind == "BF16":  # the upper half of an f32
            return (rows.astype("uint32") << 16).view("float32")
        return numpy.ascontiguousarray(rows, dtype="float32")


def elements(shape):
    count = 1
    for size in shape:
        count *= size
    return count


def mapped(path):
    """A file's bytes, in no memory until they are looked at."""
    import numpy
    if path.stat().st_size == 0:
        raise corrupt(f"{path} is empty")
    data = numpy.memmap(path, dtype="uint8", mode="r")
    if bytes(data[:24]) == b"version https://git-lfs.":
        raise corrupt(f"{path} is Git LFS's pointer to the weights, not the weights",
                      "fetch them: `git lfs pull`")
    return data


def read_json(path):
    import json
    if path.stat().st_size > HEADER_MAX:
        raise corrupt(f"{path} has more than {HEADER_MAX} bytes")
    try:
        page = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise corrupt(f"{path} is not JSON: {cause_of(error)}") from error
    if not isinstance(page, dict):
        raise corrupt(f"{path} is no JSON object")
    return page


def safetensors_of(path):
    """{name: Tensor}: the header's length, the header, then the numbers it speaks of."""
    import json
    data = mapped(path)
    length = int.from_bytes(bytes(data[:8]), "little")
    if len(data) < 8 or length > min(HEADER_MAX, len(data) - 8):
        raise corrupt(f"{path}: its header would have {length} bytes, the file has {len(data)}")
    try:
        header = json.loads(bytes(data[8:8 + length]))
    except (ValueError, RecursionError) as error:
        raise corrupt(f"{path}: its header is not JSON: {cause_of(error)}") from error
    if not isinstance(header, dict):
        raise corrupt(f"{path}: its header is no JSON object")
    header.pop("__metadata__", None)
    data, found = data[8 + length:], {}
    for name, told in header.items():
        told = told if isinstance(told, dict) else {}
        kind, shape, ends = (told.get(key) for key in ("dtype", "shape", "data_offsets"))
        if not (isinstance(kind, str) and sizes(shape) and sizes(ends) and len(ends) == 2):
            raise corrupt(f"{path}: the header's words on {name[:80]} are not to be understood")
        begin, end = ends
        size = int(FLOATS[kind][2]) if kind in FLOATS else None
        if not begin <= end <= len(data) or size and end - begin != size * elements(shape):
            raise corrupt(f"{path}: {name[:80]} is {kind} {shape}, and its bytes would be {begin} "
                          f"to {end} of {len(data)}")
        found[name] = Tensor(kind, shape, data[begin:end])
    return found


# ---- PyTorch's own file: a zip of a pickle and of storages --------------------------------------


class Word(str):
    """The name of something in a Python module, which stays a name."""


def unpickled(data, path, called):
    """What a pickle describes, of what PyTorch writes: containers, numbers, strings, and calls
    that `called(name, arguments)` answers."""
    import pickletools
    stack, marks, memo = [], [], {}
    made = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple, "NONE": lambda: None,
            "NEWTRUE": lambda: True, "NEWFALSE": lambda: False}
    tuples = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}

    def above_mark():
        at = marks.pop()
        items = stack[at:]
        del stack[at:]
        return items

    def put(items):
        if not isinstance(stack[-1], dict) or not all(type(key) is str for key in items[::2]):
            raise corrupt(f"{path}: its pickle has a key that is no name")
        stack[-1].update(zip(items[::2], items[1::2]))

    for op, argument, _ in pickletools.genops(data):
        if op.name in ("PROTO", "FRAME", "STOP"):
            continue
        if op.name in made:
            stack.append(made[op.name]())
        elif op.name in ("BINUNICODE", "SHORT_BINUNICODE", "BININT", "BININT1", "BININT2",
                         "LONG1", "BINFLOAT"):
            stack.append(argument)
        elif op.name == "MARK":
            marks.append(len(stack))
        elif op.name in ("BINPUT", "LONG_BINPUT", "MEMOIZE"):
            memo[len(memo) if op.name == "MEMOIZE" else argument] = stack[-1]
        elif op.name in ("BINGET", "LONG_BINGET"):
            stack.append(memo[argument])
        elif op.name in tuples or op.name == "TUPLE":
            items = (above_mark() if op.name == "TUPLE" else
                     [stack.pop() for _ in range(tuples[op.name])][::-1])
            stack.append(tuple(items))
        elif op.name in ("SETITEM", "SETITEMS"):
            put(above_mark() if op.name == "SETITEMS" else [stack.pop(), stack.pop()][::-1])
        elif op.name in ("APPEND", "APPENDS"):
            items = above_mark() if op.name == "APPENDS" else [stack.pop()]
            stack[-1].extend(items)
        elif op.name == "GLOBAL":
            stack.append(Word(argument))
        elif op.name == "STACK_GLOBAL":
            name, module = stack.pop(), stack.pop()
            if type(name) is not str or type(module) is not str:
                raise corrupt(f"{path}: its pickle has a name that is none")
            stack.append(Word(f"{module} {name}"))
        elif op.name in ("REDUCE", "BINPERSID"):
            arguments = stack.pop()
            stack.append(called(stack.pop() if op.name == "REDUCE" else None, arguments))
        elif op.name == "BUILD":  # the attributes of an OrderedDict: versions of modules
            stack.pop()
        else:
            raise Failure("unsupported", f"{path}: its pickle does {op.name}, which PyTorch's "
                          "weights have no need of", "save the weights as safetensors")
    return stack.pop()


def torch_calls(path, storage):
    """What unpickled() may call: `storage(kind, key)` has the bytes."""

    def tensor(arguments):
        held, offset, shape, strides = arguments[:4]
        if not (isinstance(held, Tensor) and sizes(shape) and sizes(strides) and
                len(shape) == len(strides) and whole(offset, 1 << 48)):
            raise corrupt(f"{path}: a tensor has no shape")
        if held.kind not in FLOATS or 0 in shape:
            return Tensor(held.kind, shape, held.data[:0])
        size = int(FLOATS[held.kind][2])
        there = len(held.data) // size
        last = offset + sum((n - 1) * stride for n, stride in zip(shape, strides))
        if last >= there or elements(shape) > there:
            raise corrupt(f"{path}: a tensor {list(shape)} lies beyond its {there} numbers")
        return Tensor(held.kind, shape, held.data[offset * size:there * size], strides)

    def called(name, arguments):
        if not isinstance(name, Word) and name is not None:
            raise corrupt(f"{path}: its pickle calls what is no function")
        if name is None and len(arguments) == 5 and arguments[0] == "storage":
            kind, key = arguments[1:3]
            if not isinstance(kind, Word) or kind not in STORAGES or type(key) is not str:
                raise Failure("unsupported", f"{path} has storages that are not known: "
                              f"{kind[:80] if isinstance(kind, Word) else 'of no name'}",
                              "save the weights as safetensors")
            data = storage(key)
            return Tensor(STORAGES[kind], (len(data),), data)
        if name == "collections OrderedDict" and arguments == ():
            return {}
        if name == "torch._utils _rebuild_tensor_v2":
            return tensor(arguments)
        if name == "torch._utils _rebuild_parameter":
            return arguments[0]
        raise Failure("unsupported", f"{path} would have {(name or 'a persistent id')[:80]} "
                      "called, and nothing of a file is run",
                      "save the weights as safetensors, or do not trust the file")

    return called


def torch_of(path):
    """{name: Tensor} of what torch.save wrote, PyTorch 1.6 and later."""
    import zipfile
    data = mapped(path)
    if bytes(data[:2]) != b"PK":
        raise Failure("unsupported", f"{path} is no file of PyTorch 1.6 or later",
                      "save the weights as safetensors, or again with a newer PyTorch")

    def bytes_of(entry):
        at = entry.header_offset
        begin = at + 30 + int.from_bytes(bytes(data[at + 26:at + 28]), "little") + \
            int.from_bytes(bytes(data[at + 28:at + 30]), "little")
        if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1 or \
                begin + entry.file_size > len(data):
            raise corrupt(f"{path}: {entry.filename[:80]} is packed, or not all there")
        return data[begin:begin + entry.file_size]

    def storage(key):
        if root + "data/" + key not in entries:
            raise corrupt(f"{path} has no storage {key[:80]}")
        return bytes_of(entries[root + "data/" + key])

    try:
        with zipfile.ZipFile(path) as archive:
            entries = {entry.filename: entry for entry in archive.infolist()}
        pickles = [name for name in entries if name.endswith("/data.pkl")]
        if len(pickles) != 1 or entries[pickles[0]].file_size > HEADER_MAX:
            raise corrupt(f"{path} has not one data.pkl of at most {HEADER_MAX} bytes")
        root = pickles[0][:-len("data.pkl")]
        if root + "byteorder" in entries and bytes(bytes_of(entries[root + "byteorder"])) != \
                b"little":
            raise Failure("unsupported", f"{path} was written on a big-endian machine",
                          "save the weights as safetensors")
        found = unpickled(bytes(bytes_of(entries[pickles[0]])), path, torch_calls(path, storage))
    except (zipfile.BadZipFile, ValueError, LookupError, TypeError, AttributeError,
            NotImplementedError) as error:
        raise corrupt(f"{path} cannot be read: {cause_of(error)}") from error
    if not isinstance(found, dict):
        raise corrupt(f"{path} has no names of weights")
    return {name: tensor for name, tensor in found.items() if isinstance(tensor, Tensor)}


def weights_beside(folder):
    """The file to begin with, if a folder has weights."""
    return next((folder / name for name in WEIGHT_FILES if (folder / name).is_file()), None)


def is_weights(file):
    return file.name.endswith((".safetensors", ".bin", ".index.json"))


def shards_of(index):
    """{file: names of its tensors} as an index says; files beside it and nowhere else."""
    told = read_json(index).get("weight_map")
    if not isinstance(told, dict):
        raise corrupt(f"{index} has no weight_map")
    shards = {}
    for name, file in told.items():
        if not isinstance(file, str) or file in ("", ".", "..") or "/" in file or "\0" in file:
            raise corrupt(f"{index} names {str(file)[:80]!r}, which is no file of its folder",
                          "do not trust it; " + AGAIN)
        shards.setdefault(file, []).append(name)
    if len(shards) > SHARDS_MAX:
        raise corrupt(f"{index} names more than {SHARDS_MAX} files")
    return shards


def weights_of(file):
    """All tensors, and the bytes of their files."""
    def read(path):
        if not path.is_file():
            raise Failure("not_found", f"{path} is not there", AGAIN)
        return safetensors_of(path) if path.name.endswith(".safetensors") else torch_of(path)

    if not file.name.endswith(".index.json"):
        return read(file), file.stat().st_size
    found, size = {}, 0
    for shard, names in sorted(shards_of(file).items()):
        tensors = read(file.parent / shard)
        size += (file.parent / shard).stat().st_size
        found.update((name, tensors[name]) for name in names if name in tensors)
    return found, size


# ---- config.json ---------------------------------------------------------------------------------


def read_config(path):
    """The family's words and the numbers of this model, checked."""
    if not path.is_file():
        raise Failure("not_found", f"{path} is not there", AGAIN)
    page = read_json(path)
    kind = page.get("model_type")
    if not isinstance(kind, str) or kind not in FAMILIES:
        raise Failure("unsupported", f"{path}: no graph is known for the model_type "
                      f"{repr(kind)[:80]}, but for {', '.join(sorted(FAMILIES))}", EXPORT)
    family = FAMILIES[kind]
    numbers = []
    for key, most in family["numbers"].items():
        if not whole(page.get(key), most, 1):
            raise corrupt(f"{path}: {key} is {str(page.get(key))[:80]}, not 1 to {most}")
        numbers.append(page[key])
    names = ("layers", "heads", "width", "inner", "words", "positions")
    config = {**family, **dict(zip(names, numbers)), "model_type": kind}
    if config["width"] % config["heads"]:
        raise corrupt(f"{path}: {config['heads']} heads do not divide {config['width']}")
    for key, usual in (("position_embedding_type", "absolute"), ("is_decoder", False),
                       ("relative_attention_num_buckets", 32)):
        if page.get(key, usual) != usual:
            raise Failure("unsupported", f"{path}: no graph is known for {key} "
                          f"{str(page[key])[:80]}", EXPORT)
    act = page.get(family["act"], "gelu")
    if not isinstance(act, str) or act not in ACTIVATIONS:
        raise Failure("unsupported", f"{path}: no graph is known for {family['act']} "
                      f"{repr(act)[:80]}", EXPORT)
    config["act"] = ACTIVATIONS[act]
    config["epsilon"] = page.get(family["epsilon"], 1e-12)
    if not isinstance(config["epsilon"], float) or not 0 < config["epsilon"] < 1:
        raise corrupt(f"{path}: layer_norm_eps is {str(config['epsilon'])[:80]}")
    config["type_words"] = page.get("type_vocab_size", 2)
    if config["types"] and not whole(config["type_words"], 1 << 16, 1):
        raise corrupt(f"{path}: type_vocab_size is {str(config['type_words'])[:80]}")
    if config["padding"] == "pad_token_id":
        config["padding"] = page.get("pad_token_id", 1)
    if config["padding"] is not None and not whole(config["padding"], config["positions"] - 2):
        raise corrupt(f"{path}: pad_token_id is {str(config['padding'])[:80]}")
    config["tokens_max"] = config["positions"] - (
        0 if config["padding"] is None else config["padding"] + 1)
    return config


# ---- the graph -----------------------------------------------------------------------------------


class Graph:
    """Nodes, and constants that go to a file of their own: one ONNX file has at most 2 GiB."""

    def __init__(self, file, tensors, size):
        self.nodes, self.constants = [], []
        self.file, self.tensors, self.left = file, tensors, size
        first = [name for name in tensors if ("." + name).endswith("." + FIRST)]
        if len(first) != 1:
            raise corrupt(f"the weights have {len(first)} tensors of the name {FIRST}, not one",
                          "take the folder of one encoder")
        self.prefix = first[0][:-len(FIRST)]

    def add(self, kind, *inputs, out=None, **attributes):
        from onnx import helper
        out = out or f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [out], **attributes))
        return out

    def fixed(self, values, kind="int64"):
        import numpy
        from onnx import numpy_helper
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(numpy.array(values, kind), name))
        return name

    def stored(self, values):
        import numpy
        import onnx
        self.file.write(bytes(-self.file.tell() % 64))
        told = onnx.TensorProto(name=f"c{len(self.constants)}", dims=values.shape,
                                data_type=onnx.TensorProto.FLOAT,
                                data_location=onnx.TensorProto.EXTERNAL)
        for key, value in (("location", "weights"), ("offset", self.file.tell()),
                           ("length", values.nbytes)):
            told.external_data.add(key=key, value=str(value))
        self.file.write(numpy.ascontiguousarray(values).data)
        self.constants.append(told)
        return told.name

    def read(self, names, shape):
        """The numbers of a tensor that has one of the names, and this shape."""
        import numpy
        name = next((self.prefix + name for name in names if self.prefix + name in self.tensors),
                    None)
        if name is None:
            raise corrupt(f"the weights have no {self.prefix}{names[0]}, which config.json wants")
        tensor = self.tensors[name]
        if tensor.kind not in FLOATS:
            raise Failure("unsupported", f"{name} is {tensor.kind[:80]}, not F32, F16 or BF16",
                          "save the weights as they were before they were quantised")
        if tensor.shape != shape:
            raise corrupt(f"{name} is {list(tensor.shape)}, and config.json wants {list(shape)}")
        self.left -= elements(shape) * int(FLOATS[tensor.kind][2])
        if self.left < 0:
            raise corrupt(f"{name}: the weights would be more than their files have")
        numbers = tensor.numbers()
        if not numpy.isfinite(numbers).all():
            raise corrupt(f"{name} has values that are no numbers")
        return numbers

    def weight(self, name, *shape):
        return self.stored(self.read([name], shape))

    def dense(self, x, name, inputs, outputs):
        """PyTorch keeps (outputs, inputs)."""
        weight = self.stored(self.read([name + ".weight"], (outputs, inputs)).T)
        return self.add("Add", self.add("MatMul", x, weight), self.weight(name + ".bias", outputs))

    def norm(self, x, name, config, out=None):
        """Weights that once were TensorFlow's are called gamma and beta."""
        scale, shift = (self.stored(self.read([f"{name}.{new}", f"{name}.{old}"],
                                              (config["width"],)))
                        for new, old in (("weight", "gamma"), ("bias", "beta")))
        return self.add("LayerNormalization", x, scale, shift, axis=-1, epsilon=config["epsilon"],
                        out=out)


def distances_bias(g, config, places):
    """MPNet's: (heads, tokens, tokens), by how far a token is from another, beyond 127 the same."""
    import numpy
    far = 128
    buckets = []
    for ahead in range(-far, far + 1):
        n = abs(ahead)
        # 8 buckets of one distance, 8 that grow to 128 as powers do: floor(8 log(n/8) / log(16)).
        steps = sum(n ** 8 >= 8 ** 8 * 16 ** k for k in range(1, 8)) if n >= 8 else 0
        buckets.append((16 if ahead > 0 else 0) + (n if n < 8 else 8 + steps))
    rows = g.read(["encoder.relative_attention_bias.weight"], (32, config["heads"]))
    table = g.stored(rows[numpy.array(buckets)])
    ahead = g.add("Sub", g.add("Unsqueeze", places, g.fixed([0])),
                  g.add("Unsqueeze", places, g.fixed([1])))
    near = g.add("Add", g.add("Clip", ahead, g.fixed(-far), g.fixed(far)), g.fixed(far))
    return g.add("Transpose", g.add("Gather", table, near), perm=[2, 0, 1])


def embedded(g, config, places):
    """(batch, tokens, width) of the words, where they stand, and which sentence's they are."""
    width = config["width"]
    if config["padding"] is not None:
        pad = g.fixed(config["padding"])
        real = g.add("Cast", g.add("Not", g.add("Equal", "input_ids", pad)), to=7)  # int64
        count = g.add("Mul", g.add("CumSum", real, g.fixed(1)), real)
        places = g.add("Add", count, pad)
    rows = g.read(["embeddings.position_embeddings.weight"], (config["positions"], width))
    if config["types"]:
        kinds = g.read(["embeddings.token_type_embeddings.weight"], (config["type_words"], width))
    if config["types"] == "row":
        rows = rows + kinds[0]
    x = g.add("Add", g.add("Gather", g.weight(FIRST, config["words"], width), "input_ids"),
              g.add("Gather", g.stored(rows), places))
    if config["types"] == "input":
        x = g.add("Add", x, g.add("Gather", g.stored(kinds), "token_type_ids"))
    return g.norm(x, "embeddings.LayerNorm", config)


def attention(g, x, config, layer, biases):
    heads, width = config["heads"], config["width"]
    split = g.fixed([0, 0, heads, width // heads])
    query, key, value = (
        g.add("Transpose", g.add("Reshape", g.dense(x, layer + config[what], width, width), split),
              perm=[0, 2, 3, 1] if what == "key" else [0, 2, 1, 3])
        for what in ("query", "key", "value"))
    scores = g.add("Mul", g.add("MatMul", query, key),
                   g.fixed((width // heads) ** -0.5, "float32"))
    for bias in biases:
        scores = g.add("Add", scores, bias)
    mixed = g.add("MatMul", g.add("Softmax", scores, axis=-1), value)
    joined = g.add("Reshape", g.add("Transpose", mixed, perm=[0, 2, 1, 3]),
                   g.fixed([0, 0, width]))
    return g.dense(joined, layer + config["joined"], width, width)


def activated(g, x, act):
    def number(value):
        return g.fixed(value, "float32")

    if act == "relu":
        return g.add("Relu", x)
    if act == "silu":
        return g.add("Mul", x, g.add("Sigmoid", x))
    if act == "erf":
        grown = g.add("Erf", g.add("Mul", x, number(0.5 ** 0.5)))
    else:
        cube = g.add("Mul", g.add("Mul", g.add("Mul", x, x), x), number(0.044715))
        grown = g.add("Tanh", g.add("Mul", g.add("Add", x, cube), number(0.7978845608028654)))
    return g.add("Mul", g.add("Mul", x, number(0.5)), g.add("Add", grown, number(1)))


def encoder(g, config):
    """From tokens to last_hidden_state."""
    width, inner = config["width"], config["inner"]
    length = g.add("Slice", g.add("Shape", "input_ids"), g.fixed([1]), g.fixed([2]))
    places = g.add("Range", g.fixed(0), g.add("Squeeze", length), g.fixed(1))
    mask = g.add("Cast", g.add("Unsqueeze", "attention_mask", g.fixed([1, 2])), to=1)  # f32
    # Far below any score, and still a number in 16 bits, score added.
    biases = [g.add("Mul", g.add("Sub", g.fixed(1, "float32"), mask), g.fixed(-3e4, "float32"))]
    if config["model_type"] == "mpnet":
        biases.append(distances_bias(g, config, places))
    x = embedded(g, config, places)
    for number in range(config["layers"]):
        layer = f"{config['layer']}{number}."
        mixed = g.add("Add", x, attention(g, x, config, layer, biases))
        x = g.norm(mixed, layer + config["attended"], config)
        grown = activated(g, g.dense(x, layer + config["up"], width, inner), config["act"])
        x = g.norm(g.add("Add", x, g.dense(grown, layer + config["down"], inner, width)),
                   layer + config["out"], config,
                   "last_hidden_state" if number == config["layers"] - 1 else None)


def export_onnx(weights, into):
    """`into`/model.onnx of the weights and the config.json beside them; the tokens it reads."""
    import onnx
    from onnx import helper
    config = read_config(weights.parent / "config.json")
    tensors, size = weights_of(weights)
    into.mkdir()
    with open(into / "weights", "wb") as file:
        g = Graph(file, tensors, size)
        encoder(g, config)
    names = ["input_ids", "attention_mask"]
    if config["types"] == "input":
        names.append("token_type_ids")
    free = ["batch", "tokens"]
    graph = helper.make_graph(
        g.nodes, config["model_type"],
        [helper.make_tensor_value_info(name, onnx.TensorProto.INT64, free) for name in names],
        [helper.make_tensor_value_info("last_hidden_state", onnx.TensorProto.FLOAT,
                                       [*free, config["width"]])], g.constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (into / "model.onnx").write_bytes(model.SerializeToString())
    return into / "model.onnx", config["tokens_max"]
