"""`Verdict`: what became of each gate, as a record that the command prints and a build reads."""

from dataclasses import dataclass
from typing import Any

from bitwright.gates.gates import Gate


@dataclass(frozen=True)
class Finding:
    """What was found at one gate.

    Attributes:
        gate: the bound.
        passed: whether it was kept.
        value: what was measured; None where nothing could be.
        interval: what holds the true value with 95 % confidence; None where the value is exact.
        reason: what was measured, and why the gate holds or fails, as a sentence.
    """

    gate: Gate
    passed: bool
    value: float | None
    interval: tuple[float, float] | None
    reason: str

    def to_json(self) -> dict[str, Any]:
        """The record as plain data."""
        return {
            "gate": self.gate.name,
            "passed": self.passed,
            "bound": True if self.gate.name == "require_signature" else self.gate.bound,
            "judged_by": "value" if self.gate.kind.is_exact else self.gate.judge,
            "value": self.value,
            "interval": None if self.interval is None else list(self.interval),
            "unit": self.gate.kind.unit,
            "reason": self.reason,
            "line": self.gate.line,
        }


@dataclass(frozen=True)
class Verdict:
    """What was found at all gates.

    Attributes:
        artifact: the path of the file that was judged.
        sha256: of its bytes.
        gates: the file that the gates come from.
        findings: one for each gate.
    """

    artifact: str
    sha256: str
    gates: str
    findings: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        """Whether every gate was kept."""
        return all(finding.passed for finding in self.findings)

    @property
    def failed(self) -> tuple[Finding, ...]:
        """The findings at gates that were not kept."""
        return tuple(finding for finding in self.findings if not finding.passed)

    def to_json(self) -> dict[str, Any]:
        """The record as plain data."""
        return {
            "artifact": self.artifact,
            "sha256": self.sha256,
            "gates": self.gates,
            "passed": self.passed,
            "findings": [finding.to_json() for finding in self.findings],
        }
