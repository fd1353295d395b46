"""Decisions of the search: samplers, pruners, budgets, cell order, transfer. Reads trials; writes nothing."""
