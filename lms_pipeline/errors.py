"""The root of every error whose message is for a person.

Belongs here: the base classes. An error of one package is defined in that package. A message is one sentence: what happened, to
what, and what to do. It never carries a token, a name or an e-mail address.
"""


class LmsPipelineError(Exception):
    """A problem that a person has to know about, described in one sentence."""


class WrongUseError(LmsPipelineError):
    """A request that can't be carried out. Nothing was attempted."""


class SettingsError(WrongUseError):
    """A setting is missing or can't be used."""
