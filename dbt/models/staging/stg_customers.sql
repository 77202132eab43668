-- A customer of a source, one row for each; the identity that it belongs to, where identities are resolved.
select
    customers.unified_id,
    customers.connection_id,
    customers.source_system,
    customers.stream,
    customers.source_id,
    identities.identity_id,
    customers.kind,
    customers.name,
    customers.company,
    customers.email,
    customers.created_at
from {{ source('unified', 'customers') }} as customers
left join {{ source('unified', 'identities') }} as identities
    on identities.unified_id = customers.unified_id
{% if not var('unified_test_data') %}
where customers.livemode is distinct from false
{% endif %}
