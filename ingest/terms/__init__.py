"""What a user writes: homes, parks, contracts, policies, scenarios as validated models and as dated tables.

No feeds and no computation on terms.
"""
