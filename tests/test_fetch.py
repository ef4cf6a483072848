"""fetch: what the download does when the server is slow, breaks off, lies or has not the file; all on 127.0.0.1."""

import gzip
import hashlib
import io
import json
import socket
import tarfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mortcond.cli import app
from mortcond.commands.fetch import fetch
from mortcond.core.console import Console
from mortcond.core.errors import InputError, UsageError
from mortcond.core.session import Session
from mortcond.tables.download import PARTS, RECORD, Patience, safe_name
from mortcond.tables.open_data import SOURCES

TABLE = b"subject_id,value\n" + b"".join(b"%d,%d\n" % (n, n * n) for n in range(60_000))  # 0.8 MB
QUICK = Patience(timeout_seconds=1.0, tries=3, first_pause_seconds=0.01)


@dataclass
class Mirror:
    """A server's files, how it misbehaves, and what it was asked for."""

    files: dict[str, bytes]
    url: str = ""
    sums: str | None = None  # None: the right ones
    cut_after: list[int] = field(default_factory=list)  # bytes of the body for each of the next requests of a file
    answers: list[int] = field(default_factory=list)  # statuses instead, for each of the next requests of a file
    ranges: bool = True
    pause_seconds: float = 0.0  # between blocks
    redirect: str = ""
    asked: list[tuple[str, str | None]] = field(default_factory=list)

    def checksums(self) -> bytes:
        right = "".join(f"{hashlib.sha256(body).hexdigest()}  {name}\n" for name, body in self.files.items())
        return (right if self.sums is None else self.sums).encode()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments) -> None:
        pass

    def do_GET(self) -> None:
        mirror, name = self.server.mirror, self.path.removeprefix("/data/")
        mirror.asked.append((name, self.headers.get("Range")))
        listed = name == "SHA256SUMS.txt"
        body = mirror.checksums() if listed else mirror.files.get(name)
        status = 200 if body is not None else 404
        if not listed and mirror.answers:
            status = mirror.answers.pop(0)
        if mirror.redirect and not listed and not mirror.redirect.endswith(self.path):
            return self._answer(302, b"", {"Location": mirror.redirect})
        if status != 200:
            return self._answer(status, b"no", {"Retry-After": "0"})
        start = int(self.headers["Range"].removeprefix("bytes=").rstrip("-")) if "Range" in self.headers else 0
        if not mirror.ranges or not start:
            return self._answer(200, body, {})
        if start >= len(body):
            return self._answer(416, b"", {})
        self._answer(206, body[start:], {"Content-Range": f"bytes {start}-{len(body) - 1}/{len(body)}"})

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        mirror = self.server.mirror
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body)), "Connection": "close"} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        listed = self.path.endswith("SHA256SUMS.txt")
        sent = mirror.cut_after.pop(0) if mirror.cut_after and not listed and status in (200, 206) else len(body)
        self.close_connection = True
        with suppress(ConnectionError):  # the client may have lost patience
            for start in range(0, sent, 65_536):
                self.wfile.write(body[start : min(start + 65_536, sent)])
                time.sleep(mirror.pause_seconds)


@pytest.fixture
def mirror(monkeypatch) -> Iterator[Mirror]:
    """A mirror of a small data set on this machine."""
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    files = {"LICENSE.txt": b"open", "hosp/patients.csv.gz": gzip.compress(b"subject_id\n1\n"), "icu/chart.csv": TABLE}
    server.mirror = Mirror(files | {"index.html": b"<html>"}, f"http://127.0.0.1:{server.server_port}/data/")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server.mirror
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """A client that gives up soon; a test may set another `value`."""
    chosen = SimpleNamespace(value=QUICK)
    monkeypatch.setattr("mortcond.tables.download.Patience", lambda: chosen.value)
    return chosen


def bring(mirror: Mirror, folder: Path, name: str = "mimic4-demo", overwrite: bool = False) -> dict:
    session = Session(overwrite=overwrite, console=Console(quiet=True))
    return fetch(session, name, base_url=mirror.url, out=folder)


def contents(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file() and path.name != RECORD)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def wanted(mirror: Mirror) -> dict[str, bytes]:
    return {name: body for name, body in mirror.files.items() if name != "index.html"}


