"""A small model of what more machines do, from costs that `bench.scale` measured with one process, checked against two.

    inference    T(n) = start + max(ceil(parts / n) * images of a part * t, parts * d)
                 t a worker's seconds for an image, d the driver's for a part
    calibration  T(n) = images * t / n + exchange(n) + corrections
    training     T(n) = steps * (batch * t / n + exchange(n))

A sum over n ranks goes round a ring: 2 (n - 1) messages, and each rank sends its bytes twice. What is gathered is sent by one
rank after the other: n messages, and the bytes of all.
"""

import math
from collections.abc import Iterable
from typing import Any

WIRE = 1.25e9
"""Bytes a second between machines, 10 Gbit/s; assumed."""
LATENCY = 5e-5
"""Seconds for a message between machines; assumed."""
PROCESSES = 16
"""Workers of a machine; assumed, and that its memory feeds them all."""
NODES = (1, 10, 1_000)
TIMES, WEIGHTS = 100, 102e6
"""ResNet-50 at 224 x 224 multiplies 100 times as much as ResNet-20 at 32 x 32, which was measured; the bytes of its weights."""
IMAGENET_21K = 14_197_122
GATHERS, PER_IMAGE = 7, 40
"""How often calibration gathers something, and the bytes of an image's place and SHA-256 in it."""

Line = dict[str, Any]


def ring(size: float, n: int) -> float:
    """Seconds of a sum of so many bytes over n ranks."""
    return 2 * (n - 1) * LATENCY + 2 * size * (n - 1) / n / WIRE


def exchanged(line: Line, images: int, n: int) -> float:
    """Seconds of what calibration exchanges, by the bytes that each of two ranks gave."""
    if n == 1:
        return 0.0
    size = line["bytes"]
    gathered = 2 * size["gather"] + PER_IMAGE * (images - line["count"])
    return ring(size["sum"], n) + GATHERS * n * LATENCY + (gathered + math.log2(n) * size["first"]) / WIRE


def last(lines: Iterable[Line], what: str, images: str, processes: int) -> Line | None:
    """The newest line of a measurement."""
    found = [x for x in lines if (x["what"], x["set"], x["processes"]) == (what, images, processes)]
    return found[-1] if found else None


def table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    lines = [list(head)]
    lines += [["---"] * len(lines[0]), *([str(cell) for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def duration(seconds: float) -> str:
    """12.3 s, 4.5 min, 6.7 h, 8.9 days"""
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def inference(images: float, t: float, n: int, start: float, part: int, d: float) -> float:
    """Seconds for images on n workers."""
    parts = math.ceil(images / part)
    return start + max(math.ceil(parts / n) * part * t, parts * d)


def calibration(one: Line, images: int, n: int, times: float = 1) -> float:
    """Seconds from the first image, by what one rank took for a network with `times` less work; the exchange is left out."""
    return times * (images * one["images"] / one["count"] / n + one["behind"])


def training(one: Line, images: float, n: int, batch: int) -> float:
    """Seconds of an epoch of ResNet-50 with a batch over n ranks."""
    return images / batch * (TIMES * batch / one["rate"] / n + ring(WEIGHTS, n))


def measured(lines: list[Line]) -> str:
    rows = []
    for name in ("cifar", "jpeg"):
        alone, one, two = last(lines, "alone", name, 1), last(lines, "ray", name, 1), last(lines, "ray", name, 2)
        if alone and one and two:
            shares = [f"{two['rate'] / line['rate']:.2f}" for line in (one, alone)]
            rates = [f"{line['rate']:,.0f}" for line in (alone, one, two)]
            starts = [f"{two['cluster']:.1f} s", f"{two['first']:.1f} s"]
            rows.append([name, f"{two['count']:,}", *rates, *shares, *starts])
    head = ("images", "count", "alone, images/s", "Ray, 1 worker", "Ray, 2 workers", "to 1 worker", "to alone")
    return table((*head, "cluster starts in", "first answers after"), rows)


def checked(lines: list[Line]) -> str:
    """Two processes as the model has them, from the costs of one, and as they were."""
    rows = []
    for name in ("cifar", "jpeg"):
        one, two = last(lines, "ray", name, 1), last(lines, "ray", name, 2)
        if one and two:
            rows.append((f"Ray, {name}, images/s", 2 * one["rate"], two["rate"]))
    one, two = last(lines, "calibrate", "cifar", 1), last(lines, "calibrate", "cifar", 2)
    if one and two:
        rows.append(("calibration, seconds", calibration(one, one["count"], 2), two["images"] + two["behind"]))
    one, two = last(lines, "train", "cifar", 1), last(lines, "train", "cifar", 2)
    if one and two:
        rows.append(("training, images/s", 2 * one["rate"], two["rate"]))
    shown = [(name, f"{said:,.1f}", f"{was:,.1f}", f"{100 * (was / said - 1):+.0f} %") for name, said, was in rows]
    return table(("two processes", "model", "measured", "apart"), shown)


def forecast(lines: list[Line]) -> str:
    rows = []
    jpeg, one, trained = (
        last(lines, "ray", "jpeg", 1),
        last(lines, "calibrate", "cifar", 1),
        last(lines, "train", "cifar", 1),
    )
    driver = min((line["driver"] for line in lines if "driver" in line), default=0.0)  # of the most parts
    if jpeg:
        for part in (50_000, 1_000):
            start = jpeg["cluster"] + jpeg["first"]
            times = [inference(1e9, 1 / jpeg["rate"], n * PROCESSES, start, part, driver) for n in NODES]
            rows.append((f"a billion JPEGs, --part {part}", *map(duration, times), share(times)))
    two = last(lines, "calibrate", "cifar", 2)
    if one and two:
        for images in (512, IMAGENET_21K):
            most = [min(n * PROCESSES, max(1, images // 8)) for n in NODES]  # a batch has 8 images of 224 x 224
            times = [calibration(one, images, n, TIMES) + exchanged(two, images, n) for n in most]
            rows.append((f"calibration of ResNet-50, {images:,} images", *map(duration, times), share(times)))
    if trained:
        for batch in (2_048, 65_536):
            times = [training(trained, IMAGENET_21K, min(n * PROCESSES, batch), batch) for n in NODES]
            rows.append(
                (f"an epoch of ResNet-50 on ImageNet-21k, batch {batch:,}", *map(duration, times), share(times))
            )
    head = ("work", *(f"{n:,} node{'s' * (n > 1)}" for n in NODES), "gain of the most over one")
    return table(head, rows)


def share(times: list[float]) -> str:
    return f"{times[0] / times[-1]:.0f}x"


def tables(lines: list[Line]) -> str:
    """Everything, as Markdown."""
    return "\n\n".join((measured(lines), checked(lines), forecast(lines)))
