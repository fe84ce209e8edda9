"""The page that compares the fake AWS with emulators says what the conformance tests ask."""

import re

import pytest
from table import OFFERS, TARGETS, TITLES, Behaviour, behaviours, page, versions

from services import ROOT

PAGE = ROOT / "docs" / "reference" / "conformance.md"


@pytest.fixture(scope="module")
def rows() -> list[list[str]]:
    """The cells of every row, heads left out."""
    lines = re.findall(r"^\| (?!behaviour)(.*) \|$", PAGE.read_text(), re.MULTILINE)
    return [line.split(" | ") for line in lines]


def test_every_behaviour_has_its_row(rows: list[list[str]]) -> None:
    assert [row[:2] for row in rows] == [[one.sentence, one.provenance] for one in behaviours()]


def test_the_fake_aws_has_all_of_them(rows: list[list[str]]) -> None:
    assert {row[2 + TARGETS.index("twin")] for row in rows} == {"yes"}


def test_emulators_are_asked_about_what_they_offer(rows: list[list[str]]) -> None:
    for one, row in zip(behaviours(), rows, strict=True):
        for target, cell in zip(TARGETS, row[2:], strict=True):
            offered = one.service in OFFERS.get(target, set(TITLES))
            assert cell in ({"yes", "**no**"} if offered else {"–"}), (one.name, target)


def test_versions_are_those_that_are_pinned() -> None:
    text = PAGE.read_text()
    assert versions().keys() == OFFERS.keys()
    for name, version in versions().items():
        assert re.search(rf"{name}\s+{re.escape(version)}", text), name


def test_a_behaviour_is_a_sentence_that_stands_once() -> None:
    sentences = [one.sentence for one in behaviours()]
    assert len(set(sentences)) == len(sentences) >= 60
    assert all(re.fullmatch(r"[A-Z][^\n|]*\.", sentence) for sentence in sentences)


def test_what_did_not_run_does_not_hold() -> None:
    def cells(outcomes: dict[str, dict[str, str | None]], one: Behaviour) -> str:
        return next(line for line in page(outcomes, versions()).split("\n") if one.sentence in line)

    one, *_ = behaviours()
    nothing: dict[str, dict[str, str | None]] = {target: {} for target in TARGETS}
    assert cells(nothing, one).count("**no**") == 2
    held = nothing | {"twin": {one.name: None}, "ministack": {one.name: None}}
    assert cells(held, one).count("yes") == 2
