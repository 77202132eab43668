-- An invoice that customers owe or owed, with the amount that is still open.
select
    invoices.unified_id,
    invoices.connection_id,
    invoices.source_system,
    invoices.source_id,
    invoices.customer_id,
    invoices.invoice_number,
    invoices.status,
    invoices.currency,
    invoices.total,
    case
        when invoices.status in ('submitted', 'open', 'partially_paid')
            then coalesce(invoices.amount_remaining, invoices.total - coalesce(invoices.amount_paid, 0))
        else 0
    end as amount_open,
    coalesce(invoices.issue_date, invoices.created_at) as issued_at,
    invoices.due_date as due_at,
    coalesce(invoices.paid_date, invoices.issue_date, invoices.created_at) as paid_at
from {{ source('unified', 'invoices') }} as invoices
where invoices.kind = 'receivable'
{% if not var('unified_test_data') %}
    and invoices.livemode is distinct from false
{% endif %}
