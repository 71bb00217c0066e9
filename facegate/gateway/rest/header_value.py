"""A header's value with its parameters, `form-data; name="img"`: what can be read in two ways is not read."""

from __future__ import annotations

import re

JSON, FORM = "application/json", "multipart/form-data"

NAME = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PARAMETER = re.compile(rf'[ \t]*;[ \t]*(?:({NAME})=(?:"((?:[^"\\]|\\.)*)"|([^ \t";]*)))?')


def parse(value: str) -> tuple[str, dict[str, str]]:
    """What is before the first ";" and the parameters by name, both names in lower case; escapes stay as they are.

    Raises ValueError where a parameter is there twice, or there is something else than parameters.
    """
    value = value.strip(" \t")
    main = value.partition(";")[0]
    parameters: dict[str, str] = {}
    read = len(main)
    while read < len(value):
        found = _PARAMETER.match(value, read)
        if found is None:
            raise ValueError("has something else than parameters")
        read = found.end()
        if found[1] is None:  # a ";" too many
            continue
        name = found[1].lower()
        if name in parameters:
            raise ValueError("has a parameter twice")
        parameters[name] = found[3] if found[2] is None else found[2]
    return main.strip(" \t").lower(), parameters
