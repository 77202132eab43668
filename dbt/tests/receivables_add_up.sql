-- Fails with each row whose ages do not add up to what is open.
select *
from {{ ref('receivables_ageing') }}
where amount_open <> not_due + days_1_to_30 + days_31_to_60 + days_61_to_90 + days_over_90
