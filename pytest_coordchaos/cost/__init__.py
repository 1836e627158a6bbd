"""The ledger, and the budgets asserted on it. Pure."""
