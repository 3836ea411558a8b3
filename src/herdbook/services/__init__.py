"""Verbs: functions whose first argument is the unit of work. No input or output."""
