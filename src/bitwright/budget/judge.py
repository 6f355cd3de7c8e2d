"""`Judge`: makes the integer model of a recipe, and measures what it loses on held-out images. It remembers both."""

from dataclasses import asdict, dataclass, field
from typing import Any

from bitwright.artifact import Artifact, from_bytes
from bitwright.budget.cache import Cache
from bitwright.budget.drop import Drop
from bitwright.budget.held_out import HeldOut
from bitwright.errors import ArtifactError, BudgetError
from bitwright.images.preprocess import Preprocess
from bitwright.images.sources import ImageSource
from bitwright.models.float_models import FloatModelLike
from bitwright.prediction import class_count
from bitwright.progress import SILENT, Progress, Wordless
from bitwright.quantization import MEMORY_BYTES, quantize
from bitwright.recipe import Recipe


@dataclass(frozen=True)
class Verified:
    """What the integer model of a recipe lost, and its bytes: of the file before class names and other records are in it."""

    recipe: Recipe
    drop: Drop
    bytes: int

    def __str__(self) -> str:
        return f"{self.bytes:,} bytes without records, drop {self.drop}"


@dataclass(frozen=True, eq=False)
class Judge:
    """Fits a float model to `images`, as `quantize` does, and verifies it on `held_out`. `key` tells both from others."""

    model: FloatModelLike
    key: dict[str, Any]
    preprocess: Preprocess
    images: ImageSource
    held_out: HeldOut
    seed: int
    cache: Cache
    memory: int = MEMORY_BYTES
    threads: int | None = None
    progress: Progress = SILENT
    _made: dict[Recipe, Artifact] = field(default_factory=dict)

    def verify(self, recipe: Recipe) -> Verified:
        """Measure the drop of a recipe, unless the cache knows it."""
        key = self._key(recipe)
        record = self.cache.get(**key)
        if record is None:
            artifact = self._artifact(recipe)
            record = {"drop": asdict(self.held_out.drop(artifact, self.threads)), "bytes": len(artifact.data)}
            self.cache.put(record, **key)
        return Verified(recipe, Drop(**record["drop"]), record["bytes"])

    def artifact(self, recipe: Recipe) -> Artifact:
        """The integer model of a recipe: the one that was verified."""
        artifact = self._artifact(recipe)
        self.cache.put_bytes(artifact.data, ".bw.safetensors", **self._key(recipe))
        return artifact

    def _artifact(self, recipe: Recipe) -> Artifact:
        if recipe not in self._made:
            self._made[recipe] = self._remembered(recipe) or quantize(
                self.model,
                self.images,
                preprocess=self.preprocess,
                recipe=recipe,
                seed=self.seed,
                memory=self.memory,
                progress=Wordless(self.progress),
            )
        return self._made[recipe]

    def _remembered(self, recipe: Recipe) -> Artifact | None:
        data = self.cache.get_bytes(".bw.safetensors", **self._key(recipe))
        try:
            return None if data is None else from_bytes(data)
        except ArtifactError:
            return None

    def _key(self, recipe: Recipe) -> dict[str, Any]:
        labels = self.images.labels  # of every class its share is drawn, where they are known
        return {
            **self.key,
            "labels": None if labels is None else labels.tolist(),
            "held out": self.held_out.digest,
            "recipe": recipe.to_json(),
            "seed": self.seed,
        }


def warn_where_unsure(max_drop: float, verified: Verified, progress: Progress, which: str = "a drop") -> None:
    """Say so where there are too few held-out images to tell this model's drop from one of `max_drop`."""
    drop = verified.drop
    if max_drop > 0 and drop.uncertainty > max_drop:
        progress.say(
            f"warning: {drop.images:,} held-out images tell {which} to +-{drop.uncertainty:.2f} points only; "
            f"about {drop.images_for(max_drop):,} would tell it to +-{max_drop:g}"
        )


def expect_labels_to_judge_by(held_out: HeldOut, outputs: int, force: bool, progress: Progress) -> None:
    """Say what drops are measured by. BudgetError where the float model is at chance level by the labels, unless `force`."""
    if held_out.labels is None:
        progress.say(
            f"{held_out.source.where}: no labels, so drops are measured by agreement with the float model's classes"
        )
    remark = held_out.at_chance(class_count(outputs))
    if remark is None:
        return
    if not force:
        raise BudgetError(
            f"{remark} No loss of accuracy can be judged by that; name the classes, or give the preprocessing that the model "
            "was trained with, or leave labels out (--labels none), or insist with --force (force=True). Nothing was written"
        )
    progress.say(f"warning: {remark}")
