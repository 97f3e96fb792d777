-- Which terms of the booked contracts are assumed, and what do they say?
select
    terms.contract_id,
    terms.instrument,
    terms.term,
    terms.value_text,
    terms.source
from core.fct_contract_terms as terms
inner join core.dim_contract as contracts on terms.contract_id = contracts.contract_id
where terms.evidence_grade = 'assumed' and contracts.is_booked
order by terms.contract_id, terms.instrument, terms.term, terms.valid_from
