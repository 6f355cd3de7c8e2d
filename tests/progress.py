"""Somebody to tell how far a work is, who remembers all of it."""


class Heard:
    """`steps` has (what, done, total) of every call, `details` what came with them, `said` the sentences."""

    def __init__(self) -> None:
        self.steps: list[tuple[str, float, float]] = []
        self.details: list[object] = []
        self.said: list[str] = []

    def at(self, what: str, done: float, total: float, details: object = None) -> None:
        self.steps.append((what, done, total))
        self.details.append(details)

    def say(self, text: str) -> None:
        self.said.append(text)
