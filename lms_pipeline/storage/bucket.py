"""A bucket: requests by obstore, in the terms of `Store`, with each failure as one sentence.

Belongs here: the client with its time limits, requests for one object and listings. Not here: local copies (`mirror.py`),
what a publication does when a request fails (`conditional_write.py`), and the checks of the address (`bucket_address.py`).
"""

# The threads of obstore do not survive a fork: a process may open a bucket and fork, but not after its first request.

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from hashlib import blake2b
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any, Final, TypeAlias

import obstore
from obstore import exceptions
from obstore.store import from_url

from lms_pipeline.errors import SettingsError
from lms_pipeline.storage.bucket_address import read_address
from lms_pipeline.storage.store import StoredFile, StoreError

TIMEOUT_SECONDS: Final = 30.0
"""Limit of one request without content, or with up to `MIN_BYTES_PER_SECOND` a second; of a download, between two of its bytes."""
MIN_BYTES_PER_SECOND: Final = 2**19
"""The slowest upload that counts as one: larger files have more time, in steps of two. One that stalls ends after 30 s."""
MULTIPART_BYTES: Final = 12 * 5 * 2**20
"""Bytes that obstore sends at the same time of a file in parts."""
MAX_DOWNLOAD_SECONDS: Final = 86_400.0
"""Limit of a download in all: a pull lasts a day at most."""
RETRIES: Final[dict[str, Any]] = {"max_retries": 10, "retry_timeout": timedelta(seconds=60)}
"""How often and how long obstore repeats a request that failed; not one with a condition that got no answer in time."""
CHUNK_BYTES: Final = 2**20
"""Bytes of a download in memory, of each thread."""

_CODE = re.compile(r"<Code>(\w{1,60})</Code>")
_REFUSED = re.compile(r"status(?: code)?: 40[13]\b|^(?:PermissionDenied|Unauthenticated) \{", re.MULTILINE)
_STATUS = re.compile(r"status code: (\d{3})\b")
_REASONS = {
    re.compile(r"invalid peer certificate"): "its certificate is not trusted",
    re.compile(r"dns error"): "there is no such host",
    re.compile(r"ConnectionRefused"): "nothing listens there",
    re.compile(r"kind: Timeout"): "it did not answer in time",
}
"""Why there is no answer, by what obstore's description of an error has."""
_WRONG_SETTINGS = {
    re.compile(r"Account must be specified"): "the name of the storage account is missing",
    re.compile(r"Missing SecretAccessKey"): "the secret access key is missing",
    re.compile(r"Missing AccessKeyId"): "the id of the access key is missing",
    re.compile(r"Invalid Access Key"): "the access key is not valid",
    re.compile(r"SAS"): "the shared access signature is not valid",
    re.compile(r"service account|pem file"): "the key of the service account is not valid",
}
"""Why a client can't be made, by what obstore's description has, which may quote a credential."""
_NO_CREDENTIALS = re.compile(r"169\.254\.169\.254|metadata\.google\.internal")
"""Where obstore asks for the identity of the machine if the environment has no credentials."""
_NO_BUCKET = re.compile(r"NoSuchBucket|ContainerNotFound|bucket does not exist", re.IGNORECASE)
_FAILURES = (exceptions.BaseError, OSError, ValueError, NotImplementedError)

Client: TypeAlias = Any
"""A store of obstore."""
Limits: TypeAlias = tuple[float, float]
"""Seconds that a request may last in all, and between two bytes of its answer."""
Body: TypeAlias = mmap | bytes
Mode: TypeAlias = str | dict[str, str]


class AccessRefusedError(StoreError):
    """The store does not accept the credentials, or they lack a permission: another try would not help."""

    may_pass = False


class MissingBucketError(StoreError):
    """There is no bucket of this name: another try would not help."""

    may_pass = False


class ConditionRefusedError(StoreError):
    """The store refused a conditional write, since the object is not, or no longer, what the condition names."""


class NotChangedError(Exception):
    """The object still has the version that the caller has."""


@dataclass(frozen=True, slots=True)
class Download:
    """The content of an object."""

    stored: StoredFile
    chunks: Iterator[bytes]
    """Raises StoreError if the content can't be read to its end."""


