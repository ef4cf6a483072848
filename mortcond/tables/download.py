"""tables: the open data sets, fetched from PhysioNet.

Comes in: which data set, and where to. Goes out: its files, each checked against the publisher's SHA256SUMS.txt, and
archives unpacked. A download that was cut off goes on where it stopped, at once or in a later call: what is not yet
complete lies in a hidden folder beside the rest.
"""

import fnmatch
import http.client
import json
import os
import re
import shutil
import socket
import ssl
import tarfile
import time
import urllib.error
import urllib.parse
import urllib.request
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from mortcond import __version__
from mortcond.core.artifacts import atomic_file, sha256
from mortcond.core.console import Bar, Console
from mortcond.core.errors import InputError, UsageError
from mortcond.tables.open_data import Source

SUMS = "SHA256SUMS.txt"
RECORD = "fetched.json"  # what is complete, and whose it is
PARTS = ".mortcond-fetch"  # what is not
BLOCK = 1 << 18  # bytes


@dataclass(frozen=True)
class Patience:
    """How long to wait for a server, and how often to ask again."""

    timeout_seconds: float = 30.0
    tries: int = 5  # in a row without a single byte more
    first_pause_seconds: float = 1.0  # doubled after each of them
    longest_pause_seconds: float = 60.0


class _Retry(Exception):
    """A failure that may pass: the connection broke, the server was busy, the file came short."""

    def __init__(self, reason: str, wait_seconds: float | None = None):
        super().__init__(reason)
        self.wait_seconds = wait_seconds


def fetch(
    source: Source,
    folder: Path,
    *,
    base_url: str | None = None,
    overwrite: bool = False,
    console: Console,
    patience: Patience | None = None,
) -> dict[str, Any]:
    """Download a data set into `folder`, or what is still missing of it.

    Parameters
    ----------
    base_url
        Another folder that holds the same files and SHA256SUMS.txt, such as a mirror's.
    overwrite
        Whether to begin anew where the folder holds something already.

    Returns
    -------
    files: by name the sha256, and for an archive the number of files unpacked and the folders they lie in;
    downloaded: the names that this call brought; bytes: downloaded.

    Raises
    ------
    UsageError
        The URL is neither https nor on this machine; or the folder holds other things.
    InputError
        The server cannot be reached, has not the file, or sent something else than its own list of checksums says.
    """
    url = _checked_url(base_url or source.url)
    parts = _prepare(folder, overwrite)
    server = _Server(url, patience or Patience(), console)
    done = {} if overwrite else _read_record(folder)
    wanted = _wanted(source, server.checksums())
    downloaded, size = [], 0
    for number, (name, digest) in enumerate(wanted.items(), 1):
        if not _complete(folder, name, digest, done.get(name)):
            label = f"{name} ({number} of {len(wanted)})"
            part = server.download(name, digest, parts / name, label)
            size += part.stat().st_size
            done[name] = {"sha256": digest} | _put(part, folder, name, parts)
            downloaded.append(name)
            _write_record(folder, source, url, done)
    _write_record(folder, source, url, done)
    shutil.rmtree(parts, ignore_errors=True)
    return {"files": done, "downloaded": downloaded, "bytes": size}


def _checked_url(url: str) -> str:
    """Return the URL of a folder with its slash.

    Raises UsageError where it is neither https nor http to this very machine.
    """
    if not _is_safe(url):
        raise UsageError(f"{url} is no https address.", "Name one: on the way, plain http could be changed by anybody.")
    return url if url.endswith("/") else f"{url}/"


def _is_safe(url: str) -> bool:
    try:
        parsed = urllib.parse.urlsplit(url)
    except ValueError:
        return False
    local = parsed.hostname in ("localhost", "127.0.0.1", "::1")
    return bool(parsed.hostname) and (parsed.scheme == "https" or (parsed.scheme == "http" and local))


def _prepare(folder: Path, overwrite: bool) -> Path:
    """Return the folder for parts; refuse a folder that something else has put files into."""
    parts = folder / PARTS
    foreign = folder.exists() and (not folder.is_dir() or any(folder.iterdir()))
    if foreign and not overwrite and not parts.exists() and not (folder / RECORD).exists():
        raise UsageError(
            f"{folder} holds other files already.", "Name another folder with -o/--out, or pass --overwrite."
        )
    if overwrite:
        shutil.rmtree(parts, ignore_errors=True)
    return parts


def _wanted(source: Source, checksums: dict[str, str]) -> dict[str, str]:
    wanted = {name: digest for name, digest in checksums.items() if _matches(name, source.wanted)}
    if not wanted:
        patterns = ", ".join(source.wanted)
        raise InputError(
            f"{SUMS} of {source.title} lists none of {patterns}.", "Check the address given by --base-url."
        )
    return wanted


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatchcase(PurePosixPath(name).name, pattern) for pattern in patterns)


