"""Transcripts: bars are recognised however the output is split into pieces."""

from __future__ import annotations

import io
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from athanor.client.output.bar import Bar
from athanor.client.output.tracebacks import Tracebacks
from athanor.client.output.transcript import Transcript


def read(*pieces: str) -> tuple[list[str], list[Bar]]:
    """The lines and the states of bars in these pieces of text."""
    lines: list[str] = []
    bars: list[Bar] = []
    errors: list[Exception] = []
    transcript = Transcript(
        lambda line, at: lines.append(line), lambda shown: bars.append(shown[0]), errors.append
    )
    for piece in pieces:
        transcript.feed(piece)
    transcript.close()
    assert not errors
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


# what a terminal shows after each of these, as lines
SHOWN = {
    "old\x1b[2K\x1b[1Gnew\n": ["new"],
    "old text\x1b[Gnew\n": ["new text"],
    "abcdef\x1b[3Dx\n": ["abcxef"],
    "abc\b\b\bxyz\n": ["xyz"],
    "12345\x1b[3G\x1b[K!\n": ["12!"],
    "12345\x1b[3G\x1b[1K\n": ["   45"],
    "ab\x1b[5Cc\n": ["ab     c"],
    "日本語\x1b[4D__\n": ["日__語"],
    "loading\rdone   \n": ["done"],
    "a\r\nb\r\r\n": ["a", "b"],
    "save\x1b7 this\x1b8 that\n": ["save that"],
    "title \x1b]0;a title\x07shown\n": ["title shown"],
    f"link \x1b]8;;http://x/{'y' * 100_000}\x1b\\text\x1b]8;;\x1b\\\n": ["link text"],
    f"kitty \x1b_Gf=100;{'A' * 200_000}\x1b\\done\n": ["kitty done"],
    f"sixel \x1bPq{'~-' * 50_000}\n{'~' * 1000}\x1b\\done\n": ["sixel done"],
    "\x1b]0;never ended\nnext\n": ["", "next"],
    "bell\a\n": ["bell"],
    "\x1b[?25l\x1b[1mbold\x1b[0m\x1b[?25h\n": ["\x1b[1mbold\x1b[0m"],
    "\x1b[31mred\nred too\x1b[0m\nplain\n": ["\x1b[31mred\x1b[0m", "\x1b[31mred too\x1b[0m", "plain"],
    "\x1b[1;31mx\x1b[22my\x1b[m\n": ["\x1b[1;31mx\x1b[22my\x1b[m"],
    "\x1b[38;5;9;48;2;1;2;3mx\ny\n": [
        "\x1b[38;5;9;48;2;1;2;3mx\x1b[0m",
        "\x1b[38;5;9;48;2;1;2;3my\x1b[0m",
    ],
    "\x1b[32mok\x1b[0m\rno\n": ["no"],
    f"\x1b[{'9' * 5000}mx\x1b[{'9' * 5000}Ay\n": ["xy"],
    "grep \x1b[01;31m\x1b[K3/10\x1b[m\x1b[K\n": ["grep \x1b[01;31m3/10\x1b[m"],
}


@pytest.mark.parametrize("text", list(SHOWN), ids=range(len(SHOWN)))
def test_controls_are_understood_as_a_terminal_does(text: str) -> None:
    for pieces in ([text], list(text) if len(text) < 20_000 else [text[:7], text[7:]]):
        lines, bars = read(*pieces)
        assert [_normal(line) for line in lines] == [_normal(line) for line in SHOWN[text]]
        assert bars == []


def _normal(line: str) -> str:
    """Several sequences may mean the same colour."""
    return (
        line.replace("\x1b[m", "\x1b[0m")
        .replace("\x1b[01;", "\x1b[1;")
        .replace("\x1b[1;31m", "\x1b[1;31m")
    )


def test_lines_between_nested_bars_are_lines_at_once() -> None:
    """tqdm.write clears the bars, writes above them, and draws them again."""
    from tqdm import tqdm

    recorded: list[tuple[str, int]] = []
    steps = 0
    shown: list[list[Bar]] = []
    transcript = Transcript(
        lambda line, at: recorded.append((line, steps)), shown.append, lambda error: None
    )

    class Out(io.StringIO):
        def write(self, text: str) -> int:
            transcript.feed(text)
            return len(text)

    out = Out()
    for epoch in tqdm(range(3), desc="epochs", file=out, mininterval=0, position=0, ncols=80):
        for _ in tqdm(
            range(4), desc="batches", file=out, mininterval=0, position=1, leave=False, ncols=80
        ):
            steps += 1
            tqdm.write(f"line {steps}", file=out)
        if epoch == 1:
            # a logging record goes where the cursor is, after the bar
            out.write("WARNING:root:record\n")
    transcript.close()
    lines = [line for line, _ in recorded]
    assert [(line, at) for line, at in recorded if line.startswith("line")] == [
        (f"line {number}", number) for number in range(1, 13)
    ]
    assert "WARNING:root:record" in lines
    assert [line for line in lines if line.startswith("epochs")] == [lines[-1]]
    assert lines[-1].startswith("epochs: 100%|")
    assert max(map(len, shown)) == 2
    both = [bars for bars in shown if len(bars) == 2]
    assert all((outer.message, inner.message) == ("epochs", "batches") for outer, inner in both)


