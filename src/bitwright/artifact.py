"""The artifact: an integer model in one safetensors file. Nothing in it can run code.

Tensors hold packed codes and float32 multipliers, named `node/tensor`; the metadata's one key, `bitwright`, holds JSON with
the graph, the preprocessing, the class names and the provenance. A file is checked completely before it is used: every
index, shape, range, scale and overflow bound. The same contents give the same bytes.
"""

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from bitwright.artifact_file.reading import collector_paused, parsed, stored
from bitwright.artifact_file.storable import expect_storable
from bitwright.artifact_file.writing import written
from bitwright.class_files import class_names
from bitwright.classes import ClassNames, named_anew, some
from bitwright.errors import ArtifactError, GraphError, PreprocessError, SignatureError
from bitwright.files import read_bytes, write_atomically
from bitwright.foreign import unreadable
from bitwright.graph import Graph
from bitwright.graph_check import check_classifier, check_graph
from bitwright.images.preprocess import Preprocess
from bitwright.notebook import html_table
from bitwright.prediction import class_count

if TYPE_CHECKING:
    from bitwright.signatures import Trust


@dataclass(frozen=True)
class Artifact:
    """An integer model: what an engine runs, and how it was made. It is checked when it is made.

    Attributes:
        graph: the integer graph.
        preprocess: how a picture becomes the uint8 [H, W, C] that the graph reads.
        classes: the names of the classes, in the order of the logits; None where they have no names.
        provenance: how it was made, as plain data: recipe, versions, calibration.

    Raises:
        ArtifactError: the parts do not fit each other, or no file could hold the names or the provenance.
        GraphError: the graph is inconsistent, or is not a classifier's.
        OverflowBoundError: a sum of products could overflow int32.
    """

    graph: Graph
    preprocess: Preprocess
    classes: tuple[str, ...] | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_graph(self.graph)
        check_classifier(self.graph, self.preprocess)
        expect_storable(nodes=self.graph.nodes, classes=self.classes, provenance=self.provenance)
        if self.classes is not None and len(self.classes) not in (self.outputs, class_count(self.outputs)):
            raise ArtifactError(f"the model has {self.outputs} outputs, but {len(self.classes)} class names were given")

    @property
    def outputs(self) -> int:
        """How many logits an image has; one stands for two classes (`bitwright.prediction`)."""
        return self.graph.values[self.graph.output].shape[0]

    @cached_property
    def class_names(self) -> tuple[str, ...]:
        """What each class is called: its name, or its number where the artifact has no names."""
        if self.classes is None:
            return tuple(map(str, range(class_count(self.outputs))))
        return self.classes if len(self.classes) > 1 or self.outputs > 1 else (f"not {self.classes[0]}", *self.classes)

    @property
    def known_classes(self) -> ClassNames | None:
        """The names to match labels with; None where the artifact has none."""
        return None if self.classes is None else ClassNames(self.class_names)

    def with_classes(self, classes: ClassNames | str | os.PathLike[str] | Iterable[str] | None) -> "Artifact":
        """The same model with these class names, in its order: a sequence, or the path of a file (`bitwright.class_files`).

        Names among which are all that the artifact has already, in another order, are matched by name: nothing is exchanged
        by mistake, and a LabelWarning says where that changes nothing. None takes names away.
        Raises LabelError where there is not one name for each class.
        """
        if classes is None:
            return replace(self, classes=None)
        named = named_anew(self.known_classes, class_names(classes), class_count(self.outputs))
        return replace(self, classes=named.names)

    @cached_property
    def data(self) -> bytes:
        """The file's bytes: those that it was read from, or, where it was made or changed in memory, those of `save`."""
        return self._written

    @cached_property
    def _written(self) -> bytes:
        return written(self.graph, self.preprocess, self.classes, self.provenance)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the file, as hexadecimal."""
        import hashlib  # here and not above: engines only read

        return hashlib.sha256(self.data).hexdigest()

    def __repr__(self) -> str:
        """A line: not its tensors, which are hundreds."""
        recipe = self.provenance.get("recipe")
        recipe = recipe.get("name") if isinstance(recipe, Mapping) else recipe
        classes = f"{class_count(self.outputs):,} classes"
        try:
            size = f"{len(self.data):,} bytes"
        except ArtifactError as error:
            size = f"no file: {error}"
        return f"Artifact({len(self.graph.nodes)} layers, {recipe or 'no recipe'}, {classes}, {size})"

    def _repr_html_(self) -> str:
        """What a notebook shows: what it takes and gives, its schemes, and which file it is."""
        weights = Counter(str(node.attrs["weights"]) for node in self.graph.nodes if "weights" in node.attrs)
        recipe = self.provenance.get("recipe")
        return html_table(
            "bitwright artifact",
            [
                ("image", "x".join(map(str, self.preprocess.shape))),
                (
                    "classes",
                    some(self.class_names) if self.classes else f"{class_count(self.outputs):,}, without names",
                ),
                ("layers", len(self.graph.nodes)),
                ("weights", ", ".join(f"{n} {scheme}" for scheme, n in sorted(weights.items())) or None),
                ("recipe", recipe.get("name") if isinstance(recipe, Mapping) else recipe),
                ("bytes", f"{len(self.data):,}"),
                ("sha256", self.digest),
            ],
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the file, in the newest format: whole or not at all, on the disk when this returns (`write_atomically`)."""
        place = _path(path)
        try:
            data = self._written
        except ArtifactError as error:
            raise ArtifactError(f"cannot write {place}: {error}") from error
        write_atomically(place, data)