def safe_name(name: str, where: str) -> PurePosixPath:
    """Return a relative path that stays in its folder.

    Raises InputError, naming `where` it stood, for one that does not: absolute, with `..`, a drive or odd signs.
    """
    path = PurePosixPath(name)
    odd = re.search(r"[\\:\x00-\x1f]", name) or not name or path.is_absolute() or ".." in path.parts
    if odd or path.parts[:1] == (PARTS,) or not path.parts:
        raise InputError(f"{where} names {name!r}, which leaves the folder.", "Do not use this source; report it.")
    return path


class _Server:
    """A folder on a server, with its list of checksums."""

    def __init__(self, url: str, patience: Patience, console: Console):
        self.url, self.patience, self.console = url, patience, console
        self.opener = urllib.request.build_opener(_SafeRedirect())

    def checksums(self) -> dict[str, str]:
        """Return the SHA-256 of each file that the folder's list names."""
        text = self._patiently(SUMS, lambda: self._read_small(SUMS))
        found = {}
        for number, line in enumerate(text.splitlines(), 1):
            match = re.fullmatch(r"([0-9a-fA-F]{64})[ \t]+\*?(.+)", line.strip())
            if line.strip() and not match:
                raise InputError(f"{self.url}{SUMS}, line {number}, is no checksum and name.", "Check the address.")
            if match:
                name = str(safe_name(match[2], f"{self.url}{SUMS}, line {number},"))
                found[name] = match[1].lower()
        return found

    def download(self, name: str, digest: str, part: Path, label: str) -> Path:
        """Return the path of the whole file, checked; what an earlier call left of it is used."""
        part.parent.mkdir(parents=True, exist_ok=True)
        for _ in range(2):
            resumed = _size(part) > 0
            if resumed and sha256(part) == digest:
                return part
            with self.console.progress(f"Fetching {label}", unit="bytes") as bar:
                self._patiently(name, lambda: self._append(name, part, bar), lambda: _size(part))
            if sha256(part) == digest:
                return part
            part.unlink()
            if not resumed:  # else the earlier part may be of another version of the file: once more, from its start
                break
        raise InputError(
            f"{self.url}{name} is not what {SUMS} says (another SHA-256); the file was removed.",
            "Try again later, or from another mirror with --base-url.",
        )

    def _patiently(self, name: str, action: Callable[[], Any], progress: Callable[[], int] = lambda: 0) -> Any:
        """Call until it works; give up after a number of failures in a row that brought nothing."""
        failures, before = 0, progress()
        while True:
            try:
                return action()
            except _Retry as failure:
                after = progress()
                failures = 1 if after > before else failures + 1
                before = after
                if failures >= self.patience.tries:
                    raise self._unreachable(name, failure) from None
                pause = failure.wait_seconds or self.patience.first_pause_seconds * 2 ** (failures - 1)
                self.console.note(f"{name}: {failure}; trying again in {pause:.0f} s")
                time.sleep(min(pause, self.patience.longest_pause_seconds))

    def _unreachable(self, name: str, failure: _Retry) -> InputError:
        return InputError(
            f"{self.url}{name} cannot be fetched: {failure}.",
            "Check the network (and HTTPS_PROXY behind a proxy) and run the same command again: it goes on where it "
            f"stopped. Without a network, download {self.url} elsewhere and name the folder to mortcond preprocess.",
        )

    def _open(self, name: str, start: int = 0) -> http.client.HTTPResponse:
        headers = {"User-Agent": f"mortcond/{__version__}", "Accept-Encoding": "identity"}
        if start:
            headers["Range"] = f"bytes={start}-"
        request = urllib.request.Request(self.url + urllib.parse.quote(name), headers=headers)
        try:
            return self.opener.open(request, timeout=self.patience.timeout_seconds)
        except urllib.error.HTTPError as error:
            raise self._refusal(name, error) from None
        except (urllib.error.URLError, OSError, http.client.HTTPException) as error:
            raise _failure(error) from None

    def _refusal(self, name: str, error: urllib.error.HTTPError) -> Exception:
        """Return what an HTTP status means: try again, begin again, or there is no such file."""
        with error:
            if error.code in (408, 429) or error.code >= 500:
                wait = error.headers.get("Retry-After", "")
                return _Retry(f"the server answered {error.code}", float(wait) if wait.isdigit() else None)
            if error.code == 416:
                return _Restart()
        return InputError(
            f"{self.url}{name}: the server answered {error.code} {error.reason}.",
            "Check the address; the data set may have moved.",
        )

    def _read_small(self, name: str) -> str:
        with self._open(name) as response:
            content = b"".join(_blocks(response))
        return content.decode("utf-8", "replace")

    def _append(self, name: str, part: Path, bar: Bar) -> None:
        """Append what is missing of a file; where the server cannot go on in the middle, begin again."""
        start = _size(part)
        try:
            response = self._open(name, start)
        except _Restart:  # the part is as long as the file, or longer
            part.unlink(missing_ok=True)
            start, response = 0, self._open(name)
        with response:
            start = start if response.status == 206 and _range_start(response) == start else 0
            length = response.headers.get("Content-Length")
            total = start + int(length) if length and length.isdigit() else None
            with part.open("ab" if start else "wb") as file:
                for block in _blocks(response):
                    file.write(block)
                    bar.update(file.tell(), total)


