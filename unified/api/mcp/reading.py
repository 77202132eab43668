"""What an agent may read beside tools: a guide, a page for each list, and a prompt. None of it is of a workspace."""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from unified.api.mcp.tool import DATA
from unified.api.mcp.tools.records import usual_fields
from unified.store.lists.declared import LISTS, RecordList
from unified.store.records.tables import column_type

GUIDE = "unified://guide"
_TABLE = "unified://tables/"

PROMPT = "why_do_my_numbers_differ"
PROMPT_TEXT = "Find out why a number here is not what another system says."
PROMPT_ARGUMENTS: Mapping[str, str] = {
    "number": "Which number, e.g. revenue of October in EUR.",
    "expected": "What the other system says, and which system that is.",
}

_STEPS = """\
Find out why a number differs from what another system says. Change nothing.
The number: {number}
Expected: {expected}

1. Say what is counted: which entity, connection, status, currency, which of the times, and in which zone a day ends. \
Amounts of several currencies are never added.
2. unified_status of each connection concerned: when was it synced last, did a pull fail, are there rejects?
3. unified_explain_error where anything failed: records that are not stored are missing from each sum.
4. Count and sum here with unified_query, without rows that have deleted_at, by currency and by status; then once more \
with what is most often counted otherwise: drafts and void invoices, tax, credit notes, test accounts, the same \
customer in several systems (golden_customers).
5. Go down to single records where both sides can be compared: unified_get_record.
6. Say the difference, its parts with an amount each, and what is still open. Say what you did not find.
"""


@cache
def pages() -> Mapping[str, tuple[str, str]]:
    """What can be read: address → a line about it, and its Markdown."""
    guide = files("unified.api.mcp").joinpath("guide.md").read_text(encoding="utf-8")
    tables = {
        f"{_TABLE}{name}": (f"Fields and filters of {name}.", _page(which)) for name, which in LISTS.items()
    }
    return {GUIDE: ("How to ask for what is here, and what words mean.", guide), **tables}


def prompt(arguments: Mapping[str, str]) -> str:
    """The prompt, for a number that a person names."""
    known = {name: arguments.get(name) or "ask the person" for name in PROMPT_ARGUMENTS}
    return _STEPS.format(**known)


def _page(which: RecordList) -> str:
    usual = set(usual_fields(which))
    fields = [
        f"| {name} | {column_type(info.annotation)} | {'yes' if name in usual else 'if chosen'} | {info.description} |"
        for name, info in which.item.model_fields.items()
        if name in which.usual
    ]
    filters = [f"- `{name}`: {one.text}" for name, one in which.filters.items()]
    return "\n".join(
        [
            f"# {which.name}",
            "",
            f"In SQL the table `{which.table}`, whose columns have these names, but for `connection`.",
            DATA,
            "",
            "| field | type | shown | meaning |",
            "|---|---|---|---|",
            *fields,
            "",
            "## Filters",
            "",
            *filters,
            "",
        ]
    )
