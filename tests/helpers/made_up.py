"""Files made up on purpose: trees of JSON and headers of safetensors files with odd values."""

import copy
import json

JUNK = (
    None, True, False, 0, 1, -1, 2, 10**9, 2**63, 2**200, 0.5, -0.0, 1e308, "", "x", "0.weight",
    "float32", "float64", "object", "F64", "Linear", "Sequential", [], {}, [1], [0], [-1],
    [10**9, 10**9], [[1]], {"class": "Linear"}, {"$tensor": "0.weight"}, {"$number": "nan"},
    {"$number": "x"}, {"$tensor": []}, [None] * 9, "\0", "é" * 99,
)  # fmt: skip


def places(tree, path=()):
    """All places in a tree of dicts and lists."""
    yield path
    if isinstance(tree, (dict, list)):
        parts = tree.items() if isinstance(tree, dict) else enumerate(tree)
        for key, each in parts:
            yield from places(each, (*path, key))


def edited(tree, rng):
    """The tree with something at a place of it replaced, removed, renamed or doubled."""
    tree = json.loads(json.dumps(tree))
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        path = rng.choice([path for path in places(tree) if path] or [()])
        if not path:
            return tree
        parent = tree
        for key in path[:-1]:
            parent = parent[key]
        key, kind = path[-1], rng.randrange(5)
        if kind == 0:
            del parent[key]
        elif kind == 1 and isinstance(parent, dict):
            parent[rng.choice(("x", "class", "arguments", "$tensor", ""))] = parent.pop(key)
        elif kind == 2 and isinstance(parent, list):
            parent.insert(key, parent[key])
        elif kind == 3 and type(parent[key]) in (int, float):
            parent[key] = rng.choice((parent[key] + 1, -parent[key], parent[key] * 10**6, 0))
        else:
            parent[key] = copy.deepcopy(rng.choice(JUNK))  # the next change may edit it
    return tree


def split(content):
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def assembled(header, data):
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def edit_header(content, rng):
    """Other names, dtypes, shapes and places of tensors."""
    header, data = split(content)
    metadata = header.pop("__metadata__", None)
    header = edited(header, rng)
    if isinstance(header, dict) and metadata and rng.random() < 0.9:
        header["__metadata__"] = metadata
    return assembled(header, data)
