"""The demo, in a tenth of its size: it ends well, and it would not if the mirror differed."""

from pathlib import Path

import pytest

from shardarrow.demo import story
from shardarrow.demo.emulator import Emulator


def test_the_demo_ends_with_equal_tables(
    emulator_python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(story, "CHANGES", 400)
    monkeypatch.setattr(story, "REPORT_SECONDS", 0.2)
    with Emulator(emulator_python) as emulator:
        demo = story.Demo(emulator, tmp_path)
        assert demo.run() == 0, capsys.readouterr().out
        told = capsys.readouterr().out
        assert "the loader is killed (SIGKILL) and started again" in told
        assert "row by row: equal, to the last digit" in told

        demo.orders.dynamodb.put_item(
            TableName=story.TABLE, Item={"id": {"S": demo.orders.LAST}, "n": {"N": "1"}}
        )
        assert demo._compare() == 1
        assert "1 DIFFERENCES" in capsys.readouterr().out


def test_the_demo_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(story, "NEEDS", ("duckdb", "there_is_no_such_module"))
    assert story.run() == 1
    assert (
        capsys.readouterr().out == "The demo needs there_is_no_such_module: pip install 'shardarrow[demo]'\n"
    )
