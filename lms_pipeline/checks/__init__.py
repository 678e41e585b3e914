"""Checks of what is published: each looks at files, and tells what it finds in numbers and one sentence.

What belongs here: looking. Refusing to publish is `lake/audit.py`; showing the findings is `defs/checks.py`. A finding
names rows by their ids alone, never a person.
"""
