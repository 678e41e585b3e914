"""The root of every error that a person is told.

What belongs here: the base class alone. An error of a room lives in that room. A message is one sentence
for a person: what happened, to what, and what to do. It never carries a token, a name or an e-mail.
"""


class LmsPipelineError(Exception):
    """Something a person has to know about, told in one sentence."""


class WrongUseError(LmsPipelineError):
    """What was asked for can't be: nothing was tried."""


class SettingsError(WrongUseError):
    """A setting is missing or can't be used."""
