"""The ledger: one Optuna study per cell, the single source of truth about trials. Imports search and spec."""
