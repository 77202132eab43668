"""A matcher proposes what names, descriptions, types and samples agree on, and nothing where they do not."""

import importlib.util
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import strategies as st

from tests.model_server import Reply, model_server
from tests.properties import given
from unified.kit.proposing.fields import ForeignField, observed
from unified.kit.proposing.matching import matches
from unified.kit.proposing.words import name_words

ROOT = Path(__file__).parents[4]


def found(entity: str, *fields: ForeignField) -> dict[str, str]:
    return {one.field.path: one.place.target for one in matches(entity, fields)}


def text(path: str, *samples: Any, description: str = "") -> ForeignField:
    return ForeignField(path, "string", description=description, samples=list(samples))


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("TotalAmt", "total amount"),
        ("total_amount", "total amount"),
        ("lastmodifieddate", "updated date"),
        ("VATAmount", "vat amount"),
        ("BillAddr.PostalCode", "bill address postal code"),
        ("addresses[0].zip", "address postcode"),
        ("emails[1].value", "email other"),
        ("attributes.created", "created"),
        ("org_id.name", "organization name"),
        ("['odd.key'].id", "odd key id"),
    ],
)
def test_a_name_has_the_same_words_however_it_is_spelt(path: str, words: str) -> None:
    assert name_words(path) == set(words.split())


@pytest.mark.parametrize(
    ("entity", "path", "type_", "target"),
    [
        ("customers", "GivenMail", "string", None),
        ("customers", "EmailAddress", "string", "email"),
        ("customers", "ship_to.zip", "string", "shipping_address.postal_code"),
        ("customers", "MailingCity", "string", "billing_address.city"),
        ("customers", "owner.email", "string", None),
        ("customers", "password_hash", "string", None),
        ("customers", "is_archived", "boolean", "is_active"),
        ("customers", "created_by", "string", None),
        ("invoices", "amount_paid", "number", "amount_paid"),
        ("invoices", "paid_at", "string", "paid_date"),
        ("invoices", "paid_at", "boolean", None),
        ("invoices", "amount_untaxed", "number", "subtotal"),
        ("invoices", "sumGross", "string", "total"),
        ("invoices", "ClientRef.value", "string", "customer_id"),
        ("invoices", "tax_rate", "number", None),
        ("events", "actor.id", "string", "user_id"),
        ("events", "properties", "object", "payload"),
        ("records", "title", "string", "name"),
    ],
)
def test_a_field_is_matched_by_its_words_and_its_type(
    entity: str, path: str, type_: str, target: str | None
) -> None:
    assert found(entity, ForeignField(path, type_)).get(path) == target


def test_a_description_says_what_a_name_does_not() -> None:
    assert found("invoices", text("Xy12", description="Whether reminders of the due date are sent.")) == {}
    assert found("invoices", text("Xy12", description="The due date. ISO 8601.")) == {"Xy12": "due_date"}
    assert found("customers", text("email", description="address of the agent who looks after it")) == {}


def test_a_description_of_one_plain_word_says_nothing_and_depth_makes_doubt() -> None:
    assert found("invoices", text("expires", description="The date. Unix time.")) == {}
    assert found("customers", text("a.b.c.d.email")) == {}


def test_samples_decide_where_a_name_could_mean_either() -> None:
    assert found("customers", text("status", "active", "archived")) == {"status": "is_active"}
    assert found("customers", text("status", "gold", "silver")) == {}
    assert found("customers", text("type", "company", "person")) == {"type": "kind"}
    assert found("customers", text("type", "contact", "contact")) == {}
    assert found("customers", text("email", "not an address")) == {}


def test_a_place_is_filled_once_and_what_is_filled_goes_before_what_is_empty() -> None:
    fields = [text("remarks", None, None), text("note", "called twice")]
    assert found("customers", *fields) == {"note": "description"}
    assert found("invoices", text("total"), text("grand_total")) == {"total": "total"}


