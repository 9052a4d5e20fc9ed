"""Builds the wheel of the module, with the standard library only.

A virtual environment of Python 3.10 or 3.11 brings a setuptools that cannot make wheels by itself, one of Python 3.12
brings none. pip asks this file instead (PEP 517); there is nothing to compile and nothing to download.
"""

import base64
import hashlib
import re
import tarfile
import zipfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PACKAGE = "matrix_register_bot_synapse"


def field(name: str) -> str:
    """A string in the [project] table of pyproject.toml. Python 3.10 cannot read TOML, but these lines are simple."""
    found = re.search(rf'^{name} = "(.*)"$', (HERE / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    if found is None:
        raise ValueError(f"pyproject.toml has no line {name} = \"...\"")
    return found.group(1)


def metadata() -> str:
    """The metadata that pip records about the package."""
    lines = {
        "Metadata-Version": "2.1",
        "Name": field("name"),
        "Version": field("version"),
        "Summary": field("description"),
        "License": field("license"),
        "Requires-Python": field("requires-python"),
    }
    return "".join(f"{key}: {value}\n" for key, value in lines.items())


def record_line(path: str, content: bytes) -> str:
    """A line of RECORD: path, hash, size."""
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode("ascii")
    return f"{path},sha256={digest},{len(content)}\n"


def build_wheel(wheel_directory: str, config_settings: Any = None, metadata_directory: Any = None) -> str:
    """PEP 517: puts the wheel into the directory and returns its name."""
    stem = f"{PACKAGE}-{field('version')}"
    info = f"{stem}.dist-info"
    files = {f"{PACKAGE}/{path.name}": path.read_bytes() for path in sorted((HERE / PACKAGE).iterdir()) if path.is_file()}
    files[f"{info}/METADATA"] = metadata().encode()
    files[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: build_backend\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    record = "".join(record_line(path, content) for path, content in files.items())
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    name = f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(Path(wheel_directory) / name, "w", zipfile.ZIP_DEFLATED) as wheel:
        for path, content in files.items():
            wheel.writestr(path, content)
    return name


def build_sdist(sdist_directory: str, config_settings: Any = None) -> str:
    """PEP 517: packs the sources of this folder."""
    stem = f"{PACKAGE}-{field('version')}"
    name = f"{stem}.tar.gz"
    with tarfile.open(Path(sdist_directory) / name, "w:gz") as archive:
        for part in ("pyproject.toml", "build_backend.py", "README.md", PACKAGE):
            archive.add(HERE / part, f"{stem}/{part}", filter=lambda entry: None if "__pycache__" in entry.name else entry)
    return name
