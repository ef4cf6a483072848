"""The workspace: which artifact a command means when it is named none.

Comes in: the workspace directory and what would fit. Goes out: the path of the newest fitting artifact.
"""

from collections.abc import Callable
from pathlib import Path

from mortcond.core.artifacts import MANIFEST
from mortcond.core.errors import InputError
from mortcond.core.leftovers import exists, tidy
from mortcond.core.manifest import TRUSTED, Manifest, opened, read_manifest
from mortcond.core.session import Session

DATASET = "dataset.npz"


def model_directories(workspace: Path) -> list[Path]:
    """Return the model directories of a workspace, newest first (by their manifest's time of writing)."""
    tidy(workspace)
    found = [path.parent for path in workspace.glob(f"*/{MANIFEST}") if not path.parent.name.startswith(".")]
    return sorted(found, key=lambda path: ((path / MANIFEST).stat().st_mtime_ns, path.name), reverse=True)


def tflite_files(workspace: Path) -> list[Path]:
    """Return the `.tflite` files at the top of a workspace, oldest first."""
    found = (path for path in workspace.glob("*.tflite") if not path.name.startswith("."))
    return sorted(found, key=lambda path: (path.stat().st_mtime_ns, path.name))


def choose_model(
    session: Session, model: Path | None, fits: Callable[[Manifest], bool], what: str
) -> tuple[Path, Manifest]:
    """Return the model directory to work on and its manifest: the one named, else the newest that fits.

    Parameters
    ----------
    model
        A model directory, or its name in the workspace, or None.
    fits
        Whether a manifest is of the kind that the command can work on.
    what
        That kind in words, for the message, such as "a trained lstm, hlstm or dnn".

    Raises
    ------
    InputError
        The named model does not fit, there is none that does, or it was changed after it was written.
    """
    if model is not None:
        path = model if exists(model) else session.workspace / model
        if not exists(path):
            raise InputError(
                f"There is no model {model}, and none of that name in {session.workspace}.", f"Name {what}."
            )
        manifest = read_manifest(path)
        if not fits(manifest):
            raise InputError(f"{path} is {describe(manifest)}; {session.command} needs {what}.", "Name such a model.")
        return path, _opened(session, path)
    for path in model_directories(session.workspace):
        manifest = read_manifest(path)
        if fits(manifest):
            session.console.note(f"Using {path} ({describe(manifest)}), the newest that fits.")
            return path, _opened(session, path)
    raise InputError(
        f"{session.workspace} holds no model that fits: {session.command} needs {what}.", "Train one first."
    )


def _opened(session: Session, path: Path) -> Manifest:
    manifest = opened(path, session.trust_changed)
    if TRUSTED in manifest.extra:
        session.console.warn(f"{path} was changed after it was written; it is used, and what is made of it says so.")
    return manifest


def describe(manifest: Manifest) -> str:
    """Return a few words on what an artifact is: "a model of arch lstm with 8,081 parameters"."""
    size = f" with {manifest.parameters:,} parameters" if manifest.parameters else ""
    arch = f" of arch {manifest.arch}" if manifest.arch else ""
    return f"a {manifest.kind}{arch}{size}"


def dataset_path(session: Session, dataset: Path | None) -> Path:
    """Return the data set to use: the one named, else the workspace's.

    Raises InputError where it does not exist.
    """
    path = dataset or session.workspace / DATASET
    if not path.is_file():
        raise InputError(f"There is no data set {path}.", "Run mortcond preprocess first, or name one with --dataset.")
    return path
