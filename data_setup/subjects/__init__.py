"""Subject IDs from a table, a regular expression, known file naming or the pixels."""

from data_setup.subjects.find import find_subjects

__all__ = ["find_subjects"]
