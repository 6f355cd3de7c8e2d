"""What it costs to refuse a file that is all header: `python -m bench.hostile_headers [--mb 1 2 4 10] [--only TEXT] [--all]`.

Headers of brackets, keys, numbers, text, escapes, deep nesting, tensors, values and nodes, in each place of a file where they
may stand, and sound models with a fault at their end. Each is read in a process of its own by Python's reader and by that of
the C library: it must be refused within SECONDS of the processor, with at most 4 times the file and 16 MiB of memory more than
there was before the file was read. Says which are not, and the worst of each size.
"""

import argparse
import json
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bitwright.artifact import from_bytes
from bitwright.artifact_file.limits import MAX_NODES
from bitwright.errors import ArtifactError
from bitwright.images.preprocess import Preprocess

SECONDS = 1.0
FILLINGS: dict[str, Callable[[int], str]] = {
    "brackets": lambda i: "[],",
    "braces": lambda i: "{},",
    "nested": lambda i: "[[[[[[[[]]]]]]]],",
    "digits": lambda i: "1,",
    "numbers": lambda i: f"{1000 + i},",
    "reals": lambda i: f"1.{i},",
    "text": lambda i: f'"{i:x}",',
    "escapes": lambda i: '"\\u00e9\\ud83d\\ude00",',
    "letters": lambda i: '"\\u0041\\u0042\\u0043",',
    "unicode": lambda i: '"\U0001f600\u00e9",',
    "lists": lambda i: "[1,2],",
    "objects": lambda i: f'{{"{i:x}":{{}}}},',
}
"""The i-th item of a list, of which a filling has as many as fit."""
IMAGE = {
    "shape": [1, 4, 4],
    "type": {"scheme": "uint8", "scale": [1.0], "zero_point": [0], "offset": [0.0]},
    "channel": 0,
}
FLOAT = {"shape": [16], "type": None, "channel": 0}
START = {"format": 2, "graph": {"output": "y", "others": {}, "values": {"image": IMAGE}, "nodes": []}}
END = {"preprocess": Preprocess(size=4, mode="L").to_json(), "classes": None, "provenance": {}}
LAYER = {"name": "", "op": "reshape", "inputs": ["image"], "attrs": {"shape": [16]}, "tensors": {}, "origin": ""}


def repeated(part: Callable[[int], str], size: int) -> str:
    """As many parts as have so many characters."""
    count = size // max(1, len(part(99)))
    return "".join(map(part, range(count))).rstrip(",")


