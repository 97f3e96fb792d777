"""Great Expectations suites as code, imported only inside the checks that run them.

No balances: sums of money are reconciled in exact arithmetic elsewhere.
"""
