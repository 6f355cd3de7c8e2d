"""`Translated`: a module that was made of a file in another format, op by op, by a table that others can add to."""

from torch import nn

from bitwright.capture.given import FileTypes
from bitwright.registry import Foreign


class Translated(nn.Module):
    """`foreign` has what of the table is not ours, and had a part in it; `file` what a quantized file says of its scales."""

    def __init__(self) -> None:
        super().__init__()
        self.foreign: list[Foreign] = []
        self.file: FileTypes | None = None


def foreign_in(model: object) -> list[Foreign]:
    """What had a part in a module, or in a module inside it; nothing is known of an exported program."""
    if not isinstance(model, nn.Module):
        return []
    return [origin for module in model.modules() if isinstance(module, Translated) for origin in module.foreign]


def file_types_in(model: object) -> FileTypes | None:
    """What a quantized file says that the module was made of; None where there is none."""
    return model.file if isinstance(model, Translated) else None