def test_further_addresses_numbers_and_last_names_are_not_lost() -> None:
    fields = [
        text("email"),
        text("billing_email"),
        text("phone"),
        text("mobile"),
        text("first_name"),
        text("surname"),
    ]
    assert found("customers", *fields) == {
        "email": "email", "billing_email": "emails", "phone": "phone", "mobile": "phones",
        "first_name": "name", "surname": "name",
    }  # fmt: skip
    assert found("customers", text("full_name"), text("last_name")) == {"full_name": "name"}


def test_an_event_that_says_only_when_it_was_created_happened_then() -> None:
    assert found("events", text("type"), text("created_at"))["created_at"] == "occurred_at"
    both = found("events", text("type"), text("created_at"), text("occurred_at"))
    assert (both["created_at"], both["occurred_at"]) == ("created_at", "occurred_at")


def test_a_prefix_of_nearly_all_names_says_nothing() -> None:
    names = ("hs_email", "hs_phone", "hs_city", "hs_company", "hs_tag", "hs_rank")
    assert found("customers", *map(text, names))["hs_company"] == "company"


def test_what_is_nested_in_a_large_object_is_still_that_objects() -> None:
    inner = [text(f"Contact.{name}") for name in ("Name", "City", "UpdatedDate", "Email", "Phone", "Zip")]
    assert found("invoices", *inner, text("UpdatedDate")) == {"UpdatedDate": "updated_at"}
    numbers = ForeignField("Phones", "array", items=[text("Number")])
    assert found("customers", numbers, text("Phones[0].Number")) == {"Phones[0].Number": "phone"}


def test_fields_are_observed_in_records_with_their_types() -> None:
    records = [
        {"id": 1, "a": {"b": "x"}, "rows": [{"sum": 5}, {"sum": 7, "tax": 1}], "odd.key": None},
        {"id": 2, "a": None, "rows": [], "odd.key": True},
        "no object",
    ]
    by_path = {one.path: one for one in observed(records)}
    assert by_path["id"].type == "integer"
    assert (by_path["a.b"].samples, by_path["id"].seen, by_path["a"].filled) == (["x"], 2, 1)
    assert [one.path for one in by_path["rows"].items] == ["sum", "tax"]
    assert by_path["['odd.key']"].type == "boolean"


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=15), inner, max_size=4),
    max_leaves=20,
)


@given(st.lists(VALUES, max_size=3), st.sampled_from(("customers", "invoices", "events", "records")))
def test_whatever_records_hold_there_is_an_answer(records: list[Any], entity: str) -> None:
    assert all(0 <= one.confidence.score <= 1 for one in matches(entity, observed(records)))


def test_labelled_objects_are_matched_as_people_match_them(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = importlib.util.spec_from_file_location("mapping_benchmark", ROOT / "benchmarks" / "mapping.py")
    assert spec is not None
    assert spec.loader is not None
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    if not benchmark.LABELS.exists():
        pytest.skip("the labels are not beside the checkout")
    objects = msgspec.json.decode(benchmark.LABELS.read_bytes())["objects"]
    total = benchmark.measured(objects, benchmark.by_matcher)
    assert total.f1 >= 0.85
    assert total.recall_of_none >= 0.9
    assert "all" in capsys.readouterr().out

    event = next(one for one in objects if one["stream"] == "events")
    labels = {one["path"]: one["target"] for one in event["fields"]}
    assert benchmark.measured([event], benchmark.by_matcher).recall < 1, "so a model has something to find"

    def as_people(question: str) -> str:
        said = msgspec.json.decode(question)
        ours = {one["target"] for one in said["ours"]}
        rest = {"unit": "", "words": [], "sure": 0.9, "reason": "It says so."}
        named = [one["path"] for one in said["theirs"] if labels[one["path"]] in ours]
        pairs = [{"source": path, "target": labels[path], **rest} for path in named]
        return msgspec.json.encode({"pairs": pairs}).decode()

    with model_server() as model:
        model.answers(Reply(as_people))
        monkeypatch.setenv("UNIFIED_MODEL_URL", model.url)
        monkeypatch.setenv("UNIFIED_MODEL_KEY", "sk-ant-fake-planted-Rt5")
        assert benchmark.measured([event], benchmark.by_model).recall == 1
