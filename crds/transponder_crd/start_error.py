"""Why a program does not start."""

import re
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from pydantic import ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

S = TypeVar("S", bound=BaseSettings)

PREFIX = "TRANSPONDER_"

ENVIRONMENT: Final = SettingsConfigDict(
    env_prefix=PREFIX,
    frozen=True,
    extra="ignore",  # the other programs read the same environment
    use_attribute_docstrings=True,
    hide_input_in_errors=True,
)
"""How a program reads its settings."""


class StartError(Exception):
    """It cannot start as it was told to. One line that names what is in the way."""


class BadSetting(StartError):
    """One line that names the setting and the rule."""


def variable(*path: str) -> str:
    """The environment variable of a setting, or of a part of one."""
    return PREFIX + "__".join(path).upper()


def read_environment(kind: type[S]) -> S:
    """The settings that the environment gives. Raises BadSetting."""
    try:
        return kind()
    except (ValidationError, SettingsError) as error:
        raise bad_setting(error, lambda path: variable(*path)) from None


def bad_setting(error: ValidationError | SettingsError, name: Callable[[Sequence[str]], str]) -> BadSetting:
    """The first finding. `name` is what the user knows a setting by, given its path. No value is in the text."""
    if isinstance(error, SettingsError):  # its text: error parsing value for field "name" from source "..."
        field = re.search(r'field "(\w+)"', str(error))
        return BadSetting(f"{name([field[1]]) if field else 'environment'}: must be JSON")
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    return BadSetting(f"{name([str(part) for part in first['loc']])}: {_rule(first['msg'])}")


def _rule(message: str) -> str:
    if message == "Field required":
        return "is required"
    return message.removeprefix("Value error, ").replace("Input should", "must").replace("Value should", "must")
