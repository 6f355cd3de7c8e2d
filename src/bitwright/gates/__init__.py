"""Gates: what a model must keep to be let through, and whether it does. `docs/gates.md` shows the file and the command."""

from bitwright.gates.gates import Gate, Gates
from bitwright.gates.judge import judge
from bitwright.gates.outcomes import Outcomes, outcomes_of
from bitwright.gates.verdict import Finding, Verdict

__all__ = ["Finding", "Gate", "Gates", "Outcomes", "Verdict", "judge", "outcomes_of"]
