-- Whose invoice it is. An invoice names its customer by source id, and ids are unique within a stream only: where two
-- streams of a connection have the id, it is the one of the stream `customers`.
select distinct on (invoices.unified_id)
    invoices.unified_id as invoice_id,
    customers.unified_id as customer_id,
    customers.identity_id,
    coalesce(customers.company, customers.name, customers.email) as customer
from {{ ref('stg_invoices') }} as invoices
inner join {{ ref('stg_customers') }} as customers
    on customers.connection_id = invoices.connection_id and customers.source_id = invoices.customer_id
order by invoices.unified_id, customers.stream <> 'customers', customers.stream
