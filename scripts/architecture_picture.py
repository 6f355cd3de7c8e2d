"""Draws docs/architecture.svg: `python -m scripts.architecture_picture`. Boxes stand on a grid; each names its file."""

from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parent.parent / "docs" / "architecture.svg"
WIDTH, HEIGHT = 1180, 560
BOX_WIDTH, BOX_HEIGHT = 168, 58
COLUMN, ROW, LEFT, TOP = 192, 122, 18, 52
TORCH, PLAIN, CPP, DATA = "#fdebd8", "#e3eefb", "#e2f3e4", "#ffffff"


@dataclass(frozen=True)
class Box:
    """One box: its column and row on the grid, its name, the file that makes it, and its colour."""

    column: int
    row: int
    name: str
    file: str
    colour: str

    @property
    def x(self) -> int:
        return LEFT + COLUMN * self.column

    @property
    def y(self) -> int:
        return TOP + ROW * self.row


BOXES = {
    "float": Box(0, 0, "float model", "models/, or yours", DATA),
    "graph": Box(1, 0, "capture", "capture/capture.py", TORCH),
    "fused": Box(2, 0, "fuse", "capture/fuse.py", TORCH),
    "prepared": Box(3, 0, "prepared model", "prepared/model.py", TORCH),
    "calibrated": Box(4, 0, "calibrate, correct", "calibration.py", TORCH),
    "trained": Box(5, 0, "train", "training/trainer.py", TORCH),
    "artifact": Box(3, 1, "artifact", "artifact.py", PLAIN),
    "reference": Box(4, 1, "NumPy reference", "engine/reference.py", PLAIN),
    "plan": Box(3, 2, "lower to steps", "csrc/planning/lower.cc", CPP),
    "packed": Box(4, 2, "pack weights", "csrc/kernels/*/packing.cc", CPP),
    "image": Box(0, 3, "image file", "images/sources/", DATA),
    "pixels": Box(1, 3, "decode, preprocess", "images/decode.py", PLAIN),
    "encoded": Box(2, 3, "encode (if bits)", "csrc/ops/encode.cc", CPP),
    "steps": Box(3, 3, "run the steps", "csrc/runtime/plan.cc", CPP),
    "logits": Box(4, 3, "logits", "engine/engine.py", PLAIN),
    "prediction": Box(5, 3, "prediction", "classifier.py", PLAIN),
}
ACROSS = [
    ("float", "graph"),
    ("graph", "fused"),
    ("fused", "prepared"),
    ("prepared", "calibrated"),
    ("artifact", "reference"),
    ("plan", "packed"),
    ("image", "pixels"),
    ("pixels", "encoded"),
    ("encoded", "steps"),
    ("steps", "logits"),
    ("logits", "prediction"),
]
DOWN = [("prepared", "artifact", "convert"), ("artifact", "plan", "check"), ("plan", "steps", "Plan")]


def arrow(x1: int, y1: int, x2: int, y2: int) -> str:
    return f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="#444" stroke-width="1.5" marker-end="url(#tip)"/>'


def text(x: int, y: int, words: str, style: str) -> str:
    return f'<text x="{x}" y="{y}" {style}>{words}</text>'


def drawn(box: Box) -> list[str]:
    middle = box.x + BOX_WIDTH // 2
    return [
        f'<rect x="{box.x}" y="{box.y}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="6" fill="{box.colour}" stroke="#555"/>',
        text(middle, box.y + 25, box.name, 'text-anchor="middle" font-size="15"'),
        text(middle, box.y + 45, box.file, 'text-anchor="middle" font-size="11.5" fill="#555"'),
    ]


def arrows() -> list[str]:
    found = []
    for first, second in ACROSS:
        a, b = BOXES[first], BOXES[second]
        found.append(arrow(a.x + BOX_WIDTH, a.y + BOX_HEIGHT // 2, b.x - 2, b.y + BOX_HEIGHT // 2))
    for first, second, words in DOWN:
        a, b = BOXES[first], BOXES[second]
        middle = a.x + BOX_WIDTH // 2
        found.append(arrow(middle, a.y + BOX_HEIGHT, middle, b.y - 2))
        found.append(text(middle + 8, a.y + BOX_HEIGHT + 22, words, 'font-size="12" fill="#555"'))
    tuned, trained = BOXES["calibrated"], BOXES["trained"]
    both = 'stroke="#444" stroke-width="1.5" marker-start="url(#tip)" marker-end="url(#tip)"'
    level = tuned.y + BOX_HEIGHT // 2
    found.append(f'<line x1="{tuned.x + BOX_WIDTH + 2}" y1="{level}" x2="{trained.x - 2}" y2="{level}" {both}/>')
    return found


def picture() -> str:
    """The picture as SVG."""
    border = TOP + BOX_HEIGHT + 42
    notes = [
        text(LEFT, 30, "The life of a model, and of an image", 'font-size="18" font-weight="bold"'),
        f'<line x1="{LEFT}" y1="{border}" x2="{WIDTH - LEFT}" y2="{border}" stroke="#b33" stroke-dasharray="6 5"/>',
        text(LEFT, border - 8, "needs PyTorch", 'font-size="12" fill="#b33"'),
        text(LEFT, border + 18, "nothing below this line imports torch", 'font-size="12" fill="#b33"'),
        text(BOXES["reference"].x + BOX_WIDTH + 14, TOP + ROW + 25, "prepared model, reference", 'font-size="13"'),
        text(BOXES["reference"].x + BOX_WIDTH + 14, TOP + ROW + 44, "and engine: equal to the bit", 'font-size="13"'),
    ]
    y = HEIGHT - 44
    for i, (colour, words) in enumerate(
        [(TORCH, "Python with PyTorch"), (PLAIN, "Python with NumPy alone"), (CPP, "C++"), (DATA, "what a user has")]
    ):
        x = LEFT + 220 * i
        notes.append(f'<rect x="{x}" y="{y}" width="16" height="16" fill="{colour}" stroke="#555"/>')
        notes.append(text(x + 24, y + 13, words, 'font-size="12"'))
    tip = '<marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto-start-reverse">'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif">',
            f'<defs>{tip}<path d="M0 0 L8 4 L0 8 z" fill="#444"/></marker></defs>',
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
            *arrows(),
            *(line for box in BOXES.values() for line in drawn(box)),
            *notes,
            "</svg>\n",
        ]
    )


if __name__ == "__main__":
    PAGE.write_text(picture(), "utf-8")
