"""MLflow: runs, metrics, tables and pictures, made from the ledger and the trial folders, at any time anew."""

from study.records.rebuild import Recorded, record_study
from study.records.recorder import Recorder

__all__ = ["Recorded", "Recorder", "record_study"]