def headers(size: int) -> Iterator[tuple[str, str]]:
    """(kind, header) of about so many characters."""
    document = json.dumps({**START, **END})
    for name, item in FILLINGS.items():
        items = f"[{repeated(item, size)}]"
        yield f"{name}, as header", items
        yield f"{name}, as a tensor", f'{{"a":{items}}}'
        yield f"{name}, as metadata", f'{{"__metadata__":{{"bitwright":{items}}}}}'
        for place in ('"others": {', '"nodes": [', '"classes": null', '"provenance": {', '"background": ['):
            yield f"{name}, in {place.split(chr(34))[1]}", within(document, place, items)
    for name, member in (
        ("keys", '"{:x}":0,'),
        ("texts by keys", '"{:x}":"",'),
        ("keys of letters", '"\\u0041{:x}":0,'),
        ("escaped keys", '"\\u00e9{:x}":0,'),
        ("long keys", '"' + "x" * 90 + '{:x}":{{}},'),
    ):
        members = repeated(member.format, size)
        yield f"{name}, as header", f"{{{members}}}"
        yield f"{name}, as a tensor", f'{{"a":{{{members}}}}}'
        yield f"{name}, as metadata", f'{{"__metadata__":{{{members}}}}}'
        for place in ('"others": {}', '"values": {', '"classes": null', '"provenance": {}', '"preprocess": {'):
            begin, end = document.index(place), place[-1]
            text = document[:begin] + place.rstrip("{}nul") + (f"{{{members}}}" if end != "{" else f"{{{members},")
            yield f"{name}, in {place.split(chr(34))[1]}", file_text(text + document[begin + len(place) :])
    for name, opening in (("deep lists", "["), ("deep objects", '{"a":')):
        yield f"{name}, as header", opening * (size // len(opening))
        yield f"{name}, in provenance", within(document, '"provenance": {', opening * (size // len(opening)))
    yield "space", "{" + " " * size
    yield "backslashes", '{"' + "\\" * size
    yield "digits of one number", '{"a":' + "1" * size
    yield "one text", file_text('"' + "x" * size + '"')
    yield "one text beyond ASCII", '{"__metadata__":{"bitwright":"\U0001f600' + "x" * size + '"}}'
    yield "one text with an escape", '{"__metadata__":{"bitwright":"\\ud83d\\ude00' + "x" * size + '"}}'
    yield "one class name with an escape", within(document, '"classes": null', '["\\ud83d\\ude00' + "x" * size + '"]')
    for name, long in (("tensors", ""), ("tensors with long names", "x" * 150)):
        entry = f'"{long}{{:x}}":{{{{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}}},'
        yield name, "{" + repeated(entry.format, size) + "}"
        yield (
            f"{name} that no node uses",
            (file_text(document)[:-1] + "," + repeated(entry.format, size - len(document)) + "}"),
        )
    yield from graphs(size)


def graphs(size: int) -> Iterator[tuple[str, str]]:
    """Values and nodes; the last of each are sound but for the end."""
    value = ',"{:x}":{{"shape":[1],"type":null,"channel":0}}'
    yield "values", within(json.dumps({**START, **END}), '"channel": 0}', repeated(value.format, size), keep=True)
    for name, attrs in (
        ("nodes", {"shape": [16]}),
        ("nodes with large attributes", {"shape": [2**60] * 8}),
    ):
        each = len(json.dumps({**LAYER, "attrs": attrs})) + len(json.dumps(FLOAT)) + 80
        names = [f"{i:x}" for i in range(size // each)]
        for suffix, output in (("", "y"), (" without values", "y")):
            values = {"image": IMAGE} | ({} if suffix else dict.fromkeys(names, FLOAT))
            nodes = [{**LAYER, "name": name, "attrs": attrs} for name in names]
            graph = {"output": output, "others": {}, "values": values, "nodes": nodes}
            yield name + suffix, file_text(json.dumps({**START, "graph": graph, **END}))


def within(document: str, place: str, text: str, keep: bool = False) -> str:
    """A file's header with `text` in one place of its document."""
    begin = document.index(place)
    return file_text(
        document[:begin] + (place if keep else place.replace("null", "")) + text + document[begin + len(place) :]
    )


def file_text(document: str) -> str:
    return json.dumps({"__metadata__": {"bitwright": document}}, ensure_ascii=False)


def sound(size: int) -> bytes | None:
    """A sound model of about so many bytes, whose class names are wrong: there are two too many; None beyond what may be."""
    from bitwright.artifact import Artifact
    from tests.kernels.random_graph import RandomGraph

    layers = size // 660
    if layers > MAX_NODES - 8:
        return None
    g = RandomGraph((3, 6, 6))
    x = g.conv2d("input", 4, 3)
    for _ in range(layers):
        x = g.conv2d(x, 4, 1)
    g.linear(g.flatten(g.global_avg_pool2d(x)), 3, to_float=True)
    data = Artifact(g.build(), Preprocess(size=6)).data
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:end])
    document = json.loads(header["__metadata__"]["bitwright"])
    document.update(classes=list("abcde"), provenance={})
    header["__metadata__"]["bitwright"] = json.dumps(document)
    return with_length(json.dumps(header).encode()) + data[end:]


def with_length(header: bytes) -> bytes:
    return len(header).to_bytes(8, "little") + header


def files(size: int) -> Iterator[tuple[str, bytes]]:
    for kind, header in headers(size):
        yield kind, with_length(header.encode())
    if (data := sound(size)) is not None:
        yield "a sound model but for its class names", data


def produced(size: int, path: Path, only: str) -> Iterator[tuple[str, int]]:
    """Writes one file after the other; yields its kind and its size. The memory for that is another process's."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()

    def produce() -> None:
        for kind, data in files(size):
            if only not in kind:
                continue
            path.write_bytes(data)
            theirs.send((kind, len(data)))
            theirs.recv()
        theirs.send(None)

    producer = context.Process(target=produce)
    producer.start()
    while (told := ours.recv()) is not None:
        yield told
        ours.send(None)
    producer.join()


def by_python(data: bytes) -> bool:
    try:
        from_bytes(data)
    except ArtifactError:
        return True
    return False


def by_c() -> Callable[[bytes], bool]:
    from tests.library.library import Library

    library = Library()

    def refused(data: bytes) -> bool:
        try:
            library.open(data)
        except ValueError:
            return True
        return False

    return refused


def resident(what: str) -> int:
    """Bytes: VmRSS, or VmHWM, the most since it was last set back."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(what))
    return 1024 * int(line.split()[1])


def cost(path: Path, refused: Callable[[bytes], bool]) -> dict[str, Any]:
    """Of reading a file, in a process of its own: whether it is refused, bytes at most and seconds."""
    reading, writing = os.pipe()
    if not (child := os.fork()):
        Path("/proc/self/clear_refs").write_text("5")
        before = resident("VmRSS")
        data = path.read_bytes()
        begin = time.process_time()
        found = {"refused": refused(data), "seconds": time.process_time() - begin}
        os.write(writing, json.dumps({**found, "bytes": resident("VmHWM") - before}).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as told:
        text = told.read()
    os.waitpid(child, 0)
    return json.loads(text) if text else {"refused": False, "seconds": 0.0, "bytes": 0}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mb", type=float, nargs="+", default=[1, 2, 3.2, 6.5, 10, 16.7, 20])
    parser.add_argument("--only", default="", help="kinds whose name has this")
    parser.add_argument("--all", action="store_true", help="a line for each file")
    given = parser.parse_args()
    readers = {"python": by_python, "c": by_c()}
    small = next(files(1000))[1]
    for refused in readers.values():
        refused(small)
    faults = 0
    with TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        for megabytes in given.mb:
            worst: dict[str, dict[str, tuple[float, str]]] = {
                name: {"share": (0, ""), "seconds": (0, "")} for name in readers
            }
            count = 0
            for kind, size in produced(int(megabytes * 1e6), path, given.only):
                count += 1
                for name, refused in readers.items():
                    found = cost(path, refused)
                    share = found["bytes"] / (4 * size + 2**24)
                    fault = not found["refused"] or share > 1 or found["seconds"] > SECONDS
                    faults += fault
                    if fault or given.all:
                        print(f"{'! ' * fault}{megabytes:g} MB, {name}, {kind}: {found}, {share:.2f}", flush=True)
                    worst[name]["share"] = max(worst[name]["share"], (share, kind))
                    worst[name]["seconds"] = max(worst[name]["seconds"], (found["seconds"], kind))
            for name, most in worst.items():
                share, seconds = most["share"], most["seconds"]
                print(
                    f"{megabytes:g} MB, {count} files, {name}: at most {share[0]:.2f} of 4 times the file and 16 MiB",
                    end="",
                )
                print(f" ({share[1]}), {seconds[0]:.2f} s ({seconds[1]})", flush=True)
    raise SystemExit(faults > 0)


if __name__ == "__main__":
    main()
