"""The topology file, `ductwork.yaml`: what a person may write, and turning it into a checked topology.

Names, addresses and ports are checked one by one, and every complaint begins with the place in the file.
Whether the topology fits the host is the engine's business.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from ductwork.errors import InvalidArgument, NotFound
from ductwork.frontends.topology_checks import check_topology
from ductwork.frontends.topology_entries import TopologyEntry
from ductwork.frontends.topology_places import explain_invalid
from ductwork.frontends.yaml_text import load_yaml
from ductwork.model.names import parse_name
from ductwork.model.topology import Topology

FILE_NAMES = ("ductwork.yaml", "ductwork.yml")
MAX_BYTES = 16 << 20
SCHEMA_ID = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, Any]:
    """Describe the file for editors."""
    schema = msgspec.json.schema(TopologyEntry)
    return {"$schema": SCHEMA_ID, "title": "ductwork.yaml", **schema}


def find_topology_file(path: str = "") -> Path:
    """Find the file: the one named, or the usual name in the folder named, or here.

    Raises:
        NotFound: there is none.
    """
    here = Path(path or ".")
    candidates = [here / name for name in FILE_NAMES] if here.is_dir() else [here]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    if path and not here.is_dir():
        raise NotFound(f"there is no file {path}", hint="see docs/topology.md for what to write in one")
    raise NotFound(
        f"there is no {FILE_NAMES[0]} in {here.absolute()}", hint="name the file, or change to its folder"
    )


def read_topology(path: Path) -> Topology:
    """Read and check a topology file.

    Raises:
        InvalidArgument: with the place in the file and what to write instead.
        NotFound: the file is not there.
    """
    return parse_topology(_text(path), path.name, path.absolute().parent.name)


def parse_topology(text: str, file: str = "ductwork.yaml", folder: str = "") -> Topology:
    """Check the text of a topology file; `folder` names the topology when the text does not."""
    entry = _convert(load_yaml(text, file), file)
    return check_topology(entry, file, _name(entry.name, file, folder))


def read_name(path: Path) -> str:
    """Return only a topology's name, of a file that may otherwise be wrong."""
    data = load_yaml(_text(path), path.name)
    name = data.get("name", "") if isinstance(data, dict) else ""
    return _name(str(name or ""), path.name, path.absolute().parent.name)


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InvalidArgument(
                f"{path} is larger than {MAX_BYTES >> 20} MiB", hint="split it into several"
            )
        return path.read_text()
    except FileNotFoundError:
        raise NotFound(f"there is no file {path}", hint="see docs/topology.md") from None
    except UnicodeDecodeError:
        raise InvalidArgument(f"{path} is not text in UTF-8", hint="save it as UTF-8") from None
    except OSError as error:
        raise InvalidArgument(f"cannot read {path}: {error.strerror}") from error


def _name(written: str, file: str, folder: str) -> str:
    try:
        return parse_name(written or folder, "topology")
    except InvalidArgument as error:
        origin = "" if written else " (it is the folder's)"
        raise InvalidArgument(
            f"{file}: name: {error.message}{origin}",
            hint=error.hint if written else "write `name: …` in the file",
        ) from None


def _convert(data: object, file: str) -> TopologyEntry:
    if not isinstance(data, dict):
        raise InvalidArgument(
            f"{file}: it has no keys at its top", hint="begin with `version: 1` and `networks:`"
        )
    try:
        return msgspec.convert(data, TopologyEntry)
    except msgspec.ValidationError as error:
        raise explain_invalid(error, data, TopologyEntry, file) from None