def test_two_bars_of_rich_and_the_lines_above_them() -> None:
    from rich.console import Console
    from rich.progress import Progress

    recorded: list[tuple[str, int]] = []
    shown: list[list[Bar]] = []
    step = 0
    transcript = Transcript(
        lambda line, at: recorded.append((line, step)), shown.append, lambda error: None
    )

    class Out(io.StringIO):
        def write(self, text: str) -> int:
            transcript.feed(text)
            return len(text)

    console = Console(file=Out(), force_terminal=True, width=80)
    with Progress(console=console, auto_refresh=False) as progress:
        one, two = progress.add_task("one", total=10), progress.add_task("two", total=20)
        for step in range(1, 11):
            progress.advance(one)
            progress.advance(two)
            progress.refresh()
            console.print(f"hello {step}", highlight=False)
    transcript.close()
    assert [(line, at) for line, at in recorded if line.startswith("hello")] == [
        (f"hello {number}", number) for number in range(1, 11)
    ]
    final = [line for line, _ in recorded if line.startswith(("one", "two"))]
    assert 2 <= len(final) <= 5
    assert [bar.message for bar in shown[3]] == ["one", "two"]
    assert (shown[-1][-1].current, shown[-1][-1].total) == (50, 100)


def test_a_line_that_is_kept_has_the_time_at_which_it_was_written() -> None:
    times: list[datetime | None] = []
    transcript = Transcript(lambda line, at: times.append(at), lambda bars: None, lambda error: None)
    before = datetime.now(UTC)
    transcript.feed("\r 50%|5/10")
    transcript.feed("\n")
    after = datetime.now(UTC)
    assert times == []
    transcript.feed("later\n")
    assert times[0] is not None
    assert before <= times[0] <= after


def test_an_error_in_reading_falls_back_to_plain_lines_and_is_reported_once() -> None:
    lines: list[str] = []
    errors: list[Exception] = []
    transcript = Transcript(lambda line, at: lines.append(line), lambda bars: None, errors.append)
    transcript.feed("one\n")

    def broken(*_: object) -> None:
        raise RuntimeError("a defect")

    transcript._screen.control = broken  # type: ignore[assignment,method-assign]
    transcript.feed("two\rtwo\nthree")
    transcript.feed("\r\nfour\x1b[Afive")
    transcript.close()
    # what was read of the piece before the error may be there twice, but nothing is missing
    assert lines[0] == "one"
    assert lines[-3:] == ["two\rtwo", "three", "four\x1b[Afive"]
    assert [str(error) for error in errors] == ["a defect"]


_TEXT = ["a", "7/9", "10%", "█", "日", " ", "100%|##| 4/4 [00:00<00:00]"]
_CHARACTERS = [
    "\r",
    "\n",
    "\r\n",
    "\b",
    "\a",
    "\t",
    "\x1b",
    "\x1b7",
    "\x1b8",
    "\x1b]0;t",
    "\x1bP",
    "\x1b\\",
]
_SEQUENCES = [
    "A", "2A", "B", "3C", "D", "F", "G", "K", "1K", "2K", "J", "2J", "H", "1m", "31m", "m", "?25l",
    "?25h", "999999999A",
]  # fmt: skip
OUTPUT = st.lists(
    st.sampled_from([*_TEXT, *_CHARACTERS, *(f"\x1b[{sequence}" for sequence in _SEQUENCES)]),
    max_size=40,
).map("".join)


@settings(max_examples=300, deadline=None)
@given(st.one_of(OUTPUT, st.sampled_from([of_tqdm(), of_nested_tqdm(), of_rich()])), st.data())
def test_the_pieces_change_neither_the_lines_nor_the_last_bar(text: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    whole, split = read(text), read(*pieces)
    assert split[0] == whole[0]
    assert split[1][-1:] == whole[1][-1:] or not whole[1]


@settings(max_examples=300, deadline=None)
@given(st.text(st.characters(codec="utf-8"), max_size=200), OUTPUT)
def test_plain_lines_between_any_output_are_never_lost(text: str, other: str) -> None:
    """Whatever comes before, except a picture without an end, lines without controls are stored."""
    marked = "marked line"
    plain = "".join(character for character in text if character.isprintable())
    lines, _ = read(
        f"{plain}\n{marked} 1\n", other, "\x1b\\\x1b[m\r\n\x1b[2J", f"{marked} 2\n", f"{marked} 3\n"
    )
    assert lines[0] == plain
    assert [line for line in lines if line.startswith(marked)][-2:] == [f"{marked} 2", f"{marked} 3"]


def test_a_row_without_an_end_is_bounded() -> None:
    lines, _ = read(*["x" * 100_000] * 10)
    assert "".join(lines) == "x" * 1_000_000
    assert max(map(len, lines)) < 400_000


def test_tracebacks_are_errors() -> None:
    text = """\
starting
Traceback (most recent call last):
  File "train.py", line 3, in <module>
    main()
ValueError: no data

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "train.py", line 5, in <module>
KeyError: 'x'
ending
  + Exception Group Traceback (most recent call last):
  |   File "x.py", line 1, in <module>
  | ExceptionGroup: two (2 sub-exceptions)
  +-+---------------- 1 ----------------
    | ValueError: 1
    +------------------------------------
  File "broken.py", line 1
    a b
      ^
SyntaxError: invalid syntax
going on"""
    levels = Tracebacks()
    errors = [line for line in text.splitlines() if levels.level(line) == "error"]
    plain = [line for line in text.splitlines() if line not in errors]
    assert plain == ["starting", "", "", "ending", "going on"] or plain == ["starting", "", "going on"]
