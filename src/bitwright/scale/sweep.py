"""`sweep`: the same training with other numbers, in trials that Ray Tune fans out; the best on held-out images is kept.

Each trial leaves its checkpoint, its artifact and, last of all, a record, under a name that says its numbers. What has a record
is done; all else goes on from its checkpoint, whoever was killed, and a sweep of more numbers takes over what is there.
"""

import io
import itertools
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch

from bitwright.budget.cache import graph_digest
from bitwright.errors import BitwrightError, EngineError, SourceError, TrainingError
from bitwright.evaluation import evaluate
from bitwright.files import write_atomically
from bitwright.images.preprocess import Preprocess
from bitwright.images.sources import ImageSource
from bitwright.images.sources.overlap import warn_of_shared
from bitwright.labels import By
from bitwright.models.float_models import FloatModel, FloatModelLike, float_model
from bitwright.progress import SILENT, Progress
from bitwright.recipe import Recipe
from bitwright.scale.cluster import HERE, cluster, processors
from bitwright.scale.parts import digest
from bitwright.scale.trials import Numbers, Sweep, Trial
from bitwright.training import Options, checkpoint, train

JOB = "sweep.json"
TUNE = "tune"
STARTS = 4
"""So often a trial is started whose worker dies; what a trial raises itself is no reason to start it again."""


def sweep(
    model: FloatModelLike,
    source: ImageSource,
    held_out: ImageSource,
    folder: str | os.PathLike[str],
    numbers: Mapping[str, Sequence[Any]],
    *,
    preprocess: Preprocess,
    recipe: str | Sequence[str] = "w4a4",
    options: Options | None = None,
    address: str | None = HERE,
    threads: int = 1,
    labels: By = "name",
    progress: Progress = SILENT,
    **how: Any,
) -> Sweep:
    """Train with every combination of some numbers, each in a trial of its own; the artifacts are in the folder.

    Args:
        model: the float model.
        source: labelled images to train on.
        held_out: labelled images that rank the trials. The best one's accuracy on them is too good by the choice: measure
            it on others.
        folder: where trials are kept, seen by all workers; what is there of the same training is not done again.
        numbers: fields of `Options`, each with its values.
        preprocess, recipe, labels: as in `bitwright.train`; recipes by name or path.
        options: what is the same in all trials.
        address: of a Ray cluster; HERE: one is started on this machine; None: one trial after another in this process.
        threads: of PyTorch, of each trial. Float sums depend on their number: with the same one, the integers are the same
            wherever a trial runs.
        progress: hears of each trial that is done.
        **how: the other arguments of `bitwright.train`, but `resume` and `ranks`.

    Raises:
        SourceError: the folder holds the trials of another training.
        EngineError: there is no cluster, or a worker failed.
        MissingExtraError: Ray is not installed.
        TrainingError: a value is none, or the held-out images have no labels. What a trial raises is its `error`.
    """
    model, options, folder = float_model(model), options or Options(), Path(folder).absolute()
    if not numbers or not all(numbers.values()):
        raise TrainingError(f"expected numbers to try, each with its values; found {dict(numbers)!r:.100}")
    each = (dict.fromkeys(values) for values in numbers.values())
    trials = [Trial(dict(zip(numbers, values, strict=True))) for values in itertools.product(*each)]
    for trial in trials:
        replace(options, **trial.numbers)  # a TrainingError comes before any work
    if held_out.labels is None:
        raise TrainingError(f"{held_out.where}: expected labelled images to choose a trial by")
    warn_of_shared(source, held_out, "trained on")
    recipes = [recipe] if isinstance(recipe, str) else list(recipe)
    how = {**how, "preprocess": preprocess, "recipe": recipes, "labels": labels}
    trainer = _Trainer(model, source, held_out, folder, options, threads, how)
    trainer.expect_same(numbers)
    missing = [trial for trial in trials if not trainer.record(trial).exists()]
    done = itertools.count(1 + len(trials) - len(missing))
    errors: dict[str, str] = {}

    def tell(trial: Trial, error: str | None) -> None:
        if error is not None:
            errors[trial.name] = error
            progress.say(f"warning: {trial.name}: {error}")
        progress.at("trials", next(done), len(trials))

    if address is None:
        for trial in missing:
            tell(trial, trainer(trial))
    elif missing:
        with cluster(address) as ray:
            _fan_out(ray, trainer, missing, tell)
        shutil.rmtree(folder / TUNE, ignore_errors=True)
    found = (replace(t, error=errors[t.name]) if t.name in errors else trainer.done(t) for t in trials)
    return Sweep(held_out.where, tuple(found))


