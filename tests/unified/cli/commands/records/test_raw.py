"""`unified raw`: what a source sent, printed as it came, and stored compressed on request."""

import json

from tests.conftest import execute
from tests.unified.cli.conftest import Unified
from unified.store.server import embedded

RAW = '{"id": "cus_1",  "name": "Zürich"}'
_FILL = f"""
    WITH place AS (
        INSERT INTO connector_configs (id, workspace_id, connector, name)
        SELECT gen_random_uuid(), id, 'stripe', 'billing' FROM workspaces WHERE slug = 'acme'
        RETURNING workspace_id, id
    )
    INSERT INTO unified_customers (workspace_id, connection_id, source_system, stream, source_id, unified_id,
        schema_version, content_hash, observed_at, synced_at, is_active, raw_data)
    SELECT workspace_id, id, 'stripe', 'customers', 'cus_' || n, gen_random_uuid(), '1.1.0', n, now(), now(), true,
        CASE n WHEN 1 THEN '{RAW}'::json ELSE json_build_object('id', 'cus_' || n, 'address', repeat('x', 500)) END
    FROM place, generate_series(1, 120) AS n
"""  # noqa: S608 - constants


def test_a_record_is_printed_as_it_came_in_either_form(unified: Unified) -> None:
    unified.ok("workspaces", "add", "acme")
    execute(embedded.start(unified.home), _FILL)
    embedded.leave(unified.home)
    one = ("raw", "show", "acme/billing", "customers", "cus_1")
    assert unified.ok(*one) == RAW + "\n"
    (done,) = unified.json("raw", "compress", "acme")
    assert (done["connection"], done["records"], done["refused"]) == ("acme/billing", 120, 0)
    assert done["after"] < done["before"] / 4
    ask = ("query", "SELECT count(raw_data) AS left FROM data.customers", "--workspace", "acme")
    assert unified.json(*ask) == [{"left": 0}]
    assert unified.ok(*one) == RAW + "\n"
    assert "1 wrong" in unified.run("doctor").stdout, (
        "that tests' server does without fsync, and nothing else"
    )
    assert "acme/billing has no raw record of 'cus_0' in customers" in unified.refused(*one[:-1], "cus_0")
    assert "acme/billing" in unified.ok("raw", "expand", "--all")
    asked = "SELECT raw_data::text AS raw FROM data.customers WHERE source_id = 'cus_1'"
    assert json.loads(unified.ok("query", asked, "--workspace", "acme", "--json")) == [{"raw": RAW}]
    assert "say --all" in unified.refused("raw", "compress", code=2)
