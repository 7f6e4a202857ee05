"""Files fetched by URL: resumed, verified, tried again, and never half there.

    <folder>/urls/<key>.json       what the URL gave last: ETag, SHA-256, name
    <folder>/urls/<key>.lock       held while it is fetched, so that two processes do the work once
    <folder>/partial/<key>         what has arrived so far; <key>.json beside it holds its validator
    <folder>/content/<sha256>/     finished files, by content

A proxy is taken from the environment (`HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY`).
"""

from __future__ import annotations

import errno
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from netrc import NetrcParseError
from pathlib import Path

import httpx
from filelock import FileLock

from stsflow.tasks.ground.addresses import filled_in, path_in, without_credentials
from stsflow.tasks.ground.charset import MAX_UNPACKED_BYTES
from stsflow.tasks.ground.errors import DataError, DiskFull, PreconditionError
from stsflow.tasks.ground.files import write_text_atomically
from stsflow.tasks.ground.fingerprint import fingerprint, git_blob_id, sha256_of_file
from stsflow.tasks.ground.schema import Record
from stsflow.tasks.ground.trying_again import PASSING_STATUSES, TryAgain, trying_again, wish_of

log = logging.getLogger(__name__)

# They write every address in full, a signed link's secret included, at INFO and DEBUG.
for _name in ("httpx", "httpcore"):
    logging.getLogger(_name).setLevel(logging.WARNING)

ADVICE = "Check the network and the proxy settings, or put the file on this machine and name its path."


class Remembered(Record):
    """What a URL gave when it was fetched last."""

    etag: str | None
    sha256: str
    name: str


class Validator(Record):
    """What tells whether a file on the server is still the one whose beginning we have."""

    etag: str | None = None
    last_modified: str | None = None

    @property
    def header(self) -> str | None:
        """Value for `If-Range`, or None: weak tags do not promise equal bytes (RFC 9110, 13.1.5)."""
        return self.etag if self.etag and not self.etag.startswith("W/") else self.last_modified


@dataclass(frozen=True)
class Download:
    """One URL and the places that belong to it."""

    url: str
    """As the recipe writes it: the environment's values are in no name, key or message."""
    folder: Path
    sha256: str | None
    git_blob: str | None
    max_unpacked_bytes: int

    @property
    def shown(self) -> str:
        """The address for messages."""
        return without_credentials(self.url)

    @property
    def key(self) -> str:
        """Short name of this URL's files."""
        return fingerprint(self.url)[:24]

    @property
    def memory(self) -> Path:
        """Record of what the URL gave last."""
        return self.folder / "urls" / f"{self.key}.json"

    @property
    def lock(self) -> Path:
        """Held while the URL is fetched."""
        return self.folder / "urls" / f"{self.key}.lock"

    @property
    def partial(self) -> Path:
        """What has arrived so far."""
        return self.folder / "partial" / self.key

    @property
    def partial_validator(self) -> Path:
        """Validator of the partial file."""
        return self.folder / "partial" / f"{self.key}.json"

    @property
    def name(self) -> str:
        """File name under which the content is kept: the address's last part, made harmless."""
        last = path_in(self.url).rpartition("/")[2]
        return re.sub(r"[^\w.-]", "_", last).lstrip(".")[-120:] or "download"

    def content(self, sha256: str) -> Path:
        """Final place of the file with this hash."""
        return self.folder / "content" / sha256[:24] / self.name


