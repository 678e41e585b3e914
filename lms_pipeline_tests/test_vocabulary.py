"""Identifiers use the vocabulary of docs/architecture.md: one word for one thing."""

import io
import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
REPLACED = {"told", "tell", "asked", "wanted", "taking", "anew", "alone", "foreseen", "circumstances"}
"""Words that say nothing about what a thing is; each has a term of the field instead."""
PUBLIC = {
    "few_are_told_by_others": "the name of a check, which users see in Dagster",
    "asked_at": "a column of the Parquet files in state/details",
    "circumstances": "a column of the table attempts in answers/*.sqlite",
}


def split_words(identifier: str) -> set[str]:
    """Split at underscores, digits and capitals."""
    return {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", identifier)}


def find_identifiers(source: str) -> set[str]:
    """Return every name of a module, those inside f-strings too."""
    names: set[str] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.NAME:
            names.add(token.string)
        elif token.type == tokenize.STRING and re.match(r"[rRbB]*[fF]", token.string):
            names.update(re.findall(r"[A-Za-z_]\w*", " ".join(re.findall(r"\{([^{}]*)\}", token.string))))
    return names


@pytest.mark.parametrize(
    ("identifier", "words"),
    [("find_told", {"find", "told"}), ("TestAlone", {"test", "alone"}), ("HTTPToldError2", {"http", "told", "error"})],
)
def test_an_identifier_is_split_at_underscores_and_capitals(identifier, words):
    assert split_words(identifier) == words


def test_names_in_f_strings_count():
    assert "told" in find_identifiers('text = f"{told:>3} rows"\n')


@pytest.mark.parametrize("folder", ["lms_pipeline", "lms_pipeline_tests", "benchmarks"])
def test_no_identifier_has_a_replaced_word(folder):
    found = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in (ROOT / folder).rglob("*.py")
        for name in find_identifiers(path.read_text(encoding="utf-8")) - PUBLIC.keys()
        if split_words(name) & REPLACED
    }
    assert found == set()


def test_every_public_name_is_still_used():
    text = "\n".join(
        path.read_text(encoding="utf-8")
        for path in (ROOT / "lms_pipeline").rglob("*.*")
        if path.suffix in {".py", ".sql"}
    )
    assert [name for name in PUBLIC if not re.search(rf"\b{name}\b", text)] == []
