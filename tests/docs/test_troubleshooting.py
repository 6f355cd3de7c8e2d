"""The pages for those who search by a message: what they quote is what bitwright prints, and what it reads."""

import re

from tests.conftest import REPOSITORY

SOURCES = [
    *(REPOSITORY / "src").rglob("*.py"),
    *(REPOSITORY / "scripts").glob("*.py"),
    *(REPOSITORY / "csrc").rglob("*.cc"),
]


def everything(*, scripts: bool = True) -> str:
    """The sources as one text, in which strings that are split over lines are joined."""
    paths = [path for path in SOURCES if scripts or path.parent.name != "scripts"]
    text = "\n".join(path.read_text("utf-8") for path in paths)
    text = re.sub(r'"\s*\n\s*f?"', "", text)
    return text.replace('\\"', '"')


def messages() -> list[str]:
    page = (REPOSITORY / "docs" / "troubleshooting.md").read_text("utf-8")
    return [
        message for bold in re.findall(r"\*\*(`.*?)\*\*", page, re.DOTALL) for message in re.findall("`([^`]*)`", bold)
    ]


def test_every_message_on_the_page_is_one_of_ours():
    sources = everything()
    found = [message for message in messages() if not message.startswith(("--", "preprocess: RGB"))]
    assert len(found) > 20
    for message in found:
        parts = [part.strip() for part in re.split(r"\.\.\.|mean and std", message)]
        missing = [part for part in parts if part not in sources and part.split(" (")[0] not in sources]
        assert not missing, missing


def test_every_variable_that_is_read_is_on_its_page():
    page = (REPOSITORY / "docs" / "environment.md").read_text("utf-8")
    read = set(re.findall(r'(?:environ\.get\(|environ\[|getenv\()"([A-Z_]+)"', everything(scripts=False)))
    read |= set(re.findall(r'^VARIABLE = "([A-Z_]+)"', everything(scripts=False), re.MULTILINE))
    read |= {
        "BITWRIGHT_DATA",
        *re.findall(r"^(?:export )?([A-Z_]+) \?=", (REPOSITORY / "Makefile").read_text(), re.MULTILINE),
    }
    assert {"BITWRIGHT_ISA", "BITWRIGHT_CACHE", "XDG_CACHE_HOME", "OMP_WAIT_POLICY", "PYTHON"} <= read
    for name in read:
        assert f"`{name}`" in page, name