def fetch_url(
    url: str,
    folder: Path,
    *,
    sha256: str | None = None,
    git_blob: str | None = None,
    timeout_seconds: float = 60.0,
    retries: int = 5,
    max_unpacked_bytes: int = MAX_UNPACKED_BYTES,
) -> Path:
    """The file at `url`, below `folder`, whole and with the expected hash. `${NAME}` stands for the environment's NAME.

    A file that is there already and has the expected hash is used without the network; without an expected hash the
    server is asked whether it changed (ETag). An interrupted download goes on where it stopped when the server's
    validator is still the same, and starts again when not. 429, 5xx, timeouts, dropped connections and truncation are
    tried again `retries` times. Raises `DataError` (no such file, no access, wrong hash), `DownloadFailed` (gave up),
    `DiskFull`. User, password, query and what the environment fills in never appear in a message.
    """
    download = Download(url, folder, sha256, git_blob, max_unpacked_bytes)
    for path in (download.memory, download.partial):
        path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(download.lock):
        known = _remembered(download)
        if known is not None and (sha256 or git_blob) and hash_mismatch(known[0], sha256, git_blob) is None:
            return known[0]
        with _network_errors(download.shown), _client(url, timeout_seconds) as client:
            return trying_again(
                lambda: _attempt(download, client, known), retries=retries, what=download.shown, advice=ADVICE
            )


def remote_state(url: str, *, timeout_seconds: float = 60.0, retries: int = 2) -> str:
    """What tells one state of the file at `url` from the next without fetching it: ETag, else date and size."""
    shown = without_credentials(url)

    def attempt() -> str:
        with _network_errors(shown), _client(url, timeout_seconds) as client:
            response = client.head(_bare(url))
            _check_status(response, shown)
            headers = response.headers
            return str(headers.get("etag") or f"{headers.get('last-modified', '')} {headers.get('content-length', '')}")

    return trying_again(attempt, retries=retries, what=shown, advice=ADVICE)


def _attempt(download: Download, client: httpx.Client, known: tuple[Path, Remembered] | None) -> Path:
    """One request that ends with the whole file in place, or raises `TryAgain`."""
    present = download.partial.stat().st_size if download.partial.exists() else 0
    validator = Validator.load_or_none(download.partial_validator)
    condition = validator.header if validator else None
    headers = {"Accept-Encoding": "identity"}
    if present and condition:
        headers |= {"Range": f"bytes={present}-", "If-Range": condition}
    elif known is not None and known[1].etag:
        headers |= {"If-None-Match": known[1].etag}
    with _network_errors(download.shown), client.stream("GET", _bare(download.url), headers=headers) as response:
        if response.status_code == 304 and known is not None:
            return known[0]
        if response.status_code == 416:
            _forget_partial(download)
            raise TryAgain("the server has no more bytes for the part that we have; starting over", 0.0)
        _check_status(response, download.shown)
        resumed = response.status_code == 206
        if resumed and not response.headers.get("content-range", "").startswith(f"bytes {present}-"):
            _forget_partial(download)
            raise TryAgain("the server sent another part than the one asked for; starting over", 0.0)
        _receive(download, response, present if resumed else 0)
        return _finish(download, response.headers.get("etag"), resumed)


def _receive(download: Download, response: httpx.Response, offset: int) -> None:
    """Append the response's body to the partial file, from byte `offset` on."""
    etag, modified = response.headers.get("etag"), response.headers.get("last-modified")
    if offset == 0:
        write_text_atomically(
            download.partial_validator, Validator(etag=etag, last_modified=modified).model_dump_json()
        )
    length = response.headers.get("content-length")
    plain = "content-encoding" not in response.headers
    total = offset + int(length) if length is not None and plain else None
    done = offset
    with download.partial.open("r+b" if offset else "wb") as stream:
        stream.seek(offset)
        for block in response.iter_bytes():
            stream.write(block)
            done += len(block)
            if not plain and done > download.max_unpacked_bytes:
                _forget_partial(download)
                raise DataError(
                    f"{download.shown}: the server packs the file on its way, and unpacked it is larger than "
                    f"{download.max_unpacked_bytes:,} bytes (the source's `max_unpacked_bytes`). If it is meant to be, "
                    "raise that limit."
                )
        stream.truncate()
        stream.flush()
        os.fsync(stream.fileno())
    if total is not None and done != total:
        raise TryAgain(f"{done} of {total} bytes arrived")


