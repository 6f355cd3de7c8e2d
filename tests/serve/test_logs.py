"""The log of the command: lines of JSON, whoever writes them."""

import json
import subprocess
import sys

CODE = """
import logging, warnings
from bitwright.serve import logs

logs.configure("info")
logs.log("ours", path="/x")
logging.getLogger("python_multipart.multipart").warning("Expected boundary character %r", 45)
logging.getLogger("uvicorn.error").info("not of this level")
warnings.warn("as of Python")
try:
    1 / 0
except ZeroDivisionError:
    logging.getLogger("asyncio").critical("a fault", exc_info=True)
"""


def test_every_line_is_json_also_of_libraries_and_of_warnings():
    command = [sys.executable, "-W", "default", "-c", CODE]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [(line["level"], line.get("logger")) for line in lines] == [
        ("info", None),
        ("warning", "python_multipart.multipart"),
        ("warning", "py.warnings"),
        ("error", "asyncio"),
    ]
    assert lines[1]["event"] == "Expected boundary character 45"
    assert "as of Python" in lines[2]["event"]
    assert "ZeroDivisionError" in lines[3]["traceback"]
