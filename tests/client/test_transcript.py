"""Transcripts: bars are recognised however the output is split into pieces."""

from __future__ import annotations

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from athanor.client.transcript import Bar, Transcript


def read(*pieces: str) -> tuple[list[str], list[Bar]]:
    """The lines and the states of bars in these pieces of text."""
    lines: list[str] = []
    bars: list[Bar] = []
    transcript = Transcript(lines.append, bars.append)
    for piece in pieces:
        transcript.feed(piece)
    transcript.close()
    return lines, bars


def of_tqdm(**options: object) -> str:
    from tqdm import tqdm

    out = io.StringIO()
    for _ in tqdm(range(40), desc="train", file=out, mininterval=0, ncols=80, **options):  # type: ignore[call-overload]
        pass
    return out.getvalue()


def of_nested_tqdm() -> str:
    from tqdm import tqdm

    out = io.StringIO()
    for _ in tqdm(range(3), desc="epochs", file=out, mininterval=0, position=0):
        for _ in tqdm(range(5), desc="batches", file=out, mininterval=0, position=1, leave=False):
            pass
    return out.getvalue()


def of_rich() -> str:
    from rich.console import Console
    from rich.progress import Progress

    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=80)
    with Progress(console=console, auto_refresh=False) as progress:
        task = progress.add_task("train", total=40)
        for _ in range(40):
            progress.advance(task)
            progress.refresh()
    return out.getvalue()


def test_lines_without_bars() -> None:
    assert read("one\ntwo\r\n\n  three \x1b[31mred\x1b[0m\nfour") == (
        ["one", "two", "", "  three \x1b[31mred\x1b[0m", "four"],
        [],
    )


def test_a_tqdm_bar_is_progress_and_one_line() -> None:
    lines, bars = read(f"before\n{of_tqdm()}after\n")
    assert (lines[0], lines[-1], len(lines)) == ("before", "after", 3)
    assert lines[1].startswith("train: 100%|")
    assert (bars[-1].current, bars[-1].total, bars[-1].message) == (40, 40, "train")


@pytest.mark.parametrize("text", [of_nested_tqdm(), of_rich()], ids=["nested tqdm", "rich"])
def test_bars_of_several_rows_become_few_lines(text: str) -> None:
    lines, bars = read(f"before\n{text}\nafter\n")
    assert lines[0] == "before"
    assert lines[-1] == "after"
    assert len(lines) <= 6
    assert bars[-1].current == bars[-1].total


STATES = {
    "Epoch 3/10": Bar(3, 10, "Epoch"),
    "12.5% done": Bar(12.5, 100, ""),
    "train:  45%|████      | 45/100 [00:12<00:15]": Bar(45, 100, "train"),
    "\x1b[32mloading\x1b[0m 7 / 9": Bar(7, 9, "loading"),
}


@pytest.mark.parametrize("text", list(STATES))
def test_a_redrawn_row_is_read_as_a_bar(text: str) -> None:
    assert read(f"\r{text}")[1] == [STATES[text]]


@pytest.mark.parametrize("text", ["2026/11/24 10:00", "no number", "http://x/1/2", "5/3", "300%"])
def test_other_redrawn_rows_are_lines(text: str) -> None:
    assert read(f"\r{text}") == ([text], [])


OUTPUT = st.lists(
    st.sampled_from(["a", "7/9", "10%", "\r", "\n", "\r\n", "\x1b[A", "\x1b[2K", "\x1b[1m", "█", " "]),
    max_size=30,
).map("".join)


@settings(max_examples=500, deadline=None)
@given(st.one_of(OUTPUT, st.sampled_from([of_tqdm(), of_nested_tqdm(), of_rich()])), st.data())
def test_the_pieces_change_neither_the_lines_nor_the_last_bar(text: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    whole, split = read(text), read(*pieces)
    assert split[0] == whole[0]
    assert split[1][-1:] == whole[1][-1:] or not whole[1]


def test_a_row_without_an_end_is_bounded() -> None:
    lines, _ = read(*["x" * 100_000] * 10)
    assert "".join(lines) == "x" * 1_000_000
    assert max(map(len, lines)) < 400_000
