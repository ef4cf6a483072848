"""The fetch command: an open data set from PhysioNet, checked and unpacked.

Comes in: its name. Goes out: a folder that `preprocess` reads, with a record of what was fetched, from where, under
which licence, and whom to cite.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mortcond.core.errors import UsageError
from mortcond.core.locks import claim
from mortcond.core.session import Session
from mortcond.tables.download import Patience
from mortcond.tables.download import fetch as download
from mortcond.tables.open_data import SOURCES, terms


def fetch(
    session: Session,
    name: str,
    *,
    base_url: str | None = None,
    out: Path | None = None,
    patience: Patience | None = None,
) -> dict[str, Any]:
    """Download the open data set `name` (physionet2012, mimic3-demo or mimic4-demo).

    Parameters
    ----------
    base_url
        A mirror's folder with the same files; None: PhysioNet.
    out
        The folder to write; None: the data set's name in the workspace.

    Returns
    -------
    path, name, title, files, downloaded, bytes, licence, licence_url and citations.
    """
    source = SOURCES.get(name)
    if source is None:
        raise UsageError(f"There is no data set {name!r} to fetch.", f"Name one of {', '.join(SOURCES)}.")
    folder = out or session.workspace / name
    claim(folder)
    session.console.note(terms(source))
    options = {"base_url": base_url, "overwrite": session.overwrite, "console": session.console}
    brought = download(source, folder, patience=patience, **options)
    facts = {"licence": source.licence, "licence_url": source.licence_url, "citations": list(source.citations)}
    return {"path": str(folder), "name": name, "title": source.title} | brought | facts


def render(result: dict[str, Any]) -> Iterator[str]:
    """Say what is there now, and what to do with it."""
    files, brought = result["files"], result["downloaded"]
    count = sum(record.get("count", 1) for record in files.values())
    yield f"{result['path']}: {result['title']}, {count:,} files."
    fresh = f"{len(brought)} downloaded ({result['bytes'] / 1e6:,.1f} MB)" if brought else "none had to be downloaded"
    yield f"All {len(files)} published files agree with their SHA-256; {fresh}."
    yield f"Next: mortcond preprocess {result['path']}"