def test_all_wanted_files_arrive_and_nothing_else(mirror, tmp_path):
    result = bring(mirror, tmp_path / "demo")
    assert contents(tmp_path / "demo") == wanted(mirror)
    assert sorted(result["downloaded"]) == sorted(wanted(mirror))
    assert result["bytes"] == sum(map(len, wanted(mirror).values()))
    record = json.loads((tmp_path / "demo" / RECORD).read_text())
    assert record["url"] == mirror.url
    assert "Open Database" in record["licence"]
    assert any("10.13026/dp1f-ex47" in citation for citation in record["cite"])
    assert not (tmp_path / "demo" / PARTS).exists()


def test_a_second_call_fetches_nothing_and_a_changed_file_again(mirror, tmp_path):
    bring(mirror, tmp_path)
    asked = len(mirror.asked)
    assert bring(mirror, tmp_path)["downloaded"] == []
    assert mirror.asked[asked:] == [("SHA256SUMS.txt", None)]
    (tmp_path / "icu/chart.csv").write_bytes(b"damaged")
    assert bring(mirror, tmp_path)["downloaded"] == ["icu/chart.csv"]
    assert contents(tmp_path) == wanted(mirror)


def test_a_download_that_breaks_off_goes_on_in_the_same_call(mirror, tmp_path):
    mirror.files = {"chart.csv": TABLE}
    mirror.cut_after = [200_000, 100_000, 300_000, 1, 5_000]  # more failures than tries, but each brought something
    bring(mirror, tmp_path)
    assert contents(tmp_path) == {"chart.csv": TABLE}
    starts = [asked for name, asked in mirror.asked if name == "chart.csv"]
    assert starts == [None, *(f"bytes={n}-" for n in (200_000, 300_000, 600_000, 600_001, 605_001))]


def test_a_download_that_breaks_off_goes_on_in_the_next_call(mirror, tmp_path):
    mirror.files = {"chart.csv": TABLE}
    mirror.cut_after = [200_000, 0, 0, 0]
    with pytest.raises(InputError, match=r"chart.csv cannot be fetched: it broke off after 0 of") as failure:
        bring(mirror, tmp_path)
    assert "goes on where it stopped" in failure.value.remedy
    assert "chart.csv" not in {path.name for path in tmp_path.iterdir()}
    mirror.asked.clear()
    mirror.cut_after.clear()
    assert bring(mirror, tmp_path)["downloaded"] == ["chart.csv"]
    assert mirror.asked[1:] == [("chart.csv", "bytes=200000-")]
    assert contents(tmp_path) == {"chart.csv": TABLE}


def test_a_server_without_ranges_sends_all_again(mirror, tmp_path):
    mirror.files, mirror.ranges, mirror.cut_after = {"chart.csv": TABLE}, False, [300_000]
    bring(mirror, tmp_path)
    assert contents(tmp_path) == {"chart.csv": TABLE}


@pytest.mark.parametrize("left", [TABLE, TABLE + b"too long", b"of another version" * 1000])
def test_a_part_left_behind_does_no_harm(left, mirror, tmp_path):
    mirror.files = {"chart.csv": TABLE}
    (tmp_path / PARTS).mkdir()
    (tmp_path / PARTS / "chart.csv").write_bytes(left)
    bring(mirror, tmp_path)
    assert contents(tmp_path) == {"chart.csv": TABLE}


def test_a_slow_server_is_waited_for(mirror, tmp_path):
    mirror.pause_seconds = 0.02
    bring(mirror, tmp_path)
    assert contents(tmp_path) == wanted(mirror)


def test_a_server_that_says_nothing_is_given_up(mirror, tmp_path, patience):
    mirror.files, mirror.pause_seconds = {"chart.csv": TABLE}, 2.0
    session = Session(console=Console(quiet=True))
    patience.value = Patience(timeout_seconds=0.1, tries=2, first_pause_seconds=0.01)
    with pytest.raises(InputError, match=r"too long|timed out|broke off"):
        fetch(session, "mimic4-demo", base_url=mirror.url, out=tmp_path / "x")


def test_a_wrong_checksum_removes_the_file(mirror, tmp_path):
    mirror.sums = f"{'0' * 64}  icu/chart.csv\n"
    with pytest.raises(InputError, match=r"icu/chart.csv is not what SHA256SUMS.txt says") as failure:
        bring(mirror, tmp_path)
    assert failure.value.exit_code == 3
    assert contents(tmp_path) == {}


def test_a_file_that_is_gone_is_named(mirror, tmp_path):
    mirror.sums = mirror.checksums().decode() + f"{'0' * 64}  icu/gone.csv\n"
    with pytest.raises(InputError, match=r"icu/gone.csv: the server answered 404"):
        bring(mirror, tmp_path)
    assert len([name for name, _ in mirror.asked if name == "icu/gone.csv"]) == 1