def _finish(download: Download, etag: str | None, resumed: bool) -> Path:
    """Verify the partial file and give it its final name."""
    problem = hash_mismatch(download.partial, download.sha256, download.git_blob)
    if problem is not None:
        _forget_partial(download)
        if resumed:
            raise TryAgain("the resumed file has another hash than expected; starting over", 0.0)
        raise DataError(f"{download.shown}: {problem}.")
    found = sha256_of_file(download.partial)
    target = download.content(found)
    target.parent.mkdir(parents=True, exist_ok=True)
    download.partial.replace(target)
    _forget_partial(download)
    Remembered(etag=etag, sha256=found, name=target.name).write(download.memory)
    log.info("%s: fetched %d bytes", download.shown, target.stat().st_size)
    return target


def hash_mismatch(path: Path, sha256: str | None, git_blob: str | None) -> str | None:
    """What is wrong with the hash of the file at `path`, in words, or None when it is as expected."""
    for name, expected, compute in (("SHA-256", sha256, sha256_of_file), ("git blob id", git_blob, git_blob_id)):
        if expected is not None and (found := compute(path)) != expected.lower():
            return f"the {name} is {found} ({path.stat().st_size} bytes), expected {expected.lower()}"
    return None


def _remembered(download: Download) -> tuple[Path, Remembered] | None:
    """The finished file that this URL gave last, if it is still there and undamaged."""
    memory = Remembered.load_or_none(download.memory)
    if memory is None:
        return None
    path = download.content(memory.sha256)
    return (path, memory) if path.is_file() and sha256_of_file(path) == memory.sha256 else None


def _forget_partial(download: Download) -> None:
    download.partial.unlink(missing_ok=True)
    download.partial_validator.unlink(missing_ok=True)


def _client(url: str, timeout_seconds: float) -> httpx.Client:
    """A client that carries the URL's user and password, or those of ~/.netrc, in a header that a redirect drops."""
    parsed = httpx.URL(filled_in(url))
    auth = httpx.BasicAuth(parsed.username, parsed.password) if parsed.userinfo else _netrc()
    return httpx.Client(timeout=timeout_seconds, follow_redirects=True, auth=auth)


def _netrc() -> httpx.NetRCAuth | None:
    """Users and passwords by server from the file that `NETRC` names, else ~/.netrc; None where there is none."""
    try:
        return httpx.NetRCAuth(os.environ.get("NETRC"))
    except FileNotFoundError:
        return None
    except (NetrcParseError, OSError) as error:
        raise PreconditionError(f"~/.netrc cannot be read ({type(error).__name__}): mend it or move it away.") from None


def _bare(url: str) -> httpx.URL:
    """The URL to ask for, without user and password, which go into a header."""
    return httpx.URL(filled_in(url)).copy_with(username=None, password=None)


def _check_status(response: httpx.Response, shown: str) -> None:
    status = response.status_code
    if status in PASSING_STATUSES:
        raise TryAgain(f"HTTP {status}", wish_of(response.headers))
    if status in (401, 403, 407):
        raise DataError(f"{shown}: access is refused (HTTP {status}).")
    if status not in (200, 206):
        raise DataError(f"{shown}: there is no file to fetch (HTTP {status}).")


@contextmanager
def _network_errors(shown: str) -> Iterator[None]:
    """Turn errors of the network into `TryAgain` and a full disk into `DiskFull`; neither carries the full address."""
    try:
        yield
    except (httpx.UnsupportedProtocol, httpx.InvalidURL, httpx.TooManyRedirects) as error:
        raise DataError(f"{shown}: this address cannot be fetched ({type(error).__name__}).") from None
    except httpx.TimeoutException as error:
        raise TryAgain(f"no answer in time ({type(error).__name__})") from None
    except (httpx.ConnectError, httpx.ProxyError) as error:
        raise TryAgain(f"no connection ({type(error).__name__})") from None
    except (httpx.TransportError, httpx.DecodingError) as error:
        raise TryAgain(f"the connection broke off ({type(error).__name__})") from None
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise DiskFull(f"{shown}: no room left on the disk while it was being fetched.") from None