class _Restart(Exception):
    """The server has nothing after the place asked for."""


class _SafeRedirect(urllib.request.HTTPRedirectHandler):
    """Follow redirections, but never from https down to http."""

    def redirect_request(self, request, file, code, message, headers, new_url):
        if not _is_safe(new_url) or (request.type == "https" and not new_url.lower().startswith("https:")):
            raise InputError(f"{request.full_url} leads to {new_url}, which is no https address.", "Check the address.")
        return super().redirect_request(request, file, code, message, headers, new_url)


def _failure(error: Exception) -> _Retry:
    reason = getattr(error, "reason", error)
    if isinstance(reason, ssl.SSLCertVerificationError):
        raise InputError(
            f"The server's certificate is not valid ({reason.verify_message}).",
            "Check the clock of this machine, and the proxy or address in use.",
        ) from None
    if isinstance(reason, socket.gaierror):
        return _Retry("the server's name is not known here (no network?)")
    return _Retry("it took too long to answer" if isinstance(reason, TimeoutError) else str(reason) or "it broke off")


def _blocks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    """Yield the body; raise _Retry where it breaks off or is shorter than announced."""
    length, received = response.headers.get("Content-Length"), 0
    while True:
        try:
            block = response.read(BLOCK)
        except (OSError, http.client.HTTPException) as error:
            raise _failure(error) from None
        if not block:
            break
        received += len(block)
        yield block
    if length and length.isdigit() and received < int(length):
        raise _Retry(f"it broke off after {received:,} of {int(length):,} bytes")


def _range_start(response: http.client.HTTPResponse) -> int:
    match = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return int(match[1]) if match else -1


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _put(part: Path, folder: Path, name: str, parts: Path) -> dict[str, Any]:
    """Move a whole file to its place, or unpack it there if it is an archive; return what the record says of it."""
    if name.endswith((".tar.gz", ".tgz")):
        return _unpack(part, folder, parts)
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    with part.open("rb") as file:
        os.fsync(file.fileno())
    os.replace(part, target)
    return {}


def _unpack(archive: Path, folder: Path, parts: Path) -> dict[str, Any]:
    """Unpack an archive of plain files and folders; nothing appears in `folder` before all of it is unpacked."""
    scratch = parts / "unpacked"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        count = sum(1 for _ in unpack(archive, scratch))
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        if isinstance(error, OSError) and error.errno:
            raise
        raise InputError(f"{archive.name} is no whole archive ({error}).", "Run the same command again.") from None
    tops = sorted(path.name for path in scratch.iterdir())
    for top in tops:
        target = folder / top
        shutil.rmtree(target) if target.is_dir() else target.unlink(missing_ok=True)
        os.replace(scratch / top, target)
    archive.unlink()
    return {"unpacked": tops, "count": count}


def unpack(archive: Path, folder: Path) -> Iterator[Path]:
    """Unpack the plain files of a `.tar.gz` into `folder`, yielding each.

    Raises InputError on a name that leaves the folder, on a link or a device, and on a name that comes twice.
    """
    with tarfile.open(archive, "r:gz") as tar:
        for member in tar:
            target = folder / safe_name(member.name, archive.name) if member.name not in (".", "./") else folder
            if member.isdir():
                target.mkdir(parents=True, exist_ok=True)
                continue
            content: IO[bytes] | None = tar.extractfile(member) if member.isreg() else None
            if content is None or target.exists():
                what = "twice" if target.exists() else "as a link or a device"
                raise InputError(f"{archive.name} holds {member.name!r} {what}.", "Do not use this source; report it.")
            target.parent.mkdir(parents=True, exist_ok=True)
            with content, target.open("xb") as file:
                shutil.copyfileobj(content, file, BLOCK)
            yield target


def _complete(folder: Path, name: str, digest: str, record: dict[str, Any] | None) -> bool:
    """Say whether an earlier call brought this file, and it is still there as it was."""
    if not record or record.get("sha256") != digest:
        return False
    if "unpacked" in record:
        files = (path for top in record["unpacked"] for path in (folder / top).rglob("*") if path.is_file())
        return sum(1 for _ in files) == record["count"]
    path = folder / name
    return path.is_file() and sha256(path) == digest


def _read_record(folder: Path) -> dict[str, Any]:
    try:
        files = json.loads((folder / RECORD).read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return files if isinstance(files, dict) else {}


def _write_record(folder: Path, source: Source, url: str, files: dict[str, Any]) -> None:
    facts = {"name": source.name, "title": source.title, "url": url, "licence": source.licence}
    facts |= {"licence_url": source.licence_url, "cite": source.citations, "files": files}
    with atomic_file(folder / RECORD) as partial:
        partial.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
