"""Rules at work: they fill fields, parts, lines and custom fields; what fails costs its field, or the record."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from tests.unified.kit.mapping.records import NOW, ORIGIN, filled, mapped
from unified.kit.decoding import decode_exactly
from unified.kit.errors import MappingError
from unified.kit.mapping.compiled import StreamMapping, check
from unified.kit.mapping.refusals import RuleError
from unified.kit.mapping.rules import Rule, StreamRules, digest, read_rules
from unified.schema import InvoiceStatus, UnifiedAddress, UnifiedCustomer, UnifiedEvent, UnifiedInvoice
from unified.schema.unusable import has_unusable

RAW: dict[str, Any] = {
    "metadata": {"vat": "CHE-1", "tier": "gold"},
    "lists": [{"id": 7}],
    "city": "Zug",
    "mail": "not an address",
    "rate": Decimal("1.10"),
    "long": Decimal("12345678901234567.891"),
    "number": 20260012,
}


def test_rules_fill_fields_and_custom_fields() -> None:
    customer = filled(
        RAW,
        {"source": "metadata.vat", "target": "tax_number"},
        {"source": "metadata.tier", "target": "custom_fields.tier"},
        {"source": "lists.0.id", "target": "custom_fields.first"},
        {"source": "metadata.absent", "target": "name"},
        {"source": "lists.9.id", "target": "custom_fields.none"},
        model=UnifiedCustomer,
        name="Ada",
        custom_fields={"kept": 1},
    )
    assert isinstance(customer, UnifiedCustomer)
    assert (customer.tax_number, customer.name) == ("CHE-1", "Ada")
    assert customer.custom_fields == {"kept": 1, "tier": "gold", "first": 7}


def test_an_object_is_looked_through_for_fractions_where_its_record_may_have_some() -> None:
    rules = [
        ("event_type", "type"),
        ("occurred_at", "at"),
        ("payload", "data"),
        ("custom_fields.all", "data"),
    ]
    declared = [{"target": target, "source": source} for target, source in rules]
    mapping = StreamMapping(
        UnifiedEvent, StreamRules.model_validate({"id": {"paths": ["id"]}, "rules": declared})
    )

    def of(raw: Any) -> tuple[Any, Any]:
        event = mapping.to_unified(raw, ORIGIN)
        assert isinstance(event, UnifiedEvent)
        assert event.custom_fields["all"] == event.payload
        return event.payload, raw["data"]

    written = '{"id": 1, "type": "x", "at": 1, "data": {"n": %s, "of": [%s]}}'
    whole = decode_exactly((written % (1, 2)).encode())
    payload, data = of(whole)
    assert payload is data
    broken = decode_exactly((written % ("1.50", "12345678901234567.891")).encode())
    assert of(broken)[0] == {"n": 1.5, "of": ["12345678901234567.891"]}
    decode_exactly((written % (1, 2)).encode())  # another record than the one that is mapped
    payload, _ = of(broken)
    assert payload == {"n": 1.5, "of": ["12345678901234567.891"]}
    assert type(payload["n"]) is float
    assert of(whole)[0] == {"n": 1, "of": [2]}


def test_a_rule_that_fails_costs_its_field_and_a_required_one_the_record() -> None:
    rule = {"source": "mail", "target": "email"}
    customer = filled(RAW, rule, model=UnifiedCustomer, email="ada@example.com")
    assert isinstance(customer, UnifiedCustomer)
    assert customer.email == "ada@example.com"
    assert customer.custom_fields == {"invalid_email": "not an address"}
    assert has_unusable(customer)
    with pytest.raises(MappingError, match="email: it is not an e-mail address"):
        filled(RAW, {**rule, "required": True}, model=UnifiedCustomer)


def test_an_amount_that_can_not_be_read_is_kept_aside() -> None:
    invoice = filled({"sum": "ten"}, {"source": "sum", "target": "total"}, total=Decimal(5))
    assert isinstance(invoice, UnifiedInvoice)
    assert (invoice.total, invoice.custom_fields) == (Decimal(5), {"invalid_total": "ten"})


def test_a_part_of_an_address_is_filled_beside_those_that_are_there() -> None:
    customer = filled(
        RAW,
        {"source": "city", "target": "billing_address.city"},
        {"source": "city", "target": "shipping_address.city"},
        {"source": "lists", "target": "billing_address.state"},
        model=UnifiedCustomer,
        billing_address=UnifiedAddress(country="CH", state="ZG"),
    )
    assert isinstance(customer, UnifiedCustomer)
    assert customer.billing_address == UnifiedAddress(country="CH", city="Zug", state="ZG")
    assert customer.shipping_address == UnifiedAddress(city="Zug")
    assert customer.custom_fields == {"invalid_billing_address.state": [{"id": 7}]}


@pytest.mark.parametrize(
    ("target", "value", "held"),
    [
        ("invoice_number", 20260012, "20260012"),
        ("issue_date", "2026-08-31", datetime(2026, 8, 31, tzinfo=UTC)),
        ("issue_date", "2026-08-31 10:00:00", datetime(2026, 8, 31, 10, tzinfo=UTC)),
        ("due_date", "/Date(1793836800000)/", datetime(2026, 11, 5, tzinfo=UTC)),
        ("status", "PAID", InvoiceStatus.PAID),
        ("currency", "usd", "USD"),
        ("tags", "vip", ("vip",)),
        ("tags", [1, "b", ""], ("1", "b")),
        ("memo", "", None),
        ("total", Decimal("121.10"), Decimal("121.10")),
        ("total", "121.10", Decimal("121.10")),
        ("total", 121, Decimal(121)),
        ("livemode", "true", True),
        ("is_active", 0, False),
        ("line_items", [], ()),
    ],
)
def test_a_field_reads_a_value_by_its_type(target: str, value: Any, held: Any) -> None:
    record = filled({"v": value}, {"source": "v", "target": target})
    assert getattr(record, target) == held
    assert not has_unusable(record)


@pytest.mark.parametrize(
    ("target", "value", "reason"),
    [
        ("status", "gone", "it is not one of draft, submitted"),
        ("total", "1,5", "a number was expected, not such text"),
        ("total", 1.5, "a double is not exact"),
        ("total", True, "not true or false"),
        ("issue_date", [], "a number was expected, not a list"),
        ("memo", {}, "text was expected, not an object"),
        ("billing_address", "Zug", "an object was expected, not text"),
        ("sequence", Decimal("1.5"), "a whole number was expected"),
        ("sequence", 10**30, "a whole number was expected"),
        ("payload", "text", "an object was expected"),
    ],
)
def test_a_field_says_why_it_can_not_read_a_value(target: str, value: Any, reason: str) -> None:
    model = {"billing_address": UnifiedCustomer, "sequence": UnifiedEvent, "payload": UnifiedEvent}
    with pytest.raises(MappingError, match=reason):
        filled(
            {"v": value},
            {"source": "v", "target": target, "required": True},
            model=model.get(target, UnifiedInvoice),
        )


def test_custom_fields_keep_numbers_exactly_and_take_whole_objects() -> None:
    customer = filled(
        RAW,
        {"source": "rate", "target": "custom_fields.rate"},
        {"source": "long", "target": "custom_fields.long"},
        {"source": "metadata", "target": "custom_fields"},
        {"source": "lists", "target": "custom_fields.tier"},
    )
    assert customer.custom_fields == {
        "rate": 1.1, "long": "12345678901234567.891", "vat": "CHE-1", "tier": [{"id": 7}]
    }  # fmt: skip


LINES = {
    "target": "line_items",
    "source": "rows",
    "lines": [
        {"target": "source_id", "source": "id"},
        {"target": "quantity", "source": "n"},
        {
            "target": "amount",
            "source": "sum",
            "steps": [{"do": "money", "unit": "minor", "currency": "$.currency"}],
        },
    ],
}


def test_lines_have_rules_of_their_own_and_one_odd_line_costs_itself() -> None:
    raw = {"currency": "eur", "rows": [{"id": 1, "n": "2", "sum": 1050}, "odd", {"id": 3, "n": [], "sum": 5}]}
    invoice = filled(raw, LINES)
    assert isinstance(invoice, UnifiedInvoice)
    assert [(one.source_id, one.quantity, one.amount) for one in invoice.line_items] == [
        ("1", Decimal(2), Decimal("10.50")),
        ("3", None, Decimal("0.05")),
    ]
    assert invoice.custom_fields == {"invalid_line_items": {"1": "odd", "3": {"quantity": []}}}
    assert filled({"rows": "none"}, LINES).custom_fields == {"invalid_line_items": "none"}
    required = {**LINES, "lines": [{**one, "required": True} for one in LINES["lines"]]}  # type: ignore[dict-item]
    with pytest.raises(MappingError, match="quantity: a number was expected, not a list"):
        filled(raw, required)


def test_of_a_list_the_items_that_can_be_read_stay() -> None:
    raw = {"mails": [{"v": "a@example.com"}, {"v": 5}]}
    steps = [{"do": "each", "path": "v", "steps": ["trim"]}]
    customer = filled(raw, {"source": "mails", "target": "emails", "steps": steps}, model=UnifiedCustomer)
    assert isinstance(customer, UnifiedCustomer)
    assert customer.emails == ("a@example.com",)
    assert customer.custom_fields == {"invalid_emails": raw["mails"]}


@pytest.mark.parametrize(
    ("rules", "reason"),
    [
        ([{"target": "source_id", "source": "a"}], r"rule 1 \(source_id\): a rule can't fill 'source_id'; use cust"),
        ([{"target": "deleted_at", "source": "a"}], "can't fill"),
        ([{"target": "raw_data", "source": "a"}], "can't fill"),
        ([{"target": "custom_fields.", "source": "a"}], "can't fill"),
        ([{"target": "nonsense", "source": "a"}], "can't fill 'nonsense'"),
        ([{"target": "billing_address.planet", "source": "a"}], "or a part such as billing_address.line1"),
        ([{"target": "name.first", "source": "a"}], "can't fill 'name.first'"),
        ([{"target": "name"}], "it needs a source, or a first step that makes the value"),
        ([{"target": "name", "source": "a[" }], "'a\\[' is not a path"),
        ([{"target": "name", "source": "a"}, {"target": "name", "source": "b"}],
         r"rule 2 \(name\): another rule fills it"),
        ([{"target": "billing_address", "source": "a"}, {"target": "billing_address.city", "source": "b"}],
         "as a whole"),
        ([{"target": "name", "source": "a", "lines": [{"target": "b", "source": "c"}]}], "rules for its lines"),
        ([{"target": "nonsense", "source": "a"}, {"target": "name", "source": "["}], r"rule 1 .*; rule 2 "),
    ],
)  # fmt: skip
def test_what_can_not_work_is_refused_with_its_place(rules: list[dict[str, Any]], reason: str) -> None:
    with pytest.raises(RuleError, match=reason):
        check(UnifiedCustomer, read_rules(rules))


def test_a_line_has_no_custom_fields() -> None:
    lines = [{"target": "custom_fields.x", "source": "a"}, {"target": "source_id", "source": "a"}]
    with pytest.raises(RuleError, match=r"rule 1 \(line_items\): rule 1 \(custom_fields.x\)"):
        check(UnifiedInvoice, read_rules({**LINES, "lines": lines}))


@pytest.mark.parametrize(
    "found", [5, "x", [5], {"target": "a", "sauce": "b"}, {"source": "a"}, {"target": "a", "source": ""},
              {"target": "a", "source": "b", "steps": [{"do": "exec"}]}, [{"target": "a", "source": "b"}] * 201]
)  # fmt: skip
def test_what_is_not_a_rule_is_refused_without_its_values(found: Any) -> None:
    with pytest.raises(RuleError):
        read_rules(found)


def test_the_digest_changes_with_what_rules_say_not_with_their_order() -> None:
    one, two = (Rule(target=name, source="a") for name in ("name", "phone"))
    assert digest([one, two]) == digest([two, one]) != digest([one])
    assert digest([one]) != digest([one.model_copy(update={"source": "b"})])
    shown = Rule.model_validate(one.as_json())
    assert digest([shown]) == digest([one])
    stream = StreamRules.model_validate({"id": {"paths": ["id"]}, "rules": [one.as_json()]})
    assert digest(stream) != digest(stream.model_copy(update={"rules": (one, two)}))


# Whole streams ------------------------------------------------------------------------------------


def test_a_stream_is_mapped_by_its_rules_alone() -> None:
    raw = {"id": 7, "name": " Ada L ", "address": {"city": "Zug"}, "meta": {"tier": "gold", "none": None}}
    customer = mapped(
        raw,
        rules=[
            {"target": "name", "source": "name", "steps": ["trim"]},
            {"target": "billing_address.city", "source": "address.city"},
            {"target": "custom_fields", "source": "meta", "steps": ["omit"]},
            {"target": "currency", "source": "name"},
        ],
    )
    assert isinstance(customer, UnifiedCustomer)
    assert (customer.source_id, customer.name, customer.billing_address) == (
        "7",
        "Ada L",
        UnifiedAddress(city="Zug"),
    )
    assert customer.custom_fields == {"tier": "gold", "invalid_currency": " Ada L "}
    assert customer.raw_data is raw
    assert customer.unified_id == ORIGIN.identify("7")["unified_id"]


@pytest.mark.parametrize("found", [None, "", True, [], {}, Decimal("1.5")])
def test_a_record_without_a_readable_id_is_a_reject(found: Any) -> None:
    with pytest.raises(MappingError, match="no readable id"):
        mapped({"id": found})


def test_an_id_may_have_parts() -> None:
    record = mapped({"a": 1, "b": {"c": "x"}}, id={"paths": ["a", "b.c"], "by": "-"})
    assert record.source_id == "1-x"


@pytest.mark.parametrize(
    ("tombstone", "raw", "gone"),
    [
        ({"path": "deleted"}, {"deleted": True}, NOW),
        ({"path": "deleted"}, {"deleted": False}, None),
        ({"path": "deleted"}, {}, None),
        ({"path": "state", "values": ["gone", "void"]}, {"state": "void"}, NOW),
        ({"path": "state", "values": ["gone"]}, {"state": "here"}, None),
        ({"path": "active", "values": [False]}, {"active": False}, NOW),
        ({"path": "active", "values": [False]}, {"active": True}, None),
        ({"path": "active", "values": [False]}, {}, None),
        ({"path": "at", "at": "at"}, {"at": "2026-01-02"}, datetime(2026, 1, 2, tzinfo=UTC)),
        ({"path": "at", "at": "at"}, {"at": "nonsense"}, NOW),
    ],
)
def test_a_tombstone_rule_says_which_records_are_gone(
    tombstone: Any, raw: Any, gone: datetime | None
) -> None:
    record = mapped({"id": "1", **raw}, tombstone=tombstone)
    assert (record.deleted_at, record.is_active) == (gone, gone is None)


def test_what_a_record_can_not_do_without_needs_a_rule_and_costs_the_record() -> None:
    rules = [{"target": "event_type", "source": "kind"}]
    with pytest.raises(RuleError, match="no rule fills occurred_at, which UnifiedEvent can't do without"):
        mapped({}, UnifiedEvent, rules=rules)
    rules.append({"target": "occurred_at", "source": "at"})
    event = mapped({"id": 1, "kind": "made", "at": 0}, UnifiedEvent, rules=rules)
    assert isinstance(event, UnifiedEvent)
    assert event.occurred_at == datetime(1970, 1, 1, tzinfo=UTC)
    with pytest.raises(MappingError, match="occurred_at"):
        mapped({"id": 1, "kind": "made", "at": "soon"}, UnifiedEvent, rules=rules)


def test_a_stream_mapping_is_compiled_once_and_knows_its_digest() -> None:
    declared = StreamRules.model_validate(
        {"id": {"paths": ["id"]}, "rules": [{"target": "name", "source": "n"}]}
    )
    assert StreamMapping(UnifiedCustomer, declared).digest == digest(declared)