class Bucket:
    """A bucket, or the part of it below a prefix. All methods raise StoreError for whatever fails; threads may share it."""

    def __init__(self, url: str, connect: Callable[[Limits], Client]) -> None:
        """Describe a bucket; `connect` returns a client with limits of each request."""
        self.url: Final = url
        self._connect = connect
        self._clients: dict[Limits, Client] = {}
        self._exists = False
        """Whether an answer has shown that there is a bucket."""
        self._get_client()

    @classmethod
    def open(cls, url: str) -> Bucket:
        """Return the bucket of an address; credentials are those that the tools of its cloud find. Sends no request.

        Raises:
            SettingsError: the environment lacks what the cloud needs, or names an endpoint that is not safe.
        """
        address = read_address(url)

        def connect(limits: Limits) -> Client:
            timeout, read_timeout = (timedelta(seconds=seconds) for seconds in limits)
            options: Any = {"allow_http": address.is_plain, "timeout": timeout, "read_timeout": read_timeout}
            return from_url(url, client_options=options, retry_config=RETRIES)

        try:
            return cls(url, connect)
        except _FAILURES as error:
            reasons = (reason for pattern, reason in _WRONG_SETTINGS.items() if pattern.search(str(error)))
            reason = next(reasons, "a setting of its cloud is missing, or not valid")
            raise SettingsError(
                f"LMS_LAKE_URL can't be used: {reason}; set what {address.cloud} needs in the environment."
            ) from None

    def describe(self, key: str) -> str:
        """Return the address of an object."""
        return f"{self.url}/{key}"

    def find(self, key: str) -> StoredFile | None:
        """Return what is known of an object; None if there is none.

        Raises:
            MissingBucketError: there is no such bucket.
        """
        found = None
        with suppress(FileNotFoundError), self._convert_errors(key, "read"):
            found = _build_stored_file(key, obstore.head(self._get_client(), key))
        if found is None and not self._exists:  # an answer to HEAD has no text that says what is missing
            with suppress(FileNotFoundError), self._convert_errors(key, "read"):
                next(iter(obstore.list(self._get_client(), key)), None)
        self._exists = True
        return found

    def get(self, key: str, unless: str = "") -> Download | None:
        """Return an object with its content; None if there is none.

        Raises:
            NotChangedError: its version is the one of `unless`.
        """
        options = {"if_none_match": _get_e_tag(unless)} if unless else None
        try:
            with self._convert_errors(key, "read"):
                result = obstore.get(self._get_reader(), key, options=options)  # type: ignore[arg-type, unused-ignore]
                stored = _build_stored_file(key, result.meta)
        except FileNotFoundError:
            self._exists = True
            return None
        self._exists = True
        return Download(stored, self._read(key, result, stored.size))

    def _read(self, key: str, result: obstore.GetResult, size: int) -> Iterator[bytes]:
        received = 0
        with self._convert_errors(key, "read"):
            for chunk in result.stream(CHUNK_BYTES):
                received += len(chunk)
                yield bytes(chunk)
        if received != size:
            raise StoreError(f"{self.describe(key)} can't be read: its content ended too early; try again later.")

    def read_range(self, file: StoredFile, start: int, size: int) -> bytes:
        """Return bytes of an object, from `start` on.

        Raises:
            StoreError: it was replaced or removed since it was found, or can't be read.
        """
        end = min(start + size, file.size)
        if end <= start:
            return b""
        condition = {"if_match": e_tag} if (e_tag := _get_e_tag(file.version)) else {}
        options = {**condition, "range": (start, end)}
        try:
            with self._convert_errors(file.key, "read"):
                return bytes(obstore.get(self._get_reader(), file.key, options=options).bytes())
        except FileNotFoundError:
            raise StoreError(f"{self.describe(file.key)} can't be read: it was removed meanwhile.") from None

    def put(self, key: str, body: Body, seen: StoredFile | None) -> str:
        """Store an object in one request, if what is stored is `seen`, or nothing is and `seen` is None. Return its version.

        Raises:
            ConditionRefusedError: something else is stored.
            AccessRefusedError: the credentials are not accepted.
            MissingBucketError: there is no such bucket.
        """
        mode: Mode = "create" if seen is None else _parse_version(seen.version)
        return self._put(key, body, mode, use_multipart=False)

    def overwrite(self, key: str, path: Path, *, use_multipart: bool) -> str:
        """Store a local file, whatever is stored. Return the version."""
        body = path if use_multipart else map_file(path)
        return self._put(key, body, "overwrite", use_multipart=use_multipart)

    def _put(self, key: str, body: Body | Path, mode: Mode, *, use_multipart: bool) -> str:
        size = MULTIPART_BYTES if isinstance(body, Path) else len(body)
        try:
            with self._convert_errors(key, "written"):
                result = obstore.put(self._get_client(size), key, body, mode=mode, use_multipart=use_multipart)
        except FileNotFoundError:
            raise ConditionRefusedError(f"{self.describe(key)} can't be written: it was removed meanwhile.") from None
        return _format_version(result["e_tag"], result["version"])

    def remove(self, key: str) -> None:
        """Remove an object; missing is no error."""
        with suppress(FileNotFoundError), self._convert_errors(key, "removed"):
            obstore.delete(self._get_client(), key)

    def list_files(self, prefix: str) -> Iterator[StoredFile]:
        """Yield the objects below a folder, in the order of keys."""
        try:
            with self._convert_errors(prefix, "listed"):
                for page in obstore.list(self._get_client(), prefix):
                    for meta in page:
                        yield _build_stored_file(meta["path"], meta)
        except FileNotFoundError:
            return

    def list_folders(self, prefix: str) -> Sequence[str]:
        """Return the names of the folders directly below a folder, in order."""
        try:
            with self._convert_errors(prefix, "listed"):
                found = obstore.list_with_delimiter(self._get_client(), prefix)["common_prefixes"]
        except FileNotFoundError:
            return []
        return sorted(folder.rstrip("/").rpartition("/")[2] for folder in found)

    def _get_client(self, size: int = 0) -> Client:
        """Return the client whose limit is enough to send so many bytes."""
        seconds = TIMEOUT_SECONDS
        while seconds * MIN_BYTES_PER_SECOND < size:
            seconds *= 2
        return self._open_client((seconds, seconds))  # nothing is read before all is sent

    def _get_reader(self) -> Client:
        """Return the client that receives content of any size."""
        return self._open_client((MAX_DOWNLOAD_SECONDS, TIMEOUT_SECONDS))

    def _open_client(self, limits: Limits) -> Client:
        if limits not in self._clients:
            self._clients[limits] = self._connect(limits)
        return self._clients[limits]

    @contextmanager
    def _convert_errors(self, key: str, verb: str) -> Iterator[None]:
        """Raise failures of obstore as one sentence.

        Raises:
            FileNotFoundError: there is no such object.
        """
        try:
            yield
        except exceptions.NotModifiedError:
            raise NotChangedError from None
        except _FAILURES as error:
            raise _explain(error, f"{self.describe(key)} can't be {verb}") from None


