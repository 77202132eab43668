-- A person or company over all systems: who it is, what it has paid and owes, when it was last active.
with amounts as (
    select
        invoice_customers.identity_id,
        invoices.currency,
        count(*) as invoices,
        coalesce(sum(invoices.total) filter (where invoices.status = 'paid'), 0) as paid,
        sum(invoices.amount_open) as amount_open,
        max(invoices.issued_at) as last_invoice_at
    from {{ ref('stg_invoices') }} as invoices
    inner join {{ ref('stg_invoice_customers') }} as invoice_customers
        on invoice_customers.invoice_id = invoices.unified_id
    where invoices.currency is not null
    group by 1, 2
),

by_identity as (
    select
        identity_id,
        sum(invoices) as invoices,
        -- Numbers in jsonb are exact.
        jsonb_object_agg(currency, paid) filter (where paid <> 0) as paid_by_currency,
        jsonb_object_agg(currency, amount_open) filter (where amount_open <> 0) as open_by_currency,
        max(last_invoice_at) as last_invoice_at
    from amounts
    group by 1
)

select
    golden.identity_id,
    golden.kind,
    golden.name,
    golden.company,
    golden.email,
    golden.phone,
    golden.tax_number,
    golden.sources,
    golden.records,
    coalesce(by_identity.invoices, 0) as invoices,
    coalesce(by_identity.paid_by_currency, '{}') as paid_by_currency,
    coalesce(by_identity.open_by_currency, '{}') as open_by_currency,
    by_identity.last_invoice_at
from {{ source('unified', 'golden_customers') }} as golden
left join by_identity
    on by_identity.identity_id = golden.identity_id
