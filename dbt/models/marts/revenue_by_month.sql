-- What customers have paid, by month and currency. Currencies are never added up.
select
    date_trunc('month', paid_at at time zone 'UTC')::date as month,
    currency,
    count(*) as invoices,
    sum(total) as revenue
from {{ ref('stg_invoices') }}
where status = 'paid'
group by 1, 2
