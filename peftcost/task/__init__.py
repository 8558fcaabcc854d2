"""The Task: task.yaml, its columns and its splits. The task types are in peftcost.tasks."""
