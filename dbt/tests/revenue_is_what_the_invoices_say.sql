-- Fails with a row for each currency whose months do not add up to its invoices, to the last digit.
with by_month as (
    select currency, sum(revenue) as revenue from {{ ref('revenue_by_month') }} group by 1
),

by_invoice as (
    select currency, sum(total) as revenue from {{ ref('stg_invoices') }} where status = 'paid' group by 1
)

select by_month.currency, by_month.revenue as by_month, by_invoice.revenue as by_invoice
from by_month
full outer join by_invoice
    on coalesce(by_invoice.currency, '') = coalesce(by_month.currency, '')
where by_month.revenue is distinct from by_invoice.revenue