Trusted: TypeAlias = "Trust | str | os.PathLike[str] | Iterable[str | os.PathLike[str]]"
"""Keys whose signatures are believed: a `Trust`, or the path of a file of public keys, or several."""


def load(path: str | os.PathLike[str], *, trust: "Trusted | None" = None) -> Artifact:
    """Read an artifact and check all of it. Nothing in a file can run code.

    Args:
        path: of the file.
        trust: one of these keys must have signed the file; its signature is PATH.sig (docs/security.md). The bytes that were
            verified are those that are parsed.

    Raises:
        ArtifactError: the file is missing, damaged, foreign or inconsistent.
        SignatureError: none of the trusted keys has signed it.
    """
    data = read(path)
    if trust is not None:
        _trust(trust).verify_file(data, path)
    return from_bytes(data, str(_path(path)))


def opened(artifact: Artifact | str | os.PathLike[str], trust: "Trusted | None") -> Artifact:
    """An artifact, or the one in a file. SignatureError where a signature is asked for of one that comes from no file."""
    if not isinstance(artifact, Artifact):
        return load(artifact, trust=trust)
    if trust is not None:
        raise SignatureError("only a file has a signature; expected a path with trust=, found an artifact in memory")
    return artifact


def _trust(trust: Trusted) -> "Trust":
    from bitwright.signatures import Trust  # only here: most files are read without

    if isinstance(trust, Trust):
        return trust
    files = [trust] if isinstance(trust, str | bytes | os.PathLike) or not isinstance(trust, Iterable) else [*trust]
    if wrong := [file for file in files if not isinstance(file, str | os.PathLike)]:
        raise SignatureError(
            f"trust: expected a file of public keys, several, or a Trust, found {wrong[0]!r:.100}; None takes any file"
        )
    return Trust.load(*files)


def read(path: str | os.PathLike[str]) -> bytes:
    """The bytes of an artifact's file, unchecked. ArtifactError where there is none, with what to do about that."""
    file = _path(path)
    try:
        return read_bytes(file)
    except OSError as error:
        raise ArtifactError(f"cannot read {file}: {error.strerror or error}{unreadable(error, str(file))}") from error


def _path(path: str | os.PathLike[str]) -> Path:
    """ArtifactError for what can name no file: another type, or text with a NUL or a lone surrogate in it."""
    try:
        if b"\0" not in os.fsencode(path):
            return Path(os.fsdecode(path))
    except (TypeError, ValueError):
        pass
    raise ArtifactError(f"expected the path of an artifact file, found {path!r:.200}")


def from_bytes(data: bytes, where: str = "artifact") -> Artifact:
    """Check and parse the bytes of an artifact; `where` names them in errors."""
    with collector_paused():
        text, entries = stored(data, where)
        try:
            artifact = Artifact(*parsed(text, entries, data))
        except (GraphError, PreprocessError, ArtifactError, ValueError, RecursionError) as error:
            raise ArtifactError(f"{where}: {error}") from error
    vars(artifact)["data"] = bytes(data)  # what is said of a file's size and digest is that file's own
    return artifact
