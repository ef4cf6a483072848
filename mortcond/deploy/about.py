"""What an exported file says of itself. Comes in: the metadata of a `.tflite` file. Goes out: `About`, plain texts."""

from dataclasses import dataclass


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
