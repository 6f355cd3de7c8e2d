"""Every error that bitwright raises on purpose, in one tree.

BitwrightError
├── MissingExtraError      an optional dependency is not installed
├── ImageError             one image could not be read; carries its path
├── SourceError            a set of images could not be opened
├── LabelError             labels or class names do not fit each other, or the model
├── PreprocessError        a preprocessing description makes no sense
├── RecipeError            a recipe is malformed or matches nothing
├── GraphError             a graph is inconsistent (shapes, names, types)
│   └── OverflowBoundError a layer could overflow its int32 accumulator
├── CaptureError           a PyTorch model could not be captured; names op, module and source line
├── CalibrationError       ranges are missing or not finite
├── TrainingError          training cannot start, go on or be resumed
├── ArtifactError          a file is damaged, foreign or inconsistent
│   └── AnotherKindError   a sound file of another kind, where an artifact was expected
├── BudgetError            no model that was tried keeps the accuracy asked for
├── AuditError             an audit was asked for something that there is not
├── GateError              a file of gates is malformed
├── SignatureError         nobody who is trusted vouches for a file, or a key cannot be used
├── PluginError            what somebody else registered cannot be loaded, or is not of its kind
├── ModelError             a model or its weights could not be loaded, or it is no model
├── ServeError             the server cannot start as it was told to
└── EngineError            an engine was given input that it cannot run
    └── WeightsError       bits of an engine's weights have changed in memory

BitwrightWarning           something is not as one would expect
├── CaptureWarning         a PyTorch model was captured, but not exactly as it is
├── CalibrationWarning     the images that ranges were chosen from are alike, or show nothing
├── LabelWarning           class names were given that the model has already, in another order
└── SourceWarning          images were chosen so that classes are left out, or that judge what they were fitted on

Each message says what was expected, what was found, where, and what to do.
"""

from collections.abc import Iterable


class BitwrightError(Exception):
    """Base of every error that bitwright raises on purpose."""


class MissingExtraError(BitwrightError, ImportError):
    """An optional dependency is not installed."""

    def __init__(self, module: str, extra: str) -> None:
        super().__init__(
            f"this needs the module {module!r}, which is not installed; "
            f"install it with: pip install 'bitwright[{extra}]'"
        )


class ImageError(BitwrightError):
    """One image could not be read."""


class SourceError(BitwrightError):
    """A set of images could not be opened."""


class LabelError(BitwrightError, ValueError):
    """Labels or class names do not fit each other, or the model."""


class PreprocessError(BitwrightError, ValueError):
    """A preprocessing description makes no sense."""


class RecipeError(BitwrightError, ValueError):
    """A recipe is malformed, or a pattern in it matches no layer."""


class GraphError(BitwrightError):
    """A graph is inconsistent."""


class OverflowBoundError(GraphError):
    """A layer's worst case does not fit its int32 accumulator."""


class CaptureError(BitwrightError):
    """A PyTorch model could not be captured."""


class CalibrationError(BitwrightError):
    """Ranges are missing or not finite."""


class TrainingError(BitwrightError, ValueError):
    """Training cannot start, go on or be resumed."""


class ArtifactError(BitwrightError):
    """An artifact file is damaged, foreign or inconsistent."""


class AnotherKindError(ArtifactError):
    """A file is a sound one of another kind, such as a float model's weights, where an artifact was expected."""


class BudgetError(BitwrightError):
    """No model that was tried keeps the accuracy asked for."""


class AuditError(BitwrightError, ValueError):
    """An audit was asked for a part, a figure or an effort that there is not."""


class GateError(BitwrightError, ValueError):
    """A file of gates is missing or malformed."""


class SignatureError(BitwrightError):
    """Nobody who is trusted vouches for a file, or a key cannot be used."""


class PluginError(BitwrightError):
    """What another distribution registers cannot be loaded, is not of its kind, or has a name that is taken."""


class ModelError(BitwrightError):
    """A model or its weights could not be loaded, or what was passed is no float model."""


class ServeError(BitwrightError):
    """The server cannot start as it was told to."""


class EngineError(BitwrightError):
    """An engine was given input that it cannot run."""


class WeightsError(EngineError):
    """Bits of an engine's packed weights have changed in memory since it was made (`check_weights`)."""


class BitwrightWarning(UserWarning):
    """Base of every warning that bitwright gives."""


class CaptureWarning(BitwrightWarning):
    """A PyTorch model was captured, but not exactly as it is."""


class CalibrationWarning(BitwrightWarning):
    """The images that ranges were chosen from are a single one, nearly equal, or show nothing."""


class LabelWarning(BitwrightWarning):
    """Class names were given that do nothing."""


class SourceWarning(BitwrightWarning):
    """Images can be taken as asked for, but are probably not what was meant."""


def did_you_mean(found: object, known: Iterable[str]) -> str:
    """`; did you mean 'int4'?` where a known name is close to what was found, else nothing: for the end of a message."""
    import difflib  # here and not above: what runs well needs no errors

    near = difflib.get_close_matches(str(found).lower(), list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
