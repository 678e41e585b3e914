"""The world of `--records` files: versions of enrollments, and what an account serves of them at an instant.

The bytes of a record and of its raw form are kept as they are; they are never decoded and encoded again.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict, defaultdict
from datetime import datetime
from functools import cached_property
from operator import attrgetter
from sys import intern
from typing import TYPE_CHECKING, Literal

import msgspec

from lms_pipeline.sandbox.world import Account, Integration, Listing, Record, SandboxError, convert_to_utc

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

_INTEGRATION = Integration(id="records", name="records", category="lms")
_MAX_CACHED_VIEWS = 8
"""A sweep is many pages of one view, and several accounts are swept at the same time."""
_NULL = msgspec.Raw(b"null")
"""Stands for a value that is null or absent."""
_NO_ID = (b"null", b'""')


class Version(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """One line of a file: an enrollment from one instant on."""

    account: str
    valid_from: datetime
    enrollment: msgspec.Raw
    raw: msgspec.Raw = _NULL
    deleted: bool = False


class _Reference(msgspec.Struct, gc=False):
    id: str | int | None = None


class _Pair(msgspec.Struct, gc=False):
    user: _Reference | None = None
    course: _Reference | None = None


class _Identity(msgspec.Struct, gc=False):
    id: msgspec.Raw = _NULL
    remote_data: msgspec.Raw = _NULL


class _Objects(msgspec.Struct, gc=False):
    user: msgspec.Raw = _NULL
    course: msgspec.Raw = _NULL


_decode_version = msgspec.json.Decoder(Version).decode
_decode_identity = msgspec.json.Decoder(_Identity).decode
_decode_pair = msgspec.json.Decoder(_Pair).decode
_decode_objects = msgspec.json.Decoder(_Objects).decode
_get_valid_from = attrgetter("valid_from")


def records_world(paths: Sequence[Path]) -> RecordedWorld:
    """Read NDJSON files with one version of one enrollment a line.

    Raises:
        SandboxError: a file or a line can't be used; the message names it.
    """
    accounts: dict[str, dict[bytes, list[Version]]] = {}
    for path in paths:
        for version, identity in read_versions(path):
            accounts.setdefault(version.account, {}).setdefault(identity, []).append(version)
    if not accounts:
        raise SandboxError(f"There are no records in {', '.join(map(str, paths)) or 'no files at all'}.")
    return RecordedWorld(
        {account_id: AccountHistory(list(enrollments.values())) for account_id, enrollments in accounts.items()}
    )


def read_versions(path: Path) -> Iterator[tuple[Version, bytes]]:
    """Yield the version of each line with the identity of its enrollment; skip blank lines.

    Raises:
        SandboxError: the file or a line can't be used; the message names it.
    """
    try:
        with path.open("rb") as file:
            for number, text in enumerate(file, start=1):
                if not text.isspace():
                    yield _read_line(text, path, number)
    except OSError as error:
        raise SandboxError(f"The records file {path} can't be read: {error.strerror or error}.") from error


def _read_line(text: bytes, path: Path, number: int) -> tuple[Version, bytes]:
    try:
        version = _decode_version(text)
        version.account = intern(version.account)  # 15 MB less for a quarter of a million lines
        version.valid_from = convert_to_utc(version.valid_from)
        return version, _read_identity(version)
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError, OverflowError, RecursionError) as error:
        raise SandboxError(f"{path}, line {number} can't be used as a record: {error}.") from error


def _read_identity(version: Version) -> bytes:
    """Return the enrollment's id, or the pair of its learner and course if it has none."""
    identity = _decode_identity(version.enrollment)
    if identity.remote_data != _NULL:
        raise ValueError("the enrollment contains remote_data, which belongs beside it as raw")
    enrollment_id = bytes(identity.id)
    if enrollment_id not in _NO_ID:
        return enrollment_id
    user_id, course_id = _read_pair(version.enrollment)
    if user_id is None or course_id is None:
        raise ValueError("the enrollment has no id, and not both a user.id and a course.id in its place")
    return msgspec.json.encode((user_id, course_id))


def _read_pair(enrollment: msgspec.Raw) -> tuple[str | None, str | None]:
    """Return the ids of learner and course as text; None for a missing or invalid id."""
    try:
        pair = _decode_pair(enrollment)
    except msgspec.ValidationError:
        return None, None
    return _read_id(pair.user), _read_id(pair.course)


def _read_id(reference: _Reference | None) -> str | None:
    return None if reference is None or reference.id in {None, ""} else str(reference.id)