def _explain(error: Exception, what: str) -> Exception:
    """Return the error to raise for one of obstore, whose own text quotes the answer, which may name credentials."""
    text = str(error)
    if _NO_BUCKET.search(text):
        return MissingBucketError(f"{what}: there is no such bucket; check LMS_LAKE_URL.")
    if isinstance(error, FileNotFoundError):
        return error
    if isinstance(error, exceptions.AlreadyExistsError | exceptions.PreconditionError):
        return ConditionRefusedError(f"{what}: the store has another version of it; run it again.")
    if _NO_CREDENTIALS.search(text):
        return AccessRefusedError(
            f"{what}: the environment has no credentials for the store, and this machine has no identity there; set them."
        )
    if _REFUSED.search(text):  # for a listing obstore has no class of its own
        return AccessRefusedError(
            f"{what}: the store refuses the credentials{_quote_reason(text)}; check that they may list, read, write and delete "
            "there."
        )
    return StoreError(f"{what}: the store can't be reached, or fails{_quote_reason(text)}; try again later.")


def _quote_reason(text: str) -> str:
    """Return the store's code for an error, or the HTTP status, or why there is no answer, in brackets."""
    if found := _CODE.search(text) or _STATUS.search(text):
        return f" ({found[1]})"
    return next((f" ({reason})" for pattern, reason in _REASONS.items() if pattern.search(text)), "")


def map_file(path: Path) -> Body:
    """Return the content of a file without memory of its own: its pages are those of the disk's cache.

    It is never closed: a request that timed out may hold it for a moment longer.
    """
    with path.open("rb") as file:
        return mmap(file.fileno(), 0, access=ACCESS_READ) if path.stat().st_size else b""


def _build_stored_file(key: str, meta: obstore.ObjectMeta) -> StoredFile:
    """Return what obstore knows of an object.

    Requests and listings of one object must give the same signature: some stores have quotes around the ETag, or fractions
    of a second, in one of them only.
    """
    e_tag = (meta["e_tag"] or "").strip('"')
    number = int.from_bytes(blake2b(e_tag.encode(), digest_size=8).digest(), "big")
    changed_ns = int(meta["last_modified"].timestamp()) * 10**9
    return StoredFile(key, meta["size"], changed_ns, number, _format_version(meta["e_tag"], meta["version"]))


def _format_version(e_tag: str | None, version: str | None) -> str:
    """Return ETag and generation as one text; an ETag has no space. Listings of Azure leave out its quotes."""
    quoted = e_tag if not e_tag or e_tag.endswith('"') else f'"{e_tag}"'
    return f"{quoted or ''} {version or ''}".rstrip()


def _parse_version(text: str) -> dict[str, str]:
    """Return what a conditional write of obstore needs: the ETag, and the generation that Google has beside it."""
    e_tag, _, version = text.partition(" ")
    return {name: value for name, value in (("e_tag", e_tag), ("version", version)) if value}


def _get_e_tag(version: str) -> str:
    return version.partition(" ")[0]
