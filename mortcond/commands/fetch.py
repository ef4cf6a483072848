"""The fetch command: an open data set from PhysioNet, checked and unpacked.

Comes in: its name. Goes out: a folder that `preprocess` reads, with a record of what was fetched, from where, under
which licence, and whom to cite.
"""

from collections.abc import Iterator
from typing import Any

from mortcond.core.calls import takes
from mortcond.core.locks import claim
from mortcond.core.session import Session
from mortcond.options.fetch import Fetch
from mortcond.tables.download import fetch as download
from mortcond.tables.open_data import SOURCES, terms


@takes(Fetch)
def fetch(session: Session, options: Fetch) -> dict[str, Any]:
    """Download an open data set.

    Returns
    -------
    path, name, title, files, downloaded, bytes, licence, licence_url and citations.
    """
    source = SOURCES[options.name]
    folder = options.out or session.workspace / source.name
    claim(folder)
    session.console.note(terms(source))
    how = {"base_url": options.base_url, "overwrite": session.overwrite, "console": session.console}
    brought = download(source, folder, **how)
    facts = {"licence": source.licence, "licence_url": source.licence_url, "citations": list(source.citations)}
    return {"path": str(folder), "name": source.name, "title": source.title} | brought | facts


def render(result: dict[str, Any]) -> Iterator[str]:
    """Say what is there now, and what to do with it."""
    files, brought = result["files"], result["downloaded"]
    count = sum(record.get("count", 1) for record in files.values())
    yield f"{result['path']}: {result['title']}, {count:,} files."
    fresh = f"{len(brought)} downloaded ({result['bytes'] / 1e6:,.1f} MB)" if brought else "none had to be downloaded"
    yield f"All {len(files)} published files agree with their SHA-256; {fresh}."
    yield f"Next: mortcond preprocess {result['path']}"
