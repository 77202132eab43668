"""The pages are true: each path, link, command, option and message that they name is there."""

import ast
import re
import shlex
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from unified.cli.main import app, load

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/*.md", "adapters/*/*.md", "benchmarks/*.md", "dbt/*.md")
    for path in ROOT.glob(pattern)
)

_PATH = re.compile(
    r"`((?:unified|unified_assets|adapters|resources|sensors|tests|benchmarks|docs)/[\w./-]+)`"
)
_ASSET = "unified/customers"  # in Dagster; it reads like a path
_LINK = re.compile(r"\]\(([^)\s]+)\)")
# A command on an indented line, after a prompt or not, or between backticks.
_COMMAND = re.compile(r"^    (?:\$ )?(?:uv run |\.venv/bin/)?(unified .+)$|`(unified [^`]+)`", re.MULTILINE)
_WORD = re.compile(r"[a-z][a-z-]*")


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives to a page's headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@cache
def command(name: str) -> Any:
    """A command of the first level; None where there is no such."""
    try:
        return load(name)
    except KeyError:
        return None


def faults(line: str) -> list[str]:
    """What a command line names that the command line does not have."""
    words = shlex.split(line, comments=True)[1:]
    if not words or not _WORD.fullmatch(words[0]):
        return []  # an option of `unified` itself, or a placeholder
    found = command(words[0])
    if found is None:
        return [f"no command {words[0]}"]
    for word in words[1:]:
        if not (inner := getattr(found, "commands", {})):
            break
        if word not in inner:
            return [] if word.startswith("-") or not _WORD.fullmatch(word) else [f"no command {word}"]
        found = inner[word]
    known = {name for param in found.params for name in (*param.opts, *param.secondary_opts)} | {"--help"}
    options = [word.partition("=")[0] for word in words if word.startswith("--")]
    return [f"no option {option}" for option in options if option not in known]


@pytest.mark.parametrize("page", PAGES)
def test_each_path_that_a_page_names_exists(page: str) -> None:
    named = {name for name in _PATH.findall(text_of(page)) if name != _ASSET}
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_each_module_that_the_architecture_lists_is_in_its_room() -> None:
    rooms = re.findall(r"^\| `([\w/]+)/` \| (.+?) \|", text_of("docs/architecture.md"), re.MULTILINE)
    listed = [(room, name) for room, holds in rooms for name in re.findall(r"`(\w+)/?`", holds)]
    missing = [
        (room, name)
        for room, name in listed
        if name != "unified"  # the command
        and not any(next((ROOT / room).rglob(each), None) for each in (name, f"{name}.py"))
    ]
    assert len(listed) > 40
    assert missing == []


@pytest.mark.parametrize("page", PAGES)
def test_each_link_leads_to_a_page_and_a_heading(page: str) -> None:
    broken = []
    for link in _LINK.findall(text_of(page)):
        name, _, anchor = link.partition("#")
        target = (ROOT / page).parent / name if name else ROOT / page
        if "://" in link:
            continue
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


# The changelog also names commands that earlier releases had.
@pytest.mark.parametrize("page", [page for page in PAGES if page != "CHANGELOG.md"])
def test_each_command_that_a_page_shows_is_one(page: str) -> None:
    lines = [shown or quoted for shown, quoted in _COMMAND.findall(text_of(page))]
    wrong = {}
    for line in lines:
        try:
            found = faults(line)
        except ValueError:
            continue  # a question that goes on over several lines
        if found:
            wrong[line] = found
    assert wrong == {}


def test_a_wrong_command_is_found() -> None:
    assert faults("unified sync main --ful") == ["no option --ful"]
    assert faults("unified conections add") == ["no command conections"]
    assert faults("unified connections ad stripe") == ["no command ad"]
    assert faults("unified connections add stripe main --secret-stdin  # a comment") == []


# An option by itself, as a sentence names it; those of other people's programs.
_OPTION = re.compile(r"`(--[a-z][a-z-]+)[^`\n]*`")
_FOREIGN = {"--network", "--enable-row-security"}


@cache
def options() -> set[str]:
    """Options of all commands."""
    whole: Any = get_command(app)
    left, found = [whole, *map(load, whole.commands)], {"--help"}
    while left:
        one = left.pop()
        left += getattr(one, "commands", {}).values()
        found |= {name for param in one.params for name in (*param.opts, *param.secondary_opts)}
    return found


# Benchmarks have options of their own, and the changelog names those of earlier releases.
@pytest.mark.parametrize("page", [page for page in PAGES if not page.startswith(("bench", "CHANGE"))])
def test_each_option_that_a_page_names_is_one(page: str) -> None:
    assert set(_OPTION.findall(text_of(page))) - options() - _FOREIGN == set()


@cache
def texts() -> str:
    """All texts of our code, each on a line; what is filled into one stands as a gap."""
    found = [(ROOT / "install").read_text(encoding="utf-8")]
    for path in (
        path for room in ("unified", "adapters", "resources") for path in (ROOT / room).rglob("*.py")
    ):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [part.value if isinstance(part, ast.Constant) else "\0" for part in node.values]
                found.append("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return "\n".join(" ".join(text.replace("`", "").split()) for text in found)


# Messages of ours with enough words to be recognised; what follows `PostgreSQL:` are the server's words.
_MESSAGES = [
    message
    for message in re.findall(r"^\| `+ ?(.+?) ?`+ \|", text_of("docs/troubleshooting.md"), re.MULTILINE)
    if len(message.split()) > 3 and not message.startswith("PostgreSQL:")
]


@pytest.mark.parametrize("message", _MESSAGES)
def test_each_message_to_look_up_is_one_of_ours(message: str) -> None:
    words = message.replace("`", "").split()
    assert any(" ".join(words[at : at + 3]) in texts() for at in range(len(words) - 2))


_QUERY = re.compile(r"(?:unified query [^\n]*?\"|^)\s*((?:SELECT|WITH)\b[^\";]*)", re.MULTILINE)
_AGGREGATE = re.compile(r"\b(?:count|sum|avg|min|max)\s*\(", re.IGNORECASE)


@pytest.mark.parametrize("page", PAGES)
def test_sums_over_records_leave_out_deleted_ones(page: str) -> None:
    """A table keeps the rows of records that were deleted at their source."""
    for query in _QUERY.findall(text_of(page)):
        if _AGGREGATE.search(query) and re.search(r"\bFROM unified_(?:customers|invoices|records)\b", query):
            assert "deleted_at IS NULL" in query, query
