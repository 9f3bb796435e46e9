"""Why the program does not start."""


class StartError(Exception):
    """It cannot start as it was told to. One line that names what is in the way."""


class BadSetting(StartError):
    """One line that names the setting and the rule."""
