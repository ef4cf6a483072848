"""What an exported file says of itself. Comes in: the metadata of a `.tflite` file. Goes out: `About`, plain texts."""

from dataclasses import dataclass
from typing import Any

from mortcond import __version__
from mortcond.core.manifest import Manifest
from mortcond.deploy.metadata import described


@dataclass(frozen=True)
class About:
    """What the files say of themselves."""

    title: str
    intended_use: str
    limits: str
    lineage: str  # a line an ancestor
    model_sha256: str
    prevalence: float | None
    threshold: float | None


def about(record: dict[str, Any], manifest: Manifest, hours: int) -> About:
    """Return what an exported file says, from a model's metadata and manifest."""
    record = described(record)
    ancestors = [*manifest.lineage, manifest.as_ancestor()]
    lines = [_line(ancestor) for ancestor in ancestors]
    return About(
        title=f"Risk of death in hospital from the first {hours} hours of intensive care ({manifest.name})",
        intended_use=str(record["intended_use"]),
        limits=str(record["limits"]),
        lineage="\n".join([*lines, f"mortcond {__version__} export"]),
        model_sha256=manifest.sha256 or "",
        prevalence=record.get("prevalence"),
        threshold=record.get("threshold"),
    )


def _line(ancestor: dict[str, Any]) -> str:
    """Return an ancestor in a line: command, name, size, the beginning of its hash."""
    size = f", {ancestor['parameters']:,} parameters" if ancestor.get("parameters") else ""
    digest = f" (SHA-256 {str(ancestor['sha256'])[:16]}...)" if ancestor.get("sha256") else ""
    return f"{ancestor.get('command')}: {ancestor.get('name')}{size}, seed {ancestor.get('seed')}{digest}"