def test_a_busy_server_is_asked_again(mirror, tmp_path):
    mirror.answers = [503, 429, 200]
    bring(mirror, tmp_path)
    assert contents(tmp_path) == wanted(mirror)


def test_a_server_that_stays_busy_is_given_up(mirror, tmp_path):
    mirror.answers = [500] * 9
    with pytest.raises(InputError, match=r"the server answered 500"):
        bring(mirror, tmp_path)
    assert len(mirror.answers) == 9 - QUICK.tries


def test_no_list_of_checksums_is_an_error(mirror, tmp_path):
    mirror.url = mirror.url.replace("/data/", "/elsewhere/")
    with pytest.raises(InputError, match=r"SHA256SUMS.txt: the server answered 404"):
        bring(mirror, tmp_path / "x")


@pytest.mark.parametrize("sums", ["<html>not found</html>", "", "abc  x.csv", f"{'0' * 64}  notes.txt"])
def test_a_list_without_what_is_wanted_is_an_error(sums, mirror, tmp_path):
    mirror.sums = sums
    with pytest.raises(InputError, match=r"no checksum and name|lists none of"):
        bring(mirror, tmp_path / "x")


@pytest.mark.parametrize("name", ["../x.csv", "/etc/x.csv", "a/../../x.csv", "..\\x.csv", "C:x.csv", "a/\tx.csv"])
def test_no_name_of_the_list_leaves_the_folder(name, mirror, tmp_path):
    mirror.sums = f"{hashlib.sha256(TABLE).hexdigest()}  {name}\n"
    with pytest.raises(InputError, match="leaves the folder"):
        bring(mirror, tmp_path / "in")
    assert list(tmp_path.rglob("*.csv")) == []


@given(st.text(max_size=30))
def test_a_name_is_inside_the_folder_or_refused(name):
    try:
        path = safe_name(name, "list")
    except InputError:
        return
    resolved = (Path("/folder") / path).resolve()
    assert resolved.is_relative_to("/folder")
    assert resolved != Path("/folder")


def _archive(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for member, content in members:
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return out.getvalue()


def _member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


RECORDS = [(_member("set-a", tarfile.DIRTYPE), b""), *((_member(f"set-a/{n}.txt"), b"Time\n%d" % n) for n in (1, 2, 3))]


def test_archives_are_unpacked(mirror, tmp_path):
    mirror.files = {"set-a.tar.gz": _archive(*RECORDS), "Outcomes-a.txt": b"RecordID\n1\n", "set-a.zip": b"zip"}
    result = bring(mirror, tmp_path, "physionet2012")
    assert sorted(contents(tmp_path)) == ["Outcomes-a.txt", "set-a/1.txt", "set-a/2.txt", "set-a/3.txt"]
    assert contents(tmp_path)["set-a/2.txt"] == b"Time\n2"
    assert result["files"]["set-a.tar.gz"]["count"] == 3
    assert bring(mirror, tmp_path, "physionet2012")["downloaded"] == []
    (tmp_path / "set-a/2.txt").unlink()
    assert bring(mirror, tmp_path, "physionet2012")["downloaded"] == ["set-a.tar.gz"]
    assert len(contents(tmp_path)) == 4


EVIL = {
    "up": (_member("../evil.txt"), b"x"),
    "absolute": (_member("/tmp/evil-mortcond.txt"), b"x"),
    "deep": (_member("set-a/../../evil.txt"), b"x"),
    "symbolic link": (_member("set-a/link", tarfile.SYMTYPE, "/etc"), b""),
    "hard link": (_member("set-a/link", tarfile.LNKTYPE, "set-a/1.txt"), b""),
    "device": (_member("set-a/device", tarfile.CHRTYPE), b""),
    "pipe": (_member("set-a/pipe", tarfile.FIFOTYPE), b""),
    "twice": (_member("set-a/1.txt"), b"y"),
}


@pytest.mark.parametrize("kind", EVIL)
def test_nothing_of_an_evil_archive_is_kept(kind, mirror, tmp_path):
    mirror.files = {"set-a.tar.gz": _archive(*RECORDS, EVIL[kind])}
    with pytest.raises(InputError, match=r"set-a.tar.gz"):
        bring(mirror, tmp_path / "in", "physionet2012")
    assert not (tmp_path / "in" / "set-a").exists()
    assert [path for path in tmp_path.rglob("*evil*") if path.is_file()] == []
    assert not Path("/tmp/evil-mortcond.txt").exists()


BROKEN = {"text": b"no archive", "cut": _archive(*RECORDS)[:-30], "no tar": gzip.compress(b"no tar" * 200)}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)  # a name holds no clock, as gzip does
def test_a_broken_archive_is_an_error(content, mirror, tmp_path):
    mirror.files = {"set-a.tar.gz": content}
    with pytest.raises(InputError, match="no whole archive"):
        bring(mirror, tmp_path, "physionet2012")
    assert not (tmp_path / "set-a").exists()


