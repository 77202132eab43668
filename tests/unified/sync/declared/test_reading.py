"""A file of connections is read with a line for each fault, and without repeating a value."""

from __future__ import annotations

import pytest

from unified.kit.document.source import MOST_BYTES, DocumentError
from unified.sync.declared.reading import read_document

GOOD = """\
workspace: acme
connections:
  main:
    connector: stripe
    secrets:
      api_key: env:STRIPE_KEY
    webhooks:
      - events: [customer.*]
        secret: file:hook.txt
    rules:
      customers:
        - target: tax_number
          source: metadata.vat
  crm: {connector: hubspot, interval_minutes: 5, active: false}
routes:
  to-crm:
    from: main
    to: crm
    direction: one_way
"""


def fault(text: str) -> str:
    with pytest.raises(DocumentError) as caught:
        read_document(text.encode(), "file.yaml")
    return str(caught.value)


def test_what_it_says_is_read_with_its_lines() -> None:
    found = read_document(GOOD.encode(), "file.yaml")
    main = found.document.connections["main"]
    assert main.secrets == {"api_key": "env:STRIPE_KEY"}
    assert main.rules["customers"][0].as_json() == {"target": "tax_number", "source": "metadata.vat"}
    assert found.document.connections["crm"].active is False
    assert found.document.routes["to-crm"].source == "main"
    assert found.line(("connections", "main")) == 3
    assert found.line(("connections", "main", "webhooks", 0, "secret")) == 9
    assert found.line(("routes", "to-crm", "no such key")) == 16


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ("workspace: acme", "workspace: Acme Inc", "file.yaml:1: workspace: it is not a valid name"),
        ("connector: stripe", "conector: stripe", "main.conector: there is no such key; did you mean connector?"),
        ("connector: stripe", "conector: stripe", "file.yaml:3: connections.main.connector: Field required"),
        ("interval_minutes: 5", "interval_minutes: 0", "file.yaml:14: connections.crm.interval_minutes: "),
        ("active: false", "active: 'no'", "file.yaml:14: connections.crm.active: "),
        ("  main:", "  Main Key:", "file.yaml:3: connections.Main Key.[key]: it is not a valid name"),
        ("from: main", "form: main", "file.yaml:17: routes.to-crm.form: there is no such key; did you mean from?"),
        ("direction: one_way", "direction: sideways", "file.yaml:19: routes.to-crm.direction: "),
        ("          source:", "          sauce:", "file.yaml:13: connections.main.rules.customers.0.sauce: "),
        ("  crm: {", "  main: {", "file.yaml:14: the key 'main' comes a second time"),
        ("[customer.*]", "[customer.*", "it is not YAML"),
        ("connector: stripe", "connector: &a stripe\n    settings: {x: *a}", "file.yaml:5: aliases"),
        ("connector: stripe", "connector: !!python/name:os.system stripe", "file.yaml:4: tags"),
    ],
)  # fmt: skip
def test_a_fault_is_said_with_its_line(before: str, after: str, says: str) -> None:
    assert before in GOOD
    assert says in fault(GOOD.replace(before, after, 1))


@pytest.mark.parametrize(
    "literal", ["sk_test_fake_Canary7", "env:", "env:A B", "vault:secret/acme", "Env:KEY"]
)
def test_a_secret_itself_is_refused_and_not_repeated(literal: str) -> None:
    said = fault(GOOD.replace("env:STRIPE_KEY", f"'{literal}'"))
    assert said.startswith(
        "file.yaml:6: connections.main.secrets.api_key: a secret does not stand in the file"
    )
    assert "env:NAME, file:PATH or vault:MOUNT/PATH#FIELD" in said
    assert "Canary7" not in said


def test_a_broken_line_with_a_secret_is_not_repeated() -> None:
    assert "Canary7" not in fault(GOOD.replace("env:STRIPE_KEY", "sk_Canary7: : x"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "- a",
        "workspace",
        "x" * (MOST_BYTES + 1),
        "[" * 50_000,
        "a: 2026-13-45",
        "\x00",
        "a: b\n---\na: b",
    ],
)
def test_anything_else_is_refused_in_one_line(text: str) -> None:
    said = fault(text)
    assert said.startswith("file.yaml")
    assert "\n" not in said