@dataclass(frozen=True)
class _Trainer:
    """Does a trial."""

    model: FloatModel
    source: ImageSource
    held_out: ImageSource
    folder: Path
    options: Options
    threads: int
    how: Mapping[str, Any]

    def __call__(self, trial: Trial) -> str | None:
        """Train and measure, unless another worker that has died since had done it; what went wrong, if anything did."""
        record, path = self.record(trial), str(self.folder / trial.name)
        if record.exists():
            return None
        options = replace(self.options, **trial.numbers)
        try:
            with _threads(self.threads):
                artifact = train(self.model, self.source, options=options, resume=f"{path}.ckpt", **self.how)
            measured = evaluate(artifact, self.held_out, labels=self.how["labels"])
            artifact.save(Path(f"{path}.bw.safetensors"))
        except BitwrightError as error:
            return str(error)
        minutes = artifact.provenance["training"]["minutes"]
        found = replace(
            trial, top1=measured.top1, images=measured.images, minutes=minutes, artifact=f"{path}.bw.safetensors"
        )
        write_atomically(record, json.dumps(found.to_json(), indent=2).encode())
        return None

    def record(self, trial: Trial) -> Path:
        """The file that says that a trial is done."""
        return self.folder / f"{trial.name}.json"

    def done(self, trial: Trial) -> Trial:
        """What a trial left. TrainingError where it is no record of ours."""
        path = self.record(trial)
        try:
            artifact = str(self.folder / f"{trial.name}.bw.safetensors")  # the folder may have been moved
            return Trial(**{**json.loads(path.read_text()), "numbers": trial.numbers, "artifact": artifact})
        except (OSError, TypeError, ValueError) as error:
            raise TrainingError(f"{path}: it is damaged; remove it and start again") from error

    def expect_same(self, numbers: Numbers) -> None:
        """Write what the trials of a folder share; SourceError where they share something else."""
        height, width, channels = replace(self.how["preprocess"], encoder=None).shape
        models = {"model": self.model, "teacher": self.how.get("teacher")}
        same: dict[str, Any] = {
            name: model if model is None else graph_digest(float_model(model).capture((channels, height, width)).graph)
            for name, model in models.items()
        }
        same |= {"data": digest(self.source), "held_out": digest(self.held_out), "threads": self.threads}
        same |= {"recipe": [Recipe.parse(spec).to_toml() for spec in self.how["recipe"]]}
        same |= {name: str(self.how.get(name)) for name in ("preprocess", "training", "labels", "classes")}
        same |= {"start": _digest_of(self.how.get("start"))}
        same |= {"options": {name: value for name, value in asdict(self.options).items() if name not in numbers}}
        same |= {"numbers": sorted(numbers)}
        same = json.loads(json.dumps(same))
        path = self.folder / JOB
        if not path.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            write_atomically(path, json.dumps(same, indent=2).encode())
            return
        try:
            known = dict(json.loads(path.read_text()))
        except (OSError, TypeError, ValueError) as error:
            raise SourceError(f"{path}: it is damaged; remove it, or choose another folder") from error
        if known != same:
            other = ", ".join(sorted(key for key in {*same, *known} if known.get(key) != same.get(key)))
            raise SourceError(
                f"{self.folder}: it holds the trials of another training ({other} differ); choose another folder"
            )


def _digest_of(start: str | os.PathLike[str] | None) -> str | None:
    """Of the bytes of a checkpoint, wherever it is; TrainingError where it is none."""
    if start is None:
        return None
    checkpoint.read_record(Path(start))
    return sha256(Path(start).read_bytes()).hexdigest()


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _work(config: dict[str, Any], trainer: _Trainer, trials: Sequence[Trial]) -> None:
    """What Ray Tune calls, in a process for each trial."""
    from ray import tune

    tune.report({"error": trainer(trials[config["trial"]])})


def _fan_out(ray: Any, trainer: _Trainer, missing: Sequence[Trial], tell: Callable[[Trial, str | None], None]) -> None:
    """As many processors for each trial as it has threads, and a GPU where there are some."""
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
    os.environ.setdefault("RAY_CHDIR_TO_TRIAL_DIR", "0")
    from ray import tune

    if (count := processors(ray)) < trainer.threads:
        raise EngineError(f"expected {trainer.threads} processors for a trial's threads; Ray has {count}")

    class Tells(tune.Callback):
        def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
            tell(missing[trial.config["trial"]], trial.last_result["error"])

    needs = {"cpu": float(trainer.threads), "gpu": min(1.0, ray.cluster_resources().get("GPU", 0.0))}
    work = tune.with_resources(tune.with_parameters(_work, trainer=trainer, trials=tuple(missing)), needs)
    run = tune.RunConfig(
        name=TUNE,
        storage_path=str(trainer.folder),
        failure_config=tune.FailureConfig(max_failures=STARTS - 1),
        callbacks=[Tells()],
        verbose=0,
    )
    space = {"trial": tune.grid_search(list(range(len(missing))))}
    with redirect_stdout(io.StringIO()):  # it prints, however silent it is told to be
        found = tune.Tuner(work, param_space=space, run_config=run).fit()
    if found.errors:
        raise EngineError(f"a worker of Ray failed: {found.errors[0]}")
