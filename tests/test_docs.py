"""Every `mobilegeo …` line in a shell block of README and docs is a command that exists."""

from __future__ import annotations

import re
import shlex
from typing import Any

import pytest
import typer

from conftest import REPOSITORY
from mobilegeo.cli import DEBUG, app

PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
_BLOCK = re.compile(
    r"^[ \t]*```[ \t]*(?:bash|console|sh|shell)\b[^\n]*\n(.*?)^[ \t]*```", re.M | re.S
)
_END_OF_COMMAND = re.compile(r"[|&;]+|\d?>+&?\d?|<")
_Misuse = typer.BadParameter.__base__


def shell_lines(markdown: str) -> list[str]:
    """The `mobilegeo …` lines of all shell blocks, continued lines joined, prompts left out."""
    blocks = (match[1].replace("\\\n", " ") for match in _BLOCK.finditer(markdown))
    lines = (line.strip().removeprefix("$ ") for block in blocks for line in block.splitlines())
    return [line for line in lines if line.startswith("mobilegeo ")]


def arguments_of(line: str) -> list[str]:
    """What follows `mobilegeo` up to a pipe, a redirection or a comment."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
    lexer.whitespace_split = True
    words = list(lexer)
    end = next((i for i, word in enumerate(words) if _END_OF_COMMAND.fullmatch(word)), len(words))
    return [word for word in words[1:end] if word != DEBUG]


def parse(arguments: list[str]) -> str:
    """Parses as the command line would, runs nothing, and returns the command's name.

    Raises:
        click's UsageError: there is no such command or option, or an argument is missing.
    """
    name: str | None = "mobilegeo"
    command: Any = typer.main.get_command(app)
    context = None
    while hasattr(command, "commands"):
        context = command.make_context(name, [], parent=context, resilient_parsing=True)
        if arguments in ([], ["--help"]):
            return str(context.command_path)
        context.resilient_parsing = False
        name, command, arguments = command.resolve_command(context, arguments)
    if "--help" in arguments:
        return f"{context.command_path} {name}" if context else str(name)
    return str(command.make_context(name, arguments, parent=context).command_path)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(REPOSITORY).as_posix())
def test_commands_in_docs_exist(page) -> None:
    if not page.is_file():
        pytest.skip(f"{page.name} is not written yet")
    for line in shell_lines(page.read_text(encoding="utf-8")):
        try:
            parse(arguments_of(line))
        except _Misuse as error:
            pytest.fail(f"{page.name}: {line}\n{error.format_message()}")


def test_lines_are_found() -> None:
    page = (
        "mobilegeo no block\n```bash\npip install mobilegeo\nmobilegeo demo  # a minute\n"
        "mobilegeo locate a.jpg \\\n  --map p\n```\n```console\n$ mobilegeo map info p\nbounds …\n"
        "```\n```python\nmobilegeo = 1\n```\n"
    )
    lines = shell_lines(page)
    assert [line.split() for line in lines] == [
        ["mobilegeo", "demo", "#", "a", "minute"],
        ["mobilegeo", "locate", "a.jpg", "--map", "p"],
        ["mobilegeo", "map", "info", "p"],
    ]
    assert arguments_of(lines[0]) == ["demo"]


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("mobilegeo demo --out d --json | tee x", "mobilegeo demo"),
        ("mobilegeo locate *.JPG --map p --near=-1,2 --json > fixes.jsonl", "mobilegeo locate"),
        ("mobilegeo map build 'a b.tif' c.tif -o p --footprint-m 60,120", "mobilegeo map build"),
        ("mobilegeo map --help", "mobilegeo map"),
        ("mobilegeo locate --help", "mobilegeo locate"),
        ("mobilegeo encoders list && mobilegeo nonsense", "mobilegeo encoders list"),
    ],
)
def test_good_lines_pass(line: str, command: str) -> None:
    assert parse(arguments_of(line)) == command


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("mobilegeo fly", "No such command"),
        ("mobilegeo map bild x -o y", "No such command"),
        ("mobilegeo locate a.jpg --map p --speed 3", "No such option"),
        ("mobilegeo locate a.jpg", "Missing option"),
        ("mobilegeo map info", "Missing argument"),
        ("mobilegeo locate a.jpg --map p --top many", "Invalid value"),
        ("mobilegeo map info p q", "unexpected extra argument"),
    ],
)
def test_bad_lines_are_caught(line: str, problem: str) -> None:
    with pytest.raises(_Misuse) as caught:
        parse(arguments_of(line))
    assert problem in caught.value.format_message()
