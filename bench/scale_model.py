"""A small model of what more machines do, from costs that `bench.scale` measured with one process, checked against two.

    inference    T(n) = start + max(images * t / n, parts * d)     t a worker's seconds for an image, d the driver's for a part
    calibration  T(n) = start + images * t / n + exchange(n) + corrections
    training     T(n) = steps * (batch * t / n + exchange(n))

A sum over n ranks goes round a ring: 2 (n - 1) messages, and each rank sends its bytes twice. What is gathered is every rank's,
one after the other, so that it grows with n.
"""

from collections.abc import Iterable
from typing import Any

WIRE = 1.25e9
"""Bytes a second between machines, 10 Gbit/s; assumed."""
LATENCY = 5e-5
"""Seconds for a message between machines; assumed."""
PROCESSES = 16
"""Workers of a machine; assumed, and that its memory feeds them all."""
NODES = (1, 10, 1_000)

Line = dict[str, Any]


def ring(size: float, n: int) -> float:
    """Seconds of a sum of so many bytes over n ranks."""
    return 2 * (n - 1) * LATENCY + 2 * size * (n - 1) / n / WIRE


def gathered(size: float, n: int) -> float:
    """Seconds until all of n ranks have the bytes of each."""
    return n * (LATENCY + size / WIRE) if n > 1 else 0.0


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
    return start + max(images * t / n, images / part * d)


def calibration(line: Line, images: float, n: int, wire: bool = True) -> float:
    """Seconds from the first image, by what one rank took."""
    corrections, t = line["behind"], line["images"] / line["count"]
    return images * t / n + (gathered(line["bytes"], n) if wire else 0.0) + corrections


def training(line: Line, images: float, n: int, batch: int) -> float:
    """Seconds of an epoch with a batch over n ranks."""
    return images / batch * (batch / line["rate"] / n + ring(line["bytes"], n))


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
        rows.append(
            ("calibration, seconds", calibration(one, one["count"], 2, wire=False), two["images"] + two["behind"])
        )
    one, two = last(lines, "train", "cifar", 1), last(lines, "train", "cifar", 2)
    if one and two:
        rows.append(("training, images/s", 2 * one["rate"], two["rate"]))
    shown = [(name, f"{said:,.1f}", f"{was:,.1f}", f"{100 * (was / said - 1):+.0f} %") for name, said, was in rows]
    return table(("two processes", "model", "measured", "apart"), shown)


def forecast(lines: list[Line]) -> str:
    rows = []
    jpeg, calibrated, trained = (last(lines, what, name, 1) for what, name in FORECAST)
    if jpeg:
        start, t, d = jpeg["cluster"] + jpeg["first"], 1 / jpeg["rate"], DRIVER
        times = [inference(1e9, t, n * PROCESSES, start, 50_000, d) for n in NODES]
        rows.append(("a billion JPEGs, --part 50000", *map(duration, times), share(times)))
        times = [inference(1e9, t, n * PROCESSES, start, 1_000, d) for n in NODES]
        rows.append(("the same, --part 1000", *map(duration, times), share(times)))
    if calibrated:
        for images in (512, 14_197_122):
            times = [calibration(calibrated, images, n * PROCESSES) for n in NODES]
            rows.append((f"calibration, {images:,} images", *map(duration, times), share(times)))
    if trained:
        for batch in (2_048, 65_536):
            times = [training(trained, 14_197_122, min(n * PROCESSES, batch), batch) for n in NODES]
            rows.append((f"an epoch of ImageNet-21k, batch {batch:,}", *map(duration, times), share(times)))
    head = ("work", *(f"{n:,} node{'s' * (n > 1)}" for n in NODES), "gain of the most over one")
    return table(head, rows)


DRIVER = 0.01
"""Seconds of the driver for a part: Ray Data's bookkeeping, and its row of names; assumed, an upper bound of what was seen."""
FORECAST = (("ray", "jpeg"), ("calibrate", "cifar"), ("train", "cifar"))


def share(times: list[float]) -> str:
    return f"{times[0] / times[-1]:.0f}x"


def tables(lines: list[Line]) -> str:
    """Everything, as Markdown."""
    return "\n\n".join((measured(lines), checked(lines), forecast(lines)))
