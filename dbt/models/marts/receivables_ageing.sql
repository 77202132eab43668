-- What is open today, by customer and currency, and for how long it has been due.
with open_invoices as (
    select
        invoices.source_system,
        invoices.connection_id,
        invoices.customer_id as source_id,
        invoice_customers.identity_id,
        invoice_customers.customer,
        invoices.currency,
        invoices.amount_open,
        current_date - (invoices.due_at at time zone 'UTC')::date as days_due
    from {{ ref('stg_invoices') }} as invoices
    left join {{ ref('stg_invoice_customers') }} as invoice_customers
        on invoice_customers.invoice_id = invoices.unified_id
    where invoices.amount_open <> 0
)

select
    source_system,
    connection_id,
    source_id,
    identity_id,
    customer,
    currency,
    count(*) as invoices,
    sum(amount_open) as amount_open,
    coalesce(sum(amount_open) filter (where days_due is null or days_due <= 0), 0) as not_due,
    coalesce(sum(amount_open) filter (where days_due between 1 and 30), 0) as days_1_to_30,
    coalesce(sum(amount_open) filter (where days_due between 31 and 60), 0) as days_31_to_60,
    coalesce(sum(amount_open) filter (where days_due between 61 and 90), 0) as days_61_to_90,
    coalesce(sum(amount_open) filter (where days_due > 90), 0) as days_over_90
from open_invoices
group by 1, 2, 3, 4, 5, 6
