"""Predicts what trainings take before anything is paid."""

from peftcost.planning.overview import Plan, plan
from peftcost.planning.predict import PlannedSetup

__all__ = ["Plan", "PlannedSetup", "plan"]