class AccountHistory:
    """All versions of an account's enrollments, by enrollment and time."""

    def __init__(self, enrollments: list[list[Version]]) -> None:
        self._enrollments = enrollments
        for versions in enrollments:
            versions.sort(key=_get_valid_from)
        self.instants = sorted(version.valid_from for versions in enrollments for version in versions)
        """When the versions start."""

    def count_versions(self, at: datetime) -> int:
        """Return how many versions started by `at`; the same number means the same state."""
        return bisect_right(self.instants, at)

    def find_state(self, at: datetime) -> list[Version | None]:
        """Return the valid version of each enrollment at its position, or None before its start or after deletion."""
        state: list[Version | None] = []
        for versions in self._enrollments:
            count = bisect_right(versions, at, key=_get_valid_from)
            version = versions[count - 1] if count else None
            state.append(None if version is None or version.deleted else version)
        return state


class RecordedView:
    """The lists of one state of an account. Users and courses are those that its enrollments name."""

    def __init__(self, state: Sequence[Version | None]) -> None:
        self._state = state

    def enrollments(self, user_id: str | None = None, course_id: str | None = None) -> Listing:
        """Return the valid enrollments in the order of the files."""
        if user_id is None and course_id is None:
            return Listing(len(self._state), self._get_record)
        positions = self._find_positions(user_id, course_id)
        return Listing(len(positions), lambda number: self._get_record(positions[number]))

    def users(self) -> Listing:
        """Return the learners."""
        return Listing.of(list(self._users.values()))

    def courses(self) -> Listing:
        """Return the courses."""
        return Listing.of(list(self._courses.values()))

    def user(self, user_id: str) -> Record | None:
        """Return a learner."""
        return self._users.get(user_id)

    def course(self, course_id: str) -> Record | None:
        """Return a course."""
        return self._courses.get(course_id)

    def _get_record(self, position: int) -> Record | None:
        version = self._state[position]
        if version is None:
            return None
        return Record(bytes(version.enrollment), None if version.raw == _NULL else bytes(version.raw))

    def _find_positions(self, user_id: str | None, course_id: str | None) -> list[int]:
        if user_id is None:
            return self._positions_by_course.get(course_id or "", [])
        positions = self._positions_by_user.get(user_id, [])
        return [position for position in positions if course_id in {None, self._pairs[position][1]}]

    @cached_property
    def _pairs(self) -> list[tuple[str | None, str | None]]:
        return [(None, None) if version is None else _read_pair(version.enrollment) for version in self._state]

    @cached_property
    def _positions_by_user(self) -> dict[str, list[int]]:
        return _group_positions(user_id for user_id, _ in self._pairs)

    @cached_property
    def _positions_by_course(self) -> dict[str, list[int]]:
        return _group_positions(course_id for _, course_id in self._pairs)

    @cached_property
    def _users(self) -> dict[str, Record]:
        return self._build_records("user", self._positions_by_user)

    @cached_property
    def _courses(self) -> dict[str, Record]:
        return self._build_records("course", self._positions_by_course)

    def _build_records(
        self, field: Literal["user", "course"], positions_by_id: dict[str, list[int]]
    ) -> dict[str, Record]:
        """Return each learner or course as in the newest of its enrollments, in the order of the files."""
        return {
            key: Record(bytes(getattr(self._read_newest(positions), field)), None)
            for key, positions in positions_by_id.items()
        }

    def _read_newest(self, positions: Iterable[int]) -> _Objects:
        versions = [version for position in positions if (version := self._state[position]) is not None]
        return _decode_objects(max(reversed(versions), key=_get_valid_from).enrollment)


def _group_positions(keys: Iterable[str | None]) -> dict[str, list[int]]:
    positions: defaultdict[str, list[int]] = defaultdict(list)
    for position, key in enumerate(keys):
        if key is not None:
            positions[key].append(position)
    return positions


class RecordedWorld:
    """Accounts whose enrollments come from files; all are active LMS accounts that can be swept."""

    def __init__(self, histories: Mapping[str, AccountHistory]) -> None:
        self._histories = histories
        self._views: OrderedDict[tuple[str, int], RecordedView] = OrderedDict()

    def accounts(self) -> Sequence[Account]:
        """Return the accounts in the order of their first lines."""
        return [
            Account(
                id=account_id,
                tenant_id=f"tenant-{account_id}",
                status="active",
                is_sandbox=False,
                integration=_INTEGRATION,
                created_at=history.instants[0],
                updated_at=history.instants[-1],
            )
            for account_id, history in self._histories.items()
        ]

    def view(self, account_id: str, at: datetime) -> RecordedView:
        """Return the account's enrollments in their versions at `at`."""
        history = self._histories[account_id]
        key = (account_id, history.count_versions(at))
        view = self._views.pop(key, None) or RecordedView(history.find_state(at))
        self._views[key] = view
        if len(self._views) > _MAX_CACHED_VIEWS:
            self._views.popitem(last=False)
        return view
