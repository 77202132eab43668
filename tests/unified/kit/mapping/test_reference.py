"""The examples of docs/rules.md, run; the reference names every step; the labelled mappings work as rules."""

import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from tests.unified.kit.mapping.records import ORIGIN, filled
from unified.kit.decoding import decode_exactly
from unified.kit.mapping import steps
from unified.kit.mapping.compiled import StreamMapping, check
from unified.kit.mapping.expressions.functions import FILTERS, METHODS, TESTS
from unified.kit.mapping.refusals import RuleError
from unified.kit.mapping.rules import StreamRules, read_rules
from unified.kit.mapping.targets import CUSTOM
from unified.schema import UnifiedInvoice
from unified.schema.entities import ENTITIES
from unified.schema.unusable import has_unusable

ROOT = Path(__file__).parents[4]
DOCS = (ROOT / "docs" / "rules.md").read_text()
EXAMPLES = [
    line for block in re.findall(r"```json\n(.*?)```", DOCS, re.DOTALL) for line in block.splitlines()
]
GOLD = ROOT.parent / "shared" / "data" / "mapping" / "gold.json"
MODELS = {entity.name: entity.model for entity in ENTITIES}


def shown(value: Any) -> Any:
    """A value as the reference writes it."""
    if isinstance(value, tuple | list):
        return [shown(one) for one in value]
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json", exclude_defaults=True)
    return (
        value.isoformat()
        if hasattr(value, "isoformat")
        else str(value)
        if isinstance(value, Decimal)
        else value
    )


@pytest.mark.parametrize("line", EXAMPLES)
def test_an_example_is_true(line: str) -> None:
    example = msgspec.json.decode(line)
    model = MODELS[example.get("entity", "customers")]
    # With its digits, as a stored record is decoded.
    record = decode_exactly(msgspec.json.decode(line, type=dict[str, msgspec.Raw])["record"])
    if "stream" in example:
        made = StreamMapping(model, StreamRules.model_validate(example["stream"])).to_unified(record, ORIGIN)
        assert {name: getattr(made, name) for name in example["fills"]} == example["fills"]
        return
    rule = example["rule"]
    made = filled(record, rule, model=model)
    assert not has_unusable(made)
    found: Any = made
    for name in rule["target"].split("."):
        found = found[name] if isinstance(found, dict) else getattr(found, name)
    assert shown(found) == example["fills"]


def test_the_reference_has_an_example_of_every_step_and_names_every_function() -> None:
    used = set(re.findall(r'"do": "(\w+)"', DOCS)) | set(re.findall(r'"steps": \["(\w+)"', DOCS))
    used |= set(re.findall(r'[\[,] ?"(\w+)"\]', DOCS))
    declared = {get_args(one.model_fields["do"].annotation)[0] for one in get_args(steps.Known)}
    assert declared <= used
    for known in (FILTERS, METHODS, TESTS):
        assert [name for name in known if name not in ("count", "d") and f"`{name}`" not in DOCS] == []


@pytest.mark.skipif(not GOLD.exists(), reason="the labelled mappings lie beside the checkout, in shared/data")
def test_labelled_mappings_fill_their_fields() -> None:
    """Integers as text, dates, ``/Date(ms)/``, words in capitals and parts of addresses among them."""
    how = {"date:s": [{"do": "moment", "unit": "s"}], "date:ms": [{"do": "moment", "unit": "ms"}],
           "enum": [{"do": "enum", "table": {"20": "open", "50": "paid"}}]}  # fmt: skip
    tried = 0
    for labelled in json.loads(GOLD.read_text())["objects"]:
        model = MODELS[labelled["stream"]]
        for field in labelled["fields"]:
            if field["target"] in (None, "source_id"):
                continue
            rule = {
                "target": field["target"],
                "source": field["path"],
                "steps": how.get(field.get("how"), []),
            }
            check(model, read_rules(rule))
            for sample in field["samples"]:
                raw: Any = msgspec.json.encode(sample)
                for key in reversed(field["path"].split(".")):
                    raw = (
                        b"[%b]" % raw
                        if key == "0"
                        else b"[null,%b]" % raw
                        if key == "1"
                        else b'{"%b":%b}' % (key.encode(), raw)
                    )
                made = filled(decode_exactly(raw), rule, model=model)
                assert not has_unusable(made), (labelled["source"], field["path"], sample)
                tried += sample is not None
    assert tried > 50


def test_identity_is_not_filled_and_unknown_entities_have_no_rules() -> None:
    for name in ("source_id", "unified_id", "raw_data", CUSTOM + "."):
        with pytest.raises(RuleError, match="can't fill"):
            check(UnifiedInvoice, read_rules({"target": name, "source": "a"}))
