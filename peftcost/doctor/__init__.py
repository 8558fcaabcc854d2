"""`peftcost doctor`: what this machine has, whether training works on it, and what to do about what is wrong."""

from peftcost.doctor.advice import told
from peftcost.doctor.examine import examine
from peftcost.doctor.findings import Findings

__all__ = ["Findings", "examine", "told"]
