"""What models write in several ops and is one: attention as products and a softmax, norms as means and roots.

An idiom is seen at its last op, from which it is followed back through the program. Its other ops need not be mapped.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from bitwright.capture.aten.arguments import args
from bitwright.capture.aten.displaced import within
from bitwright.capture.aten.scores import Scores, product, scores_below, softmax_below
from bitwright.capture.draft import Constant
from bitwright.capture.program import Fx, Program
from bitwright.capture.tail import op_name

Found = Callable[[], Any] | None
"""What maps an idiom that was found."""
MOST_EPS = 1e-3
"""Above it, how a length is kept from 0 changes numbers: a norm with an eps is another function then."""
COPIES = ("clone", "contiguous", "_to_copy", "to", "alias", "detach", "expand", "dropout", "type_as")


def recognised(p: Program, fx: Fx) -> Found:
    """What maps the idiom that ends in an fx node; None where none does."""
    for end in IDIOMS.get(op_name(fx), ()):
        found = end(p, fx)
        if found is not None:
            return found
    return None


def attention(p: Program, fx: Fx) -> Found:
    """softmax(scores) value, or value^T softmax(scores)^T."""
    found = product(fx)
    if found is None:
        return None
    plain = found.first, found.first_turned, found.second, found.second_turned
    turned = found.second, not found.second_turned, found.first, not found.first_turned
    for is_turned, (weights, weights_turned, value, value_turned) in enumerate((plain, turned)):
        below = softmax_below(weights, weights_turned)
        scores = None if below is None else scores_below(p, below)
        if scores is not None and not isinstance(p.env.get(value), Constant):
            return partial(_attend, p, fx, scores, value, value_turned, bool(is_turned))
    return None


def _attend(p: Program, fx: Fx, scores: Scores, value: Fx, value_turned: bool, result_turned: bool) -> Any:
    def mapping(p: Program, fx: Fx) -> str:
        b = p.builder
        names = [tokens(p, read) for read in (scores.query, scores.key, value)]
        for i, turned in enumerate((scores.query_turned, scores.key_turned, value_turned)):
            rank = len(b.values[names[i]].shape)
            names[i] = b.transpose(names[i], rank - 2, rank - 1) if turned else names[i]
        query, key, values = names
        if scores.gain is not None:
            query = b.mul(query, Constant(scores.gain_for(b.values[query].shape[:-2])))
        found = b.attention(query, key, values, scores.scale, scores.bias)
        rank = len(b.values[found].shape)
        return b.transpose(found, rank - 2, rank - 1) if result_turned else found

    return within(p, fx, mapping, [scores.query, scores.key, value])


def tokens(p: Program, fx: Fx) -> str:
    """A value, or a constant that is repeated for each image."""
    found = p.operand(fx)
    return found if isinstance(found, str) else p.builder.constant_value(found, p.shape(fx), len(p.shape(fx)) - 1)


def _through(fx: Any, *more: str) -> Any:
    """What an fx node is a copy of."""
    while isinstance(fx, Fx) and op_name(fx) in (*COPIES, *more):
        fx = fx.args[0]
    return fx


def _number(p: Program, arg: Any) -> float | None:
    if isinstance(arg, int | float):
        return float(arg)
    found = p.env.get(arg)
    return float(found.array.reshape(-1)[0]) if isinstance(found, Constant) and found.array.size == 1 else None


def l2_normalized(p: Program, fx: Fx) -> Found:
    """x / max(|x|, eps), as F.normalize writes it, over one axis."""
    x, below = args(fx)[:2]
    eps, node = 0.0, _through(below)
    if isinstance(node, Fx) and op_name(node) in ("clamp_min", "clamp", "add"):
        given = _number(p, node.args[1])
        if given is None or not 0 <= given <= MOST_EPS or len(node.args) > 2 or node.kwargs:
            return None
        eps, node = given, _through(node.args[0])
    if (
        not isinstance(node, Fx)
        or op_name(node) not in ("linalg_vector_norm", "norm")
        or _through(node.args[0]) is not _through(x)
    ):
        return None
    dims: Any = node.args[2] if len(node.args) > 2 else None
    if node.args[1] != 2 or not isinstance(dims, list | tuple) or len(dims) != 1:
        return None
    return lambda: within(
        p,
        fx,
        lambda p, fx: p.builder.l2_normalize(p.operand(x), p.axis(x, dims[0]), eps),
        [x],
    )


def normalized(p: Program, fx: Fx) -> Found:
    """(x - mean) / sqrt(var + eps) and x / sqrt(mean of squares + eps), or times the inverse root, over one axis."""
    for centred, spread in ((fx.args[0], fx.args[1]), (fx.args[1], fx.args[0])):
        inverse = op_name(fx) == "mul"
        found = _root(p, spread, inverse=inverse)
        if found is not None:
            total, eps = found
            made = _rms(p, fx, centred, total, eps) or _layer(p, fx, centred, total, eps)
            if made is not None:
                return made
        if not inverse:
            break
    return None


def _root(p: Program, fx: Any, *, inverse: bool) -> tuple[Fx, float] | None:
    """Of sqrt(total + eps), or its inverse: the total, and eps."""
    node = _through(fx)
    if not isinstance(node, Fx):
        return None
    name = op_name(node)
    is_root = (
        (name == "rsqrt" or (name == "pow" and node.args[1] == -0.5))
        if inverse
        else (name == "sqrt" or (name == "pow" and node.args[1] == 0.5))
    )
    if not is_root:
        return None
    total = _through(node.args[0])
    if not isinstance(total, Fx) or op_name(total) != "add":
        return None
    eps = _number(p, total.args[1])
    first = _through(total.args[0])
    return None if eps is None or not isinstance(first, Fx) else (first, eps)


def _mean_over(fx: Any) -> tuple[Fx, Any] | None:
    """Of a mean that keeps its axis: what it is of, and the axis."""
    node = _through(fx)
    if not isinstance(node, Fx) or op_name(node) != "mean" or str(node.target) != "aten.mean.dim":
        return None
    x, dims, keep, _ = args(node, False, None)
    return (x, dims[0]) if keep and len(dims) == 1 else None


def _square(fx: Any) -> Any:
    """What an fx node is the square of."""
    node = _through(fx)
    if not isinstance(node, Fx):
        return None
    name = op_name(node)
    if name == "square" or (name == "pow" and node.args[1] == 2):
        return node.args[0]
    return node.args[0] if name == "mul" and node.args[0] is node.args[1] else None


def _rms(p: Program, fx: Fx, x: Any, total: Fx, eps: float) -> Found:
    over = _mean_over(total)
    of = None if over is None else _square(over[0])
    if over is None or of is None or _through(of) is not _through(x) or op_name(_through(x)) == "sub":
        return None
    return lambda: within(p, fx, lambda p, fx: p.builder.rms_norm(p.operand(x), p.axis(x, over[1]), None, eps), [x])


def _layer(p: Program, fx: Fx, centred: Any, total: Fx, eps: float) -> Found:
    node = _through(centred)
    if not isinstance(node, Fx) or op_name(node) != "sub":
        return None
    x, mean = args(node)[0], _mean_over(node.args[1])
    if mean is None or _through(mean[0]) is not _through(x):
        return None
    over = _mean_over(total)
    of = _through(None if over is None or over[1] != mean[1] else _square(over[0]))
    same = of is node or (isinstance(of, Fx) and op_name(of) == "sub" and list(of.args) == list(node.args))
    if not same and not _is_variance(total, x, mean[1]):
        return None
    return lambda: within(
        p,
        fx,
        lambda p, fx: p.builder.layer_norm_along(p.operand(x), p.axis(x, mean[1]), None, None, eps),
        [x],
    )


def _is_variance(total: Fx, x: Any, dim: Any) -> bool:
    """Whether an fx node is the variance of x along an axis, of as many numbers as there are."""
    if str(total.target) != "aten.var.correction":
        return False
    given, dims, correction, keep = args(total, None, None, False)
    return _through(given) is _through(x) and list(dims) == [dim] and correction == 0 and bool(keep)


IDIOMS: dict[str, tuple[Callable[[Program, Fx], Found], ...]] = {
    "matmul": (attention,),
    "bmm": (attention,),
    "einsum": (attention,),
    "div": (l2_normalized, normalized),
    "mul": (normalized,),
}
"""By the last op of an idiom: what may find it."""
