"""The pages of the account as files: written once, and kept for later runs.

Belongs here: the format of the files, and finding a page in them. Accounts larger than the files are the files repeated,
with other ids, so that 10,000,000 enrollments need no more space than 200,000.
"""

from __future__ import annotations

import json
import mmap
import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from benchmarks.world.records import BLOCK_ROWS, MARK, build_courses, iterate_blocks

VERSION = 1
"""Raised when the records change: older files are not used."""
PAGE_ROWS, PAGE_USERS = 500, 200
MAX_REPEATS = 1_000
NAMES = ("enrollments", "enrollments_with_raw", "users", "courses")
MARK_BYTES = f'"{MARK}'.encode()


def write_world(root: Path, rows: int) -> Path:
    """Write the pages of an account of this many enrollments below `root`, unless they are there; return their folder."""
    folder = root / f"world-{VERSION}-{rows}"
    if folder.exists():
        return folder
    new = root / f"world-{os.getpid()}.new"
    new.mkdir(parents=True)
    try:
        _write_files(new, rows)
        new.replace(folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return folder


def _write_files(folder: Path, rows: int) -> None:
    offsets: dict[str, list[int]] = {name: [0] for name in NAMES}

    def write_page(name: str, records: Iterable[dict[str, Any]]) -> None:
        page = b",".join(_encode(record) for record in records)
        files[name].write(page)
        offsets[name].append(offsets[name][-1] + len(page))

    files: dict[str, BinaryIO] = {name: (folder / f"{name}.bin").open("wb") for name in NAMES}
    try:
        write_page("courses", build_courses())
        for block in iterate_blocks(rows):
            write_page("users", block.users)
            for start in range(0, BLOCK_ROWS, PAGE_ROWS):
                page = slice(start, start + PAGE_ROWS)
                records = block.enrollments[page]
                write_page("enrollments", records)
                pairs = zip(records, block.raw[page], strict=True)
                write_page("enrollments_with_raw", ({**record, "remote_data": raw} for record, raw in pairs))
    finally:
        for file in files.values():
            file.close()
    (folder / "offsets.json").write_text(json.dumps(offsets), encoding="utf-8")


def _encode(record: dict[str, Any]) -> bytes:
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode()


class World:
    """The pages in a folder, by number; a number beyond the last page repeats the pages with other ids."""

    def __init__(self, folder: Path) -> None:
        self._offsets: dict[str, Sequence[int]] = json.loads((folder / "offsets.json").read_text(encoding="utf-8"))
        self._bytes = {name: _map_file(folder / f"{name}.bin") for name in NAMES}

    def count_pages(self, name: str, rows: int) -> int:
        """Return the pages of a list in an account of this many enrollments."""
        if name == "users":
            return rows // BLOCK_ROWS
        return min(rows, 1) if name == "courses" else rows // PAGE_ROWS

    def read_page(self, name: str, number: int) -> bytes | memoryview:
        """Return the records of a page, joined by commas."""
        offsets = self._offsets[name]
        repeat, index = divmod(number, len(offsets) - 1)
        page = memoryview(self._bytes[name])[offsets[index] : offsets[index + 1]]
        if not repeat:
            return page
        if repeat >= MAX_REPEATS:
            raise ValueError(f"The pages can be repeated {MAX_REPEATS} times, not {repeat}.")
        return bytes(page).replace(MARK_BYTES, b'"%03d-' % repeat)

    def read_bodies(self, name: str, rows: int) -> list[bytes]:
        """Return the bodies of all responses of a list, in their order."""
        pages = self.count_pages(name, rows)
        return [b"".join(self.build_body(name, number, pages)) for number in range(pages)]

    def build_body(self, name: str, number: int, pages: int) -> list[bytes | memoryview]:
        """Return the parts of the body of a response; the cursor is the number of the next page, in hex."""
        if number >= pages:
            return [b'{"result":[],"next_cursor":null,"result_count":0}']
        cursor = b'"%s"' % str(number + 1).encode().hex().encode() if number + 1 < pages else b"null"
        return [b'{"result":[', self.read_page(name, number), b'],"next_cursor":', cursor, b"}"]


def _map_file(path: Path) -> mmap.mmap:
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)


def list_pairs(folder: Path, count: int) -> list[tuple[str, str]]:
    """Return the ids of user and course of the first enrollments."""
    pairs = [(record["user"]["id"], record["course"]["id"]) for record in _decode_records(World(folder), count)]
    return pairs[:count]


def index_pairs(world: World, count: int) -> dict[tuple[str, str], bytes]:
    """Return the first enrollments as JSON, by the ids of user and course."""
    return {(record["user"]["id"], record["course"]["id"]): _encode(record) for record in _decode_records(world, count)}


def _decode_records(world: World, count: int) -> list[dict[str, Any]]:
    pages = -(-count // PAGE_ROWS)
    records: list[dict[str, Any]] = []
    for number in range(pages):
        records += json.loads(b"[" + bytes(world.read_page("enrollments_with_raw", number)) + b"]")
    return records[:count]
