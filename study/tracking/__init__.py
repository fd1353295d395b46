"""MLflow: runs, metrics, tables and plots, rebuilt at will from stored studies. The one room that imports MLflow."""

from study.tracking.recorder import Recorder
from study.tracking.study_sync import Recorded, record_study

__all__ = ["Recorded", "Recorder", "record_study"]