@pytest.mark.parametrize(
    "url", ["http://physionet.org/x/", "ftp://127.0.0.1/", "file:///etc/", "physionet.org", "https:"]
)
def test_only_https_is_taken(url, tmp_path):
    with pytest.raises(UsageError, match="no https address"):
        fetch(Session(console=Console(quiet=True)), "mimic3-demo", base_url=url, out=tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_a_redirection_to_plain_http_is_refused(mirror, tmp_path):
    mirror.redirect = "http://mirror.example/chart.csv"
    with pytest.raises(InputError, match=r"leads to http://mirror.example/chart.csv"):
        bring(mirror, tmp_path)


def test_a_redirection_on_this_machine_is_followed(mirror, tmp_path):
    mirror.files = {"chart.csv": TABLE}
    mirror.sums = mirror.checksums().decode()
    mirror.files = {"moved/chart.csv": TABLE}
    mirror.redirect = f"{mirror.url}moved/chart.csv"
    bring(mirror, tmp_path)
    assert contents(tmp_path) == {"chart.csv": TABLE}


def test_no_network_is_said_with_what_to_do(tmp_path, monkeypatch):
    def unknown(*arguments, **options):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    session = Session(console=Console(quiet=True))
    with pytest.raises(InputError, match=r"server's name is not known here \(no network\?\)") as failure:
        fetch(session, "mimic3-demo", out=tmp_path / "x")
    assert "HTTPS_PROXY" in failure.value.remedy
    assert "physionet.org/files/mimiciii-demo/1.4/" in failure.value.remedy
    assert not (tmp_path / "x").exists()


def test_a_closed_port_is_said(mirror, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        mirror.url = f"http://127.0.0.1:{free.getsockname()[1]}/data/"
    with pytest.raises(InputError, match="cannot be fetched"):
        bring(mirror, tmp_path / "x")


def test_a_folder_of_other_things_is_left_alone(mirror, tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match="holds other files"):
        bring(mirror, tmp_path)
    assert contents(tmp_path) == {"thesis.txt": b"mine"}
    bring(mirror, tmp_path, overwrite=True)
    assert contents(tmp_path) == wanted(mirror) | {"thesis.txt": b"mine"}


def test_overwrite_fetches_all_again(mirror, tmp_path):
    bring(mirror, tmp_path)
    assert len(bring(mirror, tmp_path, overwrite=True)["downloaded"]) == len(wanted(mirror))


def test_a_full_disk_leaves_no_half_file(mirror, tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mortcond.tables.download.os.replace", full)
    with pytest.raises(OSError, match="No space"):
        bring(mirror, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {PARTS}


def test_command_line(mirror, tmp_path, capsys):
    arguments = ["fetch", "mimic4-demo", "--base-url", mirror.url, "-o", str(tmp_path / "demo")]
    assert _call([*arguments, "--json"]) == 0
    streams = capsys.readouterr()
    assert len(json.loads(streams.out)["downloaded"]) == 3
    assert "Open Database License" in streams.err
    assert "Goldberger" in streams.err
    assert _call(arguments) == 0
    assert "none had to be downloaded" in capsys.readouterr().out
    assert _call(["fetch", "mimic3", "-o", str(tmp_path / "x")]) == 2
    assert "'physionet2012', 'mimic3-demo', 'mimic4-demo'" in capsys.readouterr().err
    mirror.sums = f"{'0' * 64}  icu/chart.csv\n"
    assert _call([*arguments, "--overwrite"]) == 3


def _call(arguments: list[str]) -> int:
    with pytest.raises(SystemExit) as stop:
        app(arguments)
    return stop.value.code


def test_every_source_says_whose_it_is():
    for name, source in SOURCES.items():
        assert source.name == name
        assert source.url.startswith("https://physionet.org/files/")
        assert source.url.endswith("/")
        assert source.licence_url.startswith("https://opendatacommons.org/")
        assert len(source.citations) == 2
